-- What only this customer has: a table and three columns of its own.
ALTER TABLE customers ADD COLUMN vat_number VARCHAR(20), ADD COLUMN credit_limit DECIMAL(12,2);
ALTER TABLE orders ADD COLUMN channel VARCHAR(20);
CREATE TABLE loyalty_cards (
  number BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  customer_id INT UNSIGNED NOT NULL,
  points INT NOT NULL DEFAULT 0,
  CONSTRAINT card_customer FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE CASCADE
);
