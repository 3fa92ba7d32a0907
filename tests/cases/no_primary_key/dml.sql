DELETE FROM no_primary_key WHERE a = 1 LIMIT 1;
UPDATE no_primary_key SET b = 'changed' WHERE a = 1 LIMIT 1;
UPDATE no_primary_key SET a = 7 WHERE a IS NULL;
INSERT INTO no_primary_key VALUES (NULL, NULL, NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL, NULL, NULL), (3, '', 0, 0, NULL, '');
DELETE FROM no_primary_key WHERE a = 2;
