INSERT INTO integers VALUES (2, 127, 32767, 8388607, 2147483647, 9223372036854775807, FALSE), (3, 0, 0, 0, 0, 0, NULL);
INSERT INTO integers (id) VALUES (4);
UPDATE integers SET t = -1, s = -1, m = -1, i = -1, b = -1 WHERE id = 3;
