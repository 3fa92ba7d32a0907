INSERT INTO self_reference VALUES (1, NULL, 'top'), (2, 1, 'a'), (3, 2, 'b'), (4, 1, 'c'), (5, 5, 'own');
SET foreign_key_checks = 0;
INSERT INTO self_plain VALUES (1, 2), (2, 3), (3, 1);
