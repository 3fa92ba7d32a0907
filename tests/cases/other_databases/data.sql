INSERT INTO other_databases VALUES (1, 1);
