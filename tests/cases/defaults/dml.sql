INSERT INTO defaults (a, d) VALUES (NULL, NULL);
UPDATE defaults SET b = DEFAULT, a = 8 WHERE id = 1;
