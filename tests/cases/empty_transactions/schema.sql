CREATE TABLE empty_transactions (id INT PRIMARY KEY, v INT);
