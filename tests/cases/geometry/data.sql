INSERT INTO shapes VALUES (1, ST_GeomFromText('POINT(1 2)'), ST_GeomFromText('POINT(2 1)'), ST_GeomFromText('LINESTRING(0 0, 1 2)'),
  ST_GeomFromText('POLYGON((0 0, 2 0, 2 2, 0 0))'), ST_GeomFromText('MULTIPOINT(1 1, 2 2)'), ST_GeomFromText('MULTILINESTRING((0 0, 1 1))'),
  ST_GeomFromText('MULTIPOLYGON(((0 0, 2 0, 2 2, 0 0)))'), ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2))'));
INSERT INTO shapes (id, g) VALUES (2, ST_GeomFromText('LINESTRING(0 0, 1 1)', 4326)), (3, NULL);
INSERT INTO places VALUES (1, ST_GeomFromText('POINT(1 1)')), (2, ST_GeomFromText('POINT(2 2)'));
INSERT INTO shapes_without_key VALUES (ST_GeomFromText('POINT(1 1)'), 'a'), (ST_GeomFromText('POINT(1 1)'), 'a'), (NULL, 'b');
