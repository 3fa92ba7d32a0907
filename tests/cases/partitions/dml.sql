INSERT INTO parted VALUES (3, '1999-12-31', 4);
UPDATE parted SET d = '2022-02-02' WHERE id = 1 AND v = 1;
DELETE FROM parted WHERE v = 2;
