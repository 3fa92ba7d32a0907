INSERT INTO binary_keys VALUES ('a', 'a'), (x'610001', x'6100');
