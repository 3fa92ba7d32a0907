INSERT INTO jsons VALUES (2, '[]'), (3, '{}'), (4, '"text \\"quoted\\" \\\\ \\n \\u00e4 😀"'), (5, '123456789012345'), (6, 'null'), (7, NULL),
  (8, '18446744073709551615'), (9, '-9223372036854775808'), (10, '1.7976931348623157e308'), (11, 'true'), (12, '{"": "", "a b": [[[]]]}');
UPDATE jsons SET j = JSON_SET(j, '$.b', 2, '$.new', 'é') WHERE id = 1;
INSERT INTO jsons VALUES (13, CONCAT('{"long": "', REPEAT('x', 70000), '", "z": 1}'));
INSERT INTO jsons VALUES (14, '{"more digits than a double has": [0.1234567890123456789012, 9007199254740993.5]}');
