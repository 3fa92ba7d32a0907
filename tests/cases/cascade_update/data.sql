INSERT INTO cu_parent VALUES (1, 'a'), (2, 'b');
INSERT INTO cu_child VALUES (10, 1), (20, 2), (21, 2);
INSERT INTO cu_key VALUES (1, 1, 0), (1, 2, 0), (2, 1, 0);
