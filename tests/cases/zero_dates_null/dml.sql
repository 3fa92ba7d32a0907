SET sql_mode = '', time_zone = '+00:00';
INSERT INTO zero_null VALUES (2, '2020-01-01', '2020-01-01', '2020-01-01'), (3, '2020-02-02', '2020-02-02', '2020-02-02');
UPDATE zero_null SET d = '0000-00-00', dt = '0000-00-00', ts = 0 WHERE id = 2;
UPDATE zero_null SET dt = '2021-01-01' WHERE id = 1;
