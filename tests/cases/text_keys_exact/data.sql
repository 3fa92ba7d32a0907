INSERT INTO exact_keys VALUES ('Abc', 1), ('b', 2), ('Émile', 3), ('gone', 4);
INSERT INTO exact_unique VALUES (1, 'One'), (2, 'two'), (3, NULL);
INSERT INTO exact_child VALUES (1, 'Abc'), (2, 'b'), (3, 'gone');
