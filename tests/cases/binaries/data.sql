INSERT INTO binaries VALUES (1, x'00010203', x'00', x'', x'ff00ff', x'5c', x'0a0d09');
