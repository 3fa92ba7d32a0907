UPDATE same_value SET v = v;
UPDATE same_value SET v = 3 WHERE id = 2;
UPDATE same_value SET v = 2 WHERE id = 2;
