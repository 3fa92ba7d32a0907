INSERT INTO unsigned_fractions VALUES (4, NULL, NULL, NULL, NULL, NULL), (5, 0.0001, 4294967296, 16777216, 18446744073709551615, 0.25);
UPDATE unsigned_fractions SET de = de - 0.0001, n = n - 1, f = 0.25, d = d / 2, r = 3 WHERE id = 2;
DELETE FROM unsigned_fractions WHERE id = 3;
