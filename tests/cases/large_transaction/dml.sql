BEGIN;
INSERT INTO large_transaction SELECT id + 3000, s FROM large_transaction;
INSERT INTO large_transaction SELECT id + 6000, s FROM large_transaction;
INSERT INTO large_transaction SELECT id + 12000, s FROM large_transaction;
UPDATE large_transaction SET s = CONCAT('y', id) WHERE id % 2 = 0;
DELETE FROM large_transaction WHERE id % 5 = 0;
UPDATE large_transaction SET id = id + 100000 WHERE id % 7 = 0 ORDER BY id;
COMMIT;
