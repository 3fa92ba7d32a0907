INSERT INTO checked VALUES (1, 1, 2);
