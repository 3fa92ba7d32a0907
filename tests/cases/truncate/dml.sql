INSERT INTO truncated (v) VALUES (4);
TRUNCATE TABLE truncated;
INSERT INTO truncated (v) VALUES (100);
UPDATE not_truncated SET v = 2;
