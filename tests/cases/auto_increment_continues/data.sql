INSERT INTO counted VALUES (1, 1), (100, 100);
INSERT INTO counted_second (a) VALUES (1), (1), (2);
