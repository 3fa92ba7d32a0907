INSERT INTO `select` VALUES (2, 'b', 2, 2, 2, 2);
UPDATE `select` SET `Order By` = 'c', `q"uote` = 9 WHERE `from` = 1;
UPDATE `MixedCase` SET `Id` = 5;
UPDATE `with-dash` SET `a.b` = 7;
