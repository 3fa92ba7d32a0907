INSERT INTO nul_stop VALUES (1, 'a\0b');
