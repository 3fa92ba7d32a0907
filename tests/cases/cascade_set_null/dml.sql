DELETE FROM sn_parent WHERE id = 1;
UPDATE sn_child SET v = 1 WHERE pid IS NULL;
UPDATE sn_child SET pid = 2 WHERE id = 11;
UPDATE sn_parent SET id = 7 WHERE id = 2;
DELETE FROM sn_parent WHERE id = 3;
