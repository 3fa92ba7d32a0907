INSERT INTO generated_columns (id, a, name) VALUES (2, 20, 'twenty'), (3, NULL, 'none');
UPDATE generated_columns SET a = 11, name = 'eleven' WHERE id = 1;
DELETE FROM generated_columns WHERE id = 2;
