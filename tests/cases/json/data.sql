INSERT INTO jsons VALUES (1, '{"b": 1, "a": [1, 2.5, -3, true, false, null, "x"], "ä": {"deep": {"er": []}}}');
