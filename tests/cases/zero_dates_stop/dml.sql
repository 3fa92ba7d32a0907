SET sql_mode = '';
INSERT INTO zero_stop VALUES (1, '2020-01-01'), (2, '0000-00-00');
