INSERT INTO joined_a VALUES (1, 1), (2, 2), (3, 3);
INSERT INTO joined_b VALUES (1, 1, 1), (2, 1, 2), (3, 2, 3);
