INSERT INTO many_columns (id, c01, c08, c16, c46, c64, c65, c66, c70) VALUES (1, 1, 8, 16, 'x', 64, 65, 'text', 70);
