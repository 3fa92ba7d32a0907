INSERT INTO nul_removed VALUES (1, 'plain', 'also'), (2, 'a\0b', '\0'), (3, '\0\0end\0', 'ä\0€');
UPDATE nul_other SET b = '\0\0' WHERE id = 1;
UPDATE nul_removed SET x = 'in\0side' WHERE id = 2;
