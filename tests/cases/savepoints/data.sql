INSERT INTO savepoints VALUES (1, 1), (2, 2);
