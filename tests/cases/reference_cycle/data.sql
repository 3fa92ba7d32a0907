INSERT INTO cycle_a VALUES (1, NULL, 0), (2, NULL, 0);
INSERT INTO cycle_b VALUES (1, 1, 0), (2, 2, 0);
UPDATE cycle_a SET b = id;
