INSERT INTO nf_parent VALUES (1, 1), (2, 2);
INSERT INTO nf_child VALUES (10, 1), (20, 2), (21, 2);
