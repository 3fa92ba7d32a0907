CREATE TABLE folded_parent (code VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY);
CREATE TABLE folded_child (id INT PRIMARY KEY, code VARCHAR(20) COLLATE utf8mb4_general_ci, FOREIGN KEY (code) REFERENCES folded_parent (code));
