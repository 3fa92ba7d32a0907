INSERT INTO uuid_inet VALUES ('00000000-0000-0000-0000-000000000000', '::', '0.0.0.0'), ('ffffffff-ffff-ffff-ffff-ffffffffffff', '::ffff:1.2.3.4', '255.255.255.255'),
  ('0b8e2e5e-2b9a-4c1b-9d0c-1f2e3d4c5b6a', NULL, NULL);
UPDATE uuid_inet SET i4 = '10.0.0.1' WHERE id = '123e4567-e89b-12d3-a456-426655440000';
DELETE FROM uuid_inet WHERE id = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
INSERT INTO uuid_inet VALUES ('01020304-0506-0708-090a-0b0c0d0e0f10', '::ffff:10.1.2.3', '1.2.3.4');
