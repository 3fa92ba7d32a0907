CREATE TABLE folded_values (id INT PRIMARY KEY, s VARCHAR(20), KEY (s));
