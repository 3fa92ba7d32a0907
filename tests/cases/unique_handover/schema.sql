CREATE TABLE unique_handover (id INT PRIMARY KEY, u INT, w VARCHAR(10) COLLATE {{nopad_bin}}, UNIQUE KEY u (u), UNIQUE KEY w (w));
