CREATE TABLE exact_keys (code VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY, v INT);
CREATE TABLE exact_unique (id INT PRIMARY KEY, word VARCHAR(20) COLLATE utf8mb4_general_ci, UNIQUE KEY (word));
CREATE TABLE exact_child (id INT PRIMARY KEY, code VARCHAR(20) COLLATE utf8mb4_general_ci,
  FOREIGN KEY (code) REFERENCES exact_keys (code) ON DELETE CASCADE ON UPDATE CASCADE);
