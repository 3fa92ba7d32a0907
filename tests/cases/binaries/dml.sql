INSERT INTO binaries VALUES (2, 'a', '', NULL, 'x\0y', NULL, NULL), (3, x'61620000', x'6100', x'00', x'00', x'00', x'00');
UPDATE binaries SET b = x'ff000000', vb = REPEAT(x'00ff', 150) WHERE id = 1;
