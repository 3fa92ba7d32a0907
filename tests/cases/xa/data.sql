INSERT INTO xa_rows VALUES (1, 1), (2, 2);
