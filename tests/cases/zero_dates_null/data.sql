SET sql_mode = '';
INSERT INTO zero_null VALUES (1, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00');
