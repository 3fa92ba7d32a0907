SET sql_mode = '';
INSERT IGNORE INTO enum_errors VALUES (1, 'green', 'z', 999, 1234, 'abcdef'), (2, 'red', 'x,y', -999, -99.99, 'äöüß');
