INSERT INTO sn_parent VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO sn_child VALUES (10, 1, 0), (11, 1, 0), (20, 2, 0), (30, 3, 0);
