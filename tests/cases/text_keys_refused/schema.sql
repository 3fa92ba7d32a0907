CREATE TABLE keys_refused (code VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY, v INT);
CREATE TABLE unique_refused (id INT PRIMARY KEY, word VARCHAR(20) COLLATE utf8mb4_bin, UNIQUE KEY (word));
