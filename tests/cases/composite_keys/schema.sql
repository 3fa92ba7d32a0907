CREATE TABLE composite_parent (a INT NOT NULL, b VARCHAR(10) COLLATE {{nopad_bin}} NOT NULL, v INT, PRIMARY KEY (b, a));
CREATE TABLE composite_child (id BIGINT AUTO_INCREMENT PRIMARY KEY, pb VARCHAR(10) COLLATE {{nopad_bin}}, pa INT,
  KEY (pb, pa), CONSTRAINT composite_fk FOREIGN KEY (pb, pa) REFERENCES composite_parent (b, a));
