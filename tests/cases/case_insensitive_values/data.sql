INSERT INTO folded_values VALUES (1, 'abc'), (2, 'ABC'), (3, 'abc  '), (4, 'äbc');
