UPDATE unique_as_key SET v = 10 WHERE code = 'a';
UPDATE unique_as_key SET code = 'b' WHERE code = 'A';
DELETE FROM unique_as_key WHERE code = 'a ';
DELETE FROM unique_nullable WHERE a IS NULL LIMIT 1;
UPDATE unique_nullable SET v = 5 WHERE a = 1;
