CREATE TABLE skip_this (id INT PRIMARY KEY);
INSERT INTO skip_this VALUES (1);
INSERT INTO kept_rows VALUES (2);
DROP TABLE skip_this;
