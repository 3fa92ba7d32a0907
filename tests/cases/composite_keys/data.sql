INSERT INTO composite_parent VALUES (1, 'x', 1), (2, 'x', 2), (1, 'y', 3);
INSERT INTO composite_child (pb, pa) VALUES ('x', 1), ('x', 2), (NULL, 2);
