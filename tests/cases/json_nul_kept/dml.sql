UPDATE json_nul_kept SET j = '["\\u0000"]' WHERE id = 2;
INSERT INTO json_nul_kept VALUES (3, '{"a":1, "a": 2}');
