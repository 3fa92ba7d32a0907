UPDATE fu_parent SET code = 'z' WHERE id = 1;
DELETE FROM fu_parent WHERE code = 'b';
UPDATE fu_child SET code = 'z' WHERE id = 4;
UPDATE fu_parent SET id = 9 WHERE id = 3;
