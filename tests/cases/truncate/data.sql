INSERT INTO truncated (v) VALUES (1), (2), (3);
INSERT INTO not_truncated VALUES (1, 1);
