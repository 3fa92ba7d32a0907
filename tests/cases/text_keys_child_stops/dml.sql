INSERT INTO folded_child VALUES (2, 'ABC');
