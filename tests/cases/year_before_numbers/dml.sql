INSERT INTO year_first VALUES (2, NULL, -2147483648, 2147483648, 0, 128, -1), (3, 2155, 7, 7, 1901, 7, 7);
UPDATE year_first SET n = n - 1, u = u - 1 WHERE id = 1;
DELETE FROM year_first WHERE id = 3;
INSERT INTO year_last VALUES (4294967295, -32768, -0.1, 2024), (1, NULL, NULL, NULL);
