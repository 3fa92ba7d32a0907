INSERT INTO same_value VALUES (1, 1, NULL), (2, 2, NULL);
