CREATE TABLE enum_set (id INT PRIMARY KEY, e ENUM('red', 'grün', 'it''s', 'a,b'), s SET('x', 'y', 'ž', 'w'),
  l ENUM('ä', 'ö') CHARACTER SET latin1, n ENUM('1', '0', '2') NOT NULL);
