INSERT INTO `select` VALUES (1, 'a', 1, 1, 1, 1);
INSERT INTO `MixedCase` VALUES (1, 1);
INSERT INTO `with-dash` VALUES (1, 1);
