DELETE FROM no_key_text WHERE s COLLATE {{nopad_bin}} = 'a' LIMIT 1;
UPDATE no_key_text SET t = 'y' WHERE s COLLATE {{nopad_bin}} = 'A';
UPDATE no_key_text SET j = '[]', f = 1e30 WHERE s COLLATE {{nopad_bin}} = 'a ';
INSERT INTO no_key_text VALUES (NULL, NULL, NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL, NULL, NULL);
DELETE FROM no_key_text WHERE s IS NULL LIMIT 1;
