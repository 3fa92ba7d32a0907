CREATE TABLE json_nul_kept (id INT PRIMARY KEY, j JSON);
