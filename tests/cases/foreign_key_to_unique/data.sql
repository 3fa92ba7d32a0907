INSERT INTO fu_parent VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO fu_child VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, NULL);
