INSERT INTO binary_keys VALUES (x'6200ff', x'610000');
UPDATE binary_keys SET v = x'7a' WHERE k = x'610000';
UPDATE binary_keys SET k = x'630000' WHERE k = x'610001';
DELETE FROM binary_keys WHERE v = x'610000';
INSERT INTO binary_keys VALUES (x'000000', x'');
