DELETE FROM self_update WHERE id = 1;
UPDATE self_update SET v = v + 1;
INSERT INTO self_update VALUES (1, 2, 9);
DELETE FROM self_update WHERE id = 2;
