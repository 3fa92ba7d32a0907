-- A customer's database: 28 related tables. {{nopad_bin}} is the server's binary collation that does not pad: the equality
-- that PostgreSQL has too.

CREATE TABLE customers (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  email VARCHAR(80) COLLATE {{nopad_bin}} NOT NULL,
  name VARCHAR(80) NOT NULL,
  balance DECIMAL(12,2) NOT NULL DEFAULT 0,
  preferences JSON,
  seen_at TIMESTAMP(3) NULL,
  UNIQUE KEY email (email)
);
CREATE TABLE addresses (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer_id INT UNSIGNED NOT NULL,
  kind ENUM('home', 'work', 'other') NOT NULL,
  street VARCHAR(80),
  city VARCHAR(60),
  CONSTRAINT address_customer FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE CASCADE
);
CREATE TABLE carts (
  customer_id INT UNSIGNED NOT NULL PRIMARY KEY,
  content JSON,
  CONSTRAINT cart_customer FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE CASCADE
);

-- A self reference, and a code that others point to and that changes.
CREATE TABLE categories (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  code VARCHAR(30) COLLATE {{nopad_bin}} NOT NULL,
  parent_id INT,
  name VARCHAR(60),
  UNIQUE KEY code (code),
  CONSTRAINT category_parent FOREIGN KEY (parent_id) REFERENCES categories (id) ON DELETE SET NULL
);
CREATE TABLE category_texts (
  code VARCHAR(30) COLLATE {{nopad_bin}} NOT NULL,
  language CHAR(2) COLLATE {{nopad_bin}} NOT NULL,
  body TEXT,
  PRIMARY KEY (code, language),
  CONSTRAINT category_text FOREIGN KEY (code) REFERENCES categories (code) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE suppliers (
  id SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
  name VARCHAR(60) NOT NULL,
  rating FLOAT,
  active BOOL NOT NULL DEFAULT TRUE
);
CREATE TABLE products (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  sku VARCHAR(20) COLLATE {{nopad_bin}} NOT NULL,
  category_id INT,
  title VARCHAR(120) NOT NULL,
  price DECIMAL(10,2) NOT NULL,
  weight DOUBLE,
  flags SET('new', 'sale', 'heavy', 'fragile') NOT NULL DEFAULT '',
  bits BIT(12),
  touched INT UNSIGNED NOT NULL DEFAULT 0,
  updated_at DATETIME(6),
  released DATE,
  UNIQUE KEY sku (sku),
  KEY by_price (price, id),
  CONSTRAINT product_category FOREIGN KEY (category_id) REFERENCES categories (id)
);
CREATE TABLE supplier_products (
  supplier_id SMALLINT UNSIGNED NOT NULL,
  product_id INT NOT NULL,
  cost DECIMAL(10,4),
  delivery TIME,
  PRIMARY KEY (supplier_id, product_id),
  CONSTRAINT sp_supplier FOREIGN KEY (supplier_id) REFERENCES suppliers (id),
  CONSTRAINT sp_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE
);
CREATE TABLE tags (
  id SMALLINT NOT NULL PRIMARY KEY,
  word VARCHAR(30) COLLATE {{nopad_bin}} NOT NULL,
  UNIQUE KEY word (word)
);
CREATE TABLE product_tags (
  product_id INT NOT NULL,
  tag_id SMALLINT NOT NULL,
  PRIMARY KEY (tag_id, product_id),
  KEY by_product (product_id),
  CONSTRAINT pt_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE,
  CONSTRAINT pt_tag FOREIGN KEY (tag_id) REFERENCES tags (id) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE price_history (
  product_id INT NOT NULL,
  valid_from DATE NOT NULL,
  price DECIMAL(10,2) NOT NULL,
  PRIMARY KEY (product_id, valid_from),
  CONSTRAINT ph_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE
);
CREATE TABLE warehouses (
  id TINYINT UNSIGNED NOT NULL PRIMARY KEY,
  place VARCHAR(40) NOT NULL,
  capacity BIGINT UNSIGNED NOT NULL,
  opened YEAR
);
CREATE TABLE stock (
  warehouse_id TINYINT UNSIGNED NOT NULL,
  product_id INT NOT NULL,
  amount INT NOT NULL,
  PRIMARY KEY (product_id, warehouse_id),
  CONSTRAINT stock_warehouse FOREIGN KEY (warehouse_id) REFERENCES warehouses (id),
  CONSTRAINT stock_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE
);

CREATE TABLE orders (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer_id INT UNSIGNED NOT NULL,
  state ENUM('open', 'paid', 'sent', 'gone') NOT NULL DEFAULT 'open',
  total DECIMAL(14,2) NOT NULL DEFAULT 0,
  note TEXT,
  made_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  CONSTRAINT order_customer FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE CASCADE
);
CREATE TABLE order_lines (
  order_id BIGINT UNSIGNED NOT NULL,
  line SMALLINT NOT NULL,
  product_id INT NOT NULL,
  quantity INT NOT NULL,
  price DECIMAL(10,2) NOT NULL,
  PRIMARY KEY (order_id, line),
  CONSTRAINT line_order FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE,
  CONSTRAINT line_product FOREIGN KEY (product_id) REFERENCES products (id)
);
CREATE TABLE payments (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  order_id BIGINT UNSIGNED NOT NULL,
  amount DECIMAL(14,2) NOT NULL,
  method VARCHAR(20) NOT NULL,
  reference VARBINARY(32),
  CONSTRAINT payment_order FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE
);
CREATE TABLE shipments (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  order_id BIGINT UNSIGNED,
  carrier VARCHAR(20) NOT NULL,
  CONSTRAINT shipment_order FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE
);
CREATE TABLE reviews (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  product_id INT NOT NULL,
  customer_id INT UNSIGNED,
  stars TINYINT NOT NULL,
  body MEDIUMTEXT,
  CONSTRAINT review_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE,
  CONSTRAINT review_customer FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE SET NULL
);
CREATE TABLE wishes (
  customer_id INT UNSIGNED NOT NULL,
  product_id INT NOT NULL,
  rank_no INT NOT NULL,
  PRIMARY KEY (customer_id, product_id),
  CONSTRAINT wish_customer FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE CASCADE,
  CONSTRAINT wish_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE
);

-- Two tables that refer to each other.
CREATE TABLE teams (
  id INT NOT NULL PRIMARY KEY,
  name VARCHAR(40) NOT NULL,
  lead_id INT
);
CREATE TABLE employees (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(60) NOT NULL,
  team_id INT,
  boss_id INT,
  CONSTRAINT employee_team FOREIGN KEY (team_id) REFERENCES teams (id),
  CONSTRAINT employee_boss FOREIGN KEY (boss_id) REFERENCES employees (id) ON DELETE SET NULL
);
ALTER TABLE teams ADD CONSTRAINT team_lead FOREIGN KEY (lead_id) REFERENCES employees (id) ON DELETE SET NULL;

CREATE TABLE vouchers (
  id INT NOT NULL PRIMARY KEY,
  code VARCHAR(40) COLLATE {{nopad_bin}} NOT NULL,
  percent TINYINT UNSIGNED NOT NULL,
  UNIQUE KEY code (code)
);
CREATE TABLE settings (
  name VARCHAR(40) COLLATE {{nopad_bin}} NOT NULL PRIMARY KEY,
  value LONGTEXT
);
CREATE TABLE lockers (
  id INT NOT NULL PRIMARY KEY,
  slot INT,
  UNIQUE KEY slot (slot)
);
CREATE TABLE rates (
  currency CHAR(3) COLLATE {{nopad_bin}} NOT NULL PRIMARY KEY,
  rate DOUBLE NOT NULL,
  at DATETIME(3)
);
CREATE TABLE documents (
  id BINARY(16) NOT NULL PRIMARY KEY,
  body MEDIUMBLOB,
  pages SMALLINT UNSIGNED
);
CREATE TABLE event_log (
  at DATETIME(6) NOT NULL,
  kind VARCHAR(10) NOT NULL,
  body VARCHAR(200)
);
-- Written once in a while, to measure how long a change takes to arrive.
CREATE TABLE pulse (
  id INT NOT NULL PRIMARY KEY,
  beat BIGINT NOT NULL
);
