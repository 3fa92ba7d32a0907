CREATE TABLE harmless_ddl (id INT PRIMARY KEY, v INT);
