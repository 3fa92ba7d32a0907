INSERT INTO checked VALUES (2, NULL, 5), (3, 5, 6);
UPDATE checked SET a = 10, b = 20 WHERE id = 1;
