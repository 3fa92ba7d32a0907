INSERT INTO time_beyond VALUES (1, '100:00:00');
