INSERT INTO nul_removed VALUES (1, 'plain', 'also');
UPDATE nul_other SET b = '\0\0' WHERE id = 1;
