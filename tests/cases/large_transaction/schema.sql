CREATE TABLE large_transaction (id INT PRIMARY KEY, s VARCHAR(200), KEY (s));
