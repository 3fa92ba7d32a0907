INSERT INTO self_update VALUES (1, NULL, 0), (2, 1, 0), (3, 1, 0), (4, 2, 0);
