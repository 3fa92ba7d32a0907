CREATE TABLE enum_errors (id INT PRIMARY KEY, e ENUM('red', 'blue'), s SET('x', 'y'), i TINYINT, d DECIMAL(3,1), c VARCHAR(3));
