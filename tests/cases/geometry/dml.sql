INSERT INTO shapes (id, p, g) VALUES (4, ST_GeomFromText('POINT(-1 0)'), ST_GeomFromText('POLYGON((0 0, 2 0, 2 2, 0 0))'));
UPDATE shapes SET g = ST_GeomFromText('POINT(2 2)', 4326) WHERE id = 3;
UPDATE shapes SET p = NULL, l = ST_GeomFromText('LINESTRING(1 1, 2 2)') WHERE id = 1;
DELETE FROM places WHERE id = 2;
UPDATE places SET at = ST_GeomFromText('POINT(0 1)') WHERE id = 1;
DELETE FROM shapes_without_key WHERE p = ST_GeomFromText('POINT(1 1)') LIMIT 1;
UPDATE shapes_without_key SET p = ST_GeomFromText('POINT(2 2)') WHERE name = 'b';
