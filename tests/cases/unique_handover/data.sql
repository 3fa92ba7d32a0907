INSERT INTO unique_handover VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c'), (4, NULL, NULL), (5, NULL, NULL);
