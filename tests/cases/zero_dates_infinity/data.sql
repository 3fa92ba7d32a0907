SET sql_mode = '';
INSERT INTO zero_infinity VALUES (1, '0000-00-00', '0000-00-00', 0);
