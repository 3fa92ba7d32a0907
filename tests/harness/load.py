#!/usr/bin/python3
"""Live load on a customer's database: inserts, updates, deletes, key changes and cascades on the demo's tables.

As a program it runs until its standard input is closed, and prints one JSON line a second: transactions so far, and the
rate. It works on tools/demo/shop.sql and knows its tables; what it does is random, from --seed.
"""

import argparse
import json
import os
import random
import sys
import threading
import time

import pymysql

# Errors that an application meets under load, and simply tries again after: duplicate key, deadlock, lock wait, no parent, referenced.
EXPECTED = {1062, 1205, 1213, 1451, 1452, 1020}
# What it meets when the server goes away or is not back yet.
GONE = {0, 1053, 1927, 2002, 2003, 2006, 2013}


class Refused(Exception):
    """A step that takes back what it has done."""


class Worker(threading.Thread):
    """One application connection."""

    def __init__(self, number, address, database, seed, rate):
        super().__init__(daemon=True)
        self.number, self.address, self.database, self.rate = number, address, database, rate
        self.random = random.Random("%s/%s" % (seed, number))
        self.transactions = 0
        self.refused = 0
        self.stopping = False
        self.failure = None
        self.fresh = 0
        self.patient = False  # a server that goes away is waited for

    def connect(self):
        self.cursor = pymysql.connect(host="127.0.0.1", user="root", password="", database=self.database, charset="utf8mb4",
                                      autocommit=False, **self.address).cursor()

    def take_back(self, error):
        """After a step that failed; raises what an application does not simply go on after."""
        if isinstance(error, Refused) or error.args[0] in EXPECTED:
            try:
                self.cursor.connection.rollback()
                return
            except pymysql.err.MySQLError as lost:
                error = lost
        if not self.patient or error.args[0] not in GONE:
            raise error
        time.sleep(0.1)
        try:
            self.connect()
        except pymysql.err.OperationalError:
            pass  # the next step fails as well

    def run(self):
        try:
            self.connect()
            self.ranges()
            due = time.monotonic()
            while not self.stopping:
                try:
                    self.step()
                    self.cursor.connection.commit()
                    self.transactions += 1
                except (pymysql.err.MySQLError, Refused) as error:
                    self.take_back(error)
                    self.refused += 1
                due += 1 / self.rate
                pause = due - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                elif pause < -1:
                    due = time.monotonic()
            self.cursor.connection.close()
        except Exception as error:  # told by the caller
            self.failure = error

    def ranges(self):
        self.high = {}
        for table in ("customers", "orders", "products", "categories", "employees", "teams"):
            self.cursor.execute("SELECT COALESCE(MAX(id), 1) FROM " + table)
            self.high[table] = self.cursor.fetchone()[0]

    def any(self, table):
        """An id of before the load, mostly; now and then one that was made since."""
        return self.random.randint(1, self.high[table] + (50 if self.random.random() < 0.05 else 0))

    def do(self, sql, *values):
        return self.cursor.execute(sql, values)

    def text(self, length):
        return "".join(self.random.choice("abcdefghij äöüß €😀'\\") for _ in range(self.random.randint(1, length)))

    def new_code(self):
        self.fresh += 1
        return "%s-%d-%d" % (self.random.choice("abcXYZ"), self.number, self.fresh)

    def step(self):
        names = [name for name, _ in self.MIX]
        getattr(self, self.random.choices(names, [weight for _, weight in self.MIX])[0])()

    MIX = [("touch_products", 20), ("touch_customers", 16), ("new_order", 22), ("pay_order", 12), ("move_stock", 14),
           ("drop_order", 4), ("drop_customer", 2), ("new_customer", 6), ("rename_code", 4), ("retag", 4), ("move_key", 3),
           ("reorganise", 2), ("handover", 2), ("note", 5), ("cart", 4), ("roll_back", 1), ("refresh_rates", 2), ("count_stock", 8),
           ("correct_orders", 10)]

    # -- what an application does, a transaction each
    def touch_products(self):
        first = self.any("products")
        self.do("UPDATE products SET price = price + 0.01, touched = touched + 1, updated_at = NOW(6) WHERE id BETWEEN %s AND %s",
                first, first + 9)

    def touch_customers(self):
        first = self.any("customers")
        self.do("UPDATE customers SET balance = balance + 0.5, name = %s, seen_at = NOW(3) WHERE id BETWEEN %s AND %s",
                self.text(30), first, first + 4)
        self.do("UPDATE addresses SET city = %s WHERE customer_id = %s", self.text(20), first)

    def new_order(self):
        self.do("INSERT INTO orders (customer_id, state, total, note) VALUES (%s, 'open', 0, %s)", self.any("customers"), self.text(40))
        order = self.cursor.lastrowid
        for line in range(1, self.random.randint(2, 6)):
            self.do("INSERT INTO order_lines (order_id, line, product_id, quantity, price) VALUES (%s, %s, %s, %s, %s)",
                    order, line, self.any("products"), self.random.randint(1, 9), self.random.randint(1, 9999) / 100)
        self.do("UPDATE orders SET total = (SELECT SUM(quantity * price) FROM order_lines WHERE order_id = %s) WHERE id = %s", order, order)

    def pay_order(self):
        order = self.any("orders")
        if self.do("UPDATE orders SET state = 'paid' WHERE id = %s AND state = 'open'", order):
            self.do("INSERT INTO payments (order_id, amount, method, reference) VALUES (%s, %s, 'card', %s)",
                    order, self.random.randint(1, 99999) / 100, self.random.randbytes(16))
            self.do("INSERT INTO shipments (order_id, carrier) VALUES (%s, %s)", order, self.random.choice(["post", "van", "ship"]))

    def move_stock(self):
        product, amount = self.any("products"), self.random.randint(1, 5)
        self.do("UPDATE stock SET amount = amount - %s WHERE product_id = %s AND warehouse_id = %s", amount, product, self.random.randint(1, 4))
        self.do("UPDATE stock SET amount = amount + %s WHERE product_id = %s AND warehouse_id = %s", amount, product, self.random.randint(1, 4))

    def count_stock(self):
        product = self.any("products")
        self.do("UPDATE stock SET amount = amount + 1 WHERE product_id BETWEEN %s AND %s", product, product + 9)
        self.do("UPDATE price_history SET price = price + 0.01 WHERE product_id BETWEEN %s AND %s", product, product + 9)

    def correct_orders(self):
        order = self.any("orders")
        self.do("UPDATE order_lines SET price = price + 0.01 WHERE order_id BETWEEN %s AND %s", order, order + 9)
        self.do("UPDATE orders SET total = total + 0.02 WHERE id BETWEEN %s AND %s", order, order + 9)

    def drop_order(self):
        self.do("DELETE FROM orders WHERE id = %s", self.any("orders"))  # cascades to lines, payments, shipments

    def drop_customer(self):
        self.do("DELETE FROM customers WHERE id = %s", self.any("customers"))  # cascades far; reviews lose their author

    def new_customer(self):
        self.do("INSERT INTO customers (email, name, balance, preferences) VALUES (%s, %s, 0, %s)", self.new_code() + "@example.org",
                self.text(30), json.dumps({"news": self.random.random() < 0.5, "size": self.random.randint(1, 50), "tags": ["a", self.text(5)]}))
        customer = self.cursor.lastrowid
        self.do("INSERT INTO addresses (customer_id, kind, street, city) VALUES (%s, 'home', %s, %s)", customer, self.text(30), self.text(20))
        self.do("INSERT INTO reviews (product_id, customer_id, stars, body) VALUES (%s, %s, %s, %s)", self.any("products"), customer,
                self.random.randint(1, 5), self.text(200))

    def rename_code(self):
        self.do("UPDATE vouchers SET code = %s WHERE id = %s", self.new_code(), self.random.randint(1, 500))
        self.do("UPDATE categories SET code = %s WHERE id = %s", self.new_code(), self.any("categories"))  # ON UPDATE CASCADE

    def retag(self):
        product = self.any("products")
        self.do("DELETE FROM product_tags WHERE product_id = %s", product)
        for tag in self.random.sample(range(1, 41), 3):
            self.do("INSERT INTO product_tags (product_id, tag_id) VALUES (%s, %s)", product, tag)

    def move_key(self):
        order, line = self.any("orders"), self.random.randint(1, 5)
        self.do("UPDATE order_lines SET line = line + 100 WHERE order_id = %s AND line = %s", order, line)
        self.do("UPDATE settings SET name = %s WHERE name = %s", "s%d" % self.random.randint(1, 400), "s%d" % self.random.randint(1, 400))

    def reorganise(self):
        self.do("UPDATE employees SET boss_id = %s WHERE id = %s", self.random.randint(1, 20), self.random.randint(21, self.high["employees"]))
        self.do("UPDATE teams SET lead_id = %s WHERE id = %s", self.any("employees"), self.any("teams"))
        if self.random.random() < 0.2:
            self.do("DELETE FROM employees WHERE id = %s", self.random.randint(21, self.high["employees"]))  # set null, and cascades
        else:
            self.do("INSERT INTO employees (name, team_id, boss_id) VALUES (%s, %s, %s)", self.text(20), self.any("teams"), self.random.randint(1, 20))

    def handover(self):
        a, b = self.random.sample(range(1, 301), 2)
        self.do("SELECT slot FROM lockers WHERE id IN (%s, %s) FOR UPDATE", a, b)
        slots = [row[0] for row in self.cursor.fetchall()]
        if len(slots) == 2:
            self.do("UPDATE lockers SET slot = NULL WHERE id = %s", a)
            self.do("UPDATE lockers SET slot = %s WHERE id = %s", slots[0], b)
            self.do("UPDATE lockers SET slot = %s WHERE id = %s", slots[1], a)

    def note(self):
        self.do("INSERT INTO event_log (at, kind, body) VALUES (NOW(6), %s, %s)", self.random.choice(["in", "out"]), self.text(60))
        if self.random.random() < 0.3:
            self.do("DELETE FROM event_log WHERE kind = 'out' LIMIT 2")

    def cart(self):
        customer = self.any("customers")
        self.do("REPLACE INTO carts (customer_id, content) VALUES (%s, %s)", customer, json.dumps([self.random.randint(1, 99) for _ in range(4)]))
        self.do("INSERT INTO wishes (customer_id, product_id, rank_no) VALUES (%s, %s, 1) ON DUPLICATE KEY UPDATE rank_no = rank_no + 1",
                customer, self.any("products"))

    def roll_back(self):
        self.do("DELETE FROM orders WHERE id BETWEEN %s AND %s", 1, 5)
        self.cursor.connection.rollback()
        self.do("UPDATE warehouses SET capacity = capacity + 1 WHERE id = %s", self.random.randint(1, 4))

    def refresh_rates(self):
        self.do("UPDATE rates SET rate = rate * 1.0001, at = NOW(3) WHERE currency IN ('EUR', 'USD', 'JPY')")


