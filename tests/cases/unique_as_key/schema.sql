CREATE TABLE unique_as_key (code VARCHAR(10) COLLATE {{nopad_bin}} NOT NULL, v INT, w INT, UNIQUE KEY code (code));
CREATE TABLE unique_nullable (a INT, v INT, UNIQUE KEY a (a));
