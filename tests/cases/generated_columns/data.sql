INSERT INTO generated_columns (id, a, name) VALUES (1, 10, 'ten');
