CREATE TABLE zero_partial (id INT PRIMARY KEY, d DATE);
