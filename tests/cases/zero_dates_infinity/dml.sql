SET sql_mode = '';
INSERT INTO zero_infinity VALUES (2, '0000-00-00', NULL, NULL);
UPDATE zero_infinity SET d = NULL WHERE id = 1;
