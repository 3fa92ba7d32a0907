CREATE TABLE self_reference (id INT PRIMARY KEY, boss INT, name VARCHAR(10), FOREIGN KEY (boss) REFERENCES self_reference (id) ON DELETE CASCADE);
CREATE TABLE self_plain (id INT PRIMARY KEY, next INT, FOREIGN KEY (next) REFERENCES self_plain (id));
