INSERT INTO unique_as_key VALUES ('a', 1, 1), ('A', 2, 2), ('a ', 3, 3);
INSERT INTO unique_nullable VALUES (NULL, 1), (NULL, 1), (1, 2);
