UPDATE folded_values SET s = 'Abc' WHERE s = 'abc' AND id = 1;
UPDATE folded_values SET s = 'abc' WHERE id = 2;
DELETE FROM folded_values WHERE s LIKE 'äbc' AND id = 4;
