CREATE VIEW harmless_view AS SELECT * FROM harmless_ddl;
DROP VIEW harmless_view;
ANALYZE TABLE harmless_ddl;
CREATE PROCEDURE harmless_procedure() UPDATE harmless_ddl SET v = v + 1;
CALL harmless_procedure();
DROP PROCEDURE harmless_procedure;
UPDATE harmless_ddl SET v = v * 10;
