INSERT INTO text_common VALUES (2, '', '', '', '', '', '', '', '', '', '', '');
INSERT INTO text_common (id, l1, cp, c) VALUES (3, '‚„…†‡ÿ', 'ю', 'ää');
UPDATE text_common SET m = REPEAT('м', 50000), l = REPEAT('😀', 40000) WHERE id = 1;
INSERT INTO text_common (id, u4, l1, u2, t, x, m, l) VALUES (4, 'end  ', 'end ', '  ', ' tiny  ', 'text\n ', ' ', 'long   ');
