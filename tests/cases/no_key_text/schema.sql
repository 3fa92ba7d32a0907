CREATE TABLE no_key_text (s VARCHAR(20), t TEXT, j JSON, e ENUM('a', 'b'), ts TIMESTAMP(3) NULL, f FLOAT);
