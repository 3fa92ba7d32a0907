INSERT INTO self_reference VALUES (6, 4, 'd'), (7, 3, 'e');
DELETE FROM self_reference WHERE id = 2;
UPDATE self_reference SET boss = 1 WHERE id = 6;
DELETE FROM self_reference WHERE id = 5;
UPDATE self_plain SET next = NULL WHERE id = 3;
DELETE FROM self_plain WHERE id = 1;
INSERT INTO self_plain VALUES (9, 9);
