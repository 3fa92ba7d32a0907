INSERT INTO defaults (id) VALUES (1);
UPDATE defaults SET d = '2001-01-01';
