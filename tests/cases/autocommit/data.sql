INSERT INTO autocommit_rows (v) VALUES (1);
