INSERT INTO enum_set VALUES (1, 'red', 'x', 'ä', '1'), (2, 'grün', 'x,ž', 'ö', '0');
