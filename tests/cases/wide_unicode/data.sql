INSERT INTO wide_unicode VALUES (1, 'é'), (2, CONVERT(x'65cc81' USING utf8mb4));
