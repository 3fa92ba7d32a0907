INSERT INTO cd_parent VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO cd_child VALUES (10, 1), (11, 1), (20, 2), (30, 3), (40, NULL);
INSERT INTO cd_grandchild VALUES (100, 10, ''), (110, 11, ''), (200, 20, ''), (300, 30, ''), (400, 40, '');
