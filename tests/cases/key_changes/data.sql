INSERT INTO key_changes VALUES (1, 'one'), (2, 'two'), (3, 'three'), (4, 'four'), (5, 'five');
