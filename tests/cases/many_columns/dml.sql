INSERT INTO many_columns (id, c08, c09, c48, c49, c63, c70) VALUES (2, 8, 9, '2020-01-01', 5, 63, 70);
UPDATE many_columns SET c01 = NULL, c02 = 2, c65 = NULL, c67 = 67 WHERE id = 1;
