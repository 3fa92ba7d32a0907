INSERT INTO folded_parent VALUES ('abc'); INSERT INTO folded_child VALUES (1, 'abc');
