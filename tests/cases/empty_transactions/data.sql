INSERT INTO empty_transactions VALUES (1, 1), (2, 2);
