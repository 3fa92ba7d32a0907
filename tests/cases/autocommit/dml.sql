SET autocommit = 0;
INSERT INTO autocommit_rows (v) VALUES (2);
INSERT INTO autocommit_rows () VALUES ();
COMMIT;
INSERT INTO autocommit_rows (v) VALUES (3);
ROLLBACK;
SET autocommit = 1;
INSERT INTO autocommit_rows (v) VALUES (4);
