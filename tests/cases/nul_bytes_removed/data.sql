INSERT INTO nul_other VALUES (1, 'a\0b');
