INSERT INTO time_of_day VALUES (2, '12:34:56', '00:00:00.000001'), (3, NULL, NULL);
UPDATE time_of_day SET t = '01:00:00' WHERE id = 1;