class Load:
    """Workers on one database. Many short transactions are spread over a few connections."""

    def __init__(self, port, database, workers=3, rate=350, seed=1, socket=None, worker=Worker, patient=False):
        address = {"unix_socket": socket} if socket else {"port": port}
        self.workers = [worker(number, address, database, seed, rate / workers) for number in range(workers)]
        for one in self.workers:
            one.patient = patient

    def start(self):
        for worker in self.workers:
            worker.start()
        return self

    @property
    def transactions(self):
        return sum(worker.transactions for worker in self.workers)

    def check(self):
        for worker in self.workers:
            if worker.failure:
                raise worker.failure

    def stop(self):
        for worker in self.workers:
            worker.stopping = True
        for worker in self.workers:
            worker.join(30)
        self.check()


def main():
    parser = argparse.ArgumentParser(description="Live load on a customer's database, until standard input is closed.")
    parser.add_argument("--port", type=int)
    parser.add_argument("--socket")
    parser.add_argument("--database", required=True)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--rate", type=float, default=350, help="transactions a second to aim at")
    parser.add_argument("--seed", default="1")
    arguments = parser.parse_args()
    load = Load(arguments.port, arguments.database, arguments.workers, arguments.rate, arguments.seed, arguments.socket).start()
    ended = threading.Event()

    def watch():
        sys.stdin.read()
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    before, begun = 0, time.monotonic()
    while not ended.wait(1):
        load.check()
        now, at = load.transactions, time.monotonic()
        print(json.dumps({"transactions": now, "rate": round((now - before) / (at - begun))}), flush=True)
        before, begun = now, at
    load.stop()
    print(json.dumps({"transactions": load.transactions, "rate": 0}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
