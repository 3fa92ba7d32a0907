INSERT INTO harmless_ddl VALUES (1, 1);
