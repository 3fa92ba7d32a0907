SET sql_mode = '';
UPDATE IGNORE enum_errors SET e = 'nothing', s = 'x,nothing' WHERE id = 2;
INSERT IGNORE INTO enum_errors VALUES (3, 99, 99, 'word', 'word', NULL), (4, 1, 3, 1, 1, '1');
