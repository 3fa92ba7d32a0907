UPDATE exact_keys SET code = 'ABC' WHERE code = 'abc';
UPDATE exact_keys SET v = 30 WHERE code = 'emile';
DELETE FROM exact_keys WHERE code = 'GONE';
INSERT INTO exact_keys VALUES ('GONE', 5);
REPLACE INTO exact_keys VALUES ('ÉMILE', 31);
INSERT INTO exact_keys VALUES ('B', 0) ON DUPLICATE KEY UPDATE v = 20;
UPDATE exact_unique SET word = 'ONE' WHERE id = 1;
UPDATE exact_unique SET word = NULL WHERE id = 2;
UPDATE exact_unique SET word = 'TWO' WHERE id = 3;
