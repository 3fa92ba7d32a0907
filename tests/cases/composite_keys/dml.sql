INSERT INTO composite_parent VALUES (3, 'z', 9);
INSERT INTO composite_child (pb, pa) VALUES ('z', 3), ('y', NULL);
UPDATE composite_parent SET v = v + 100 WHERE b = 'x';
UPDATE composite_parent SET a = 5 WHERE b = 'y' AND a = 1;
UPDATE composite_child SET pb = 'y', pa = 5 WHERE id = 1;
DELETE FROM composite_parent WHERE b = 'x' AND a = 1;
