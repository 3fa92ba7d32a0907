INSERT INTO text_charsets VALUES (2, 'tab\tnew\nline\\back''quote"', 'x\ry', '', NULL, 'юЯ', '日本', '漢字', 'ß', 'ё', '~');
INSERT INTO text_charsets VALUES (3, '  spaces  ', ' ', '‚„…†‡', 'łŁżŻ', 'ї', '表', '碼', '𝄞', '─', 'x');
UPDATE text_charsets SET l1 = CONCAT(l1, 'ÿ'), sj = CONCAT(sj, '能'), u4 = CONCAT(u4, '🏁') WHERE id = 1;
