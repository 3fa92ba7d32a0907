INSERT INTO json_nul VALUES (1, '{"a": "x\\u0000y"}');
