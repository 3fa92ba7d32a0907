CREATE TABLE checked (id INT PRIMARY KEY, a INT CHECK (a > 0), b INT, CONSTRAINT ordered CHECK (a < b));
