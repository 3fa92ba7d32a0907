SET foreign_key_checks = 0;
DELETE FROM nf_parent WHERE id = 2;
INSERT INTO nf_parent VALUES (2, 22);
INSERT INTO nf_child VALUES (30, 3);
INSERT INTO nf_parent VALUES (3, 3);
TRUNCATE TABLE nf_parent;
INSERT INTO nf_parent VALUES (1, 111), (2, 222), (3, 333);
SET foreign_key_checks = 1;
DELETE FROM nf_parent WHERE id = 1;
