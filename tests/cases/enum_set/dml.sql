INSERT INTO enum_set VALUES (3, 'it''s', '', NULL, '2'), (4, 'a,b', 'x,y,ž,w', 'ä', '1'), (5, NULL, NULL, NULL, '0');
UPDATE enum_set SET e = 'a,b', s = 'w,y' WHERE id = 1;
SET sql_mode = '';
INSERT INTO enum_set VALUES (6, 'unknown', 'unknown', 'ä', '1');
