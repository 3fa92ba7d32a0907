INSERT INTO keys_refused VALUES ('Abc', 1);
