INSERT INTO kept_rows VALUES (1);
