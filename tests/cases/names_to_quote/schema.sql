CREATE TABLE `select` (`from` INT PRIMARY KEY, `Order By` VARCHAR(20), `ünï` INT, `q"uote` INT, `UPPER` INT, `user` INT);
CREATE TABLE `MixedCase` (`Id` INT PRIMARY KEY, `camelCase` INT);
CREATE TABLE `with-dash` (id INT PRIMARY KEY, `a.b` INT);
