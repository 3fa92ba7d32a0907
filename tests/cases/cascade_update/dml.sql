UPDATE cu_parent SET id = 5 WHERE id = 1;
UPDATE cu_key SET v = 1 WHERE pid = 5 AND n = 1;
UPDATE cu_child SET pid = 5 WHERE id = 21;
UPDATE cu_parent SET id = id + 100;
UPDATE cu_parent SET name = 'z' WHERE id = 102;
