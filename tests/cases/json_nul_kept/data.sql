INSERT INTO json_nul_kept VALUES (1, '{"a": "x\\u0000y"}'), (2, '{"b":  1, "b": 2}');
