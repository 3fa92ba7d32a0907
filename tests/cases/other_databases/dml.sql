BEGIN;
INSERT INTO elsewhere.foreign_rows (v) VALUES (1);
UPDATE other_databases SET v = 2 WHERE id = 1;
INSERT INTO elsewhere.foreign_rows (v) VALUES (2);
COMMIT;
INSERT INTO elsewhere.foreign_rows (v) VALUES (3);
DELETE FROM elsewhere.foreign_rows;
