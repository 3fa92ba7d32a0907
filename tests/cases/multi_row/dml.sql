INSERT INTO multi_row WITH RECURSIVE n (i) AS (SELECT 501 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i, i % 7, CONCAT('row ', i) FROM n;
UPDATE multi_row SET v = v + 100 WHERE id % 3 = 0;
DELETE FROM multi_row WHERE id % 5 = 0;
REPLACE INTO multi_row VALUES (1, 1, 'replaced'), (5, 5, 'new again'), (2000, 0, 'x');
INSERT INTO multi_row VALUES (1, 9, 'odku'), (3000, 9, 'y') ON DUPLICATE KEY UPDATE v = 77, s = CONCAT(s, '+');
