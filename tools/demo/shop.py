"""Makes a customer's database of any size; the same seed makes the same rows."""

import json
import os
import random

DIRECTORY = os.path.dirname(os.path.abspath(__file__))
NOPAD_BIN = {"mariadb": "utf8mb4_nopad_bin", "mysql": "utf8mb4_0900_bin"}


def script(name, engine):
    with open(os.path.join(DIRECTORY, name), encoding="utf-8") as file:
        return file.read().replace("{{nopad_bin}}", NOPAD_BIN[engine])


def _rows(size, rng):
    """Table -> (columns, rows), parents first."""
    customers, products, orders = size, size, 2 * size
    words = ["Ärger", "blue", "c'est", "dé\tjà", "große", "naïve", "x\\y", "日本", "🙂", "plain", "\"quoted\"", "line\nbreak"]

    def text(n):
        return " ".join(rng.choice(words) for _ in range(n))

    def stamp(low=2001):
        return "%d-%02d-%02d %02d:%02d:%02d.%06d" % (rng.randint(low, 2024), rng.randint(1, 12), rng.randint(1, 28),
                                                   rng.randint(3, 23), rng.randint(0, 59), rng.randint(0, 59), rng.randrange(10**6))

    def some(chance, value):
        return value if rng.random() < chance else None

    categories = max(20, size // 50)
    yield "customers", "id, email, name, balance, preferences, seen_at", (
        (i, "c%d@example.org" % i, text(2), rng.randint(-10**6, 10**6) / 100,
         json.dumps({"n": i, "tags": [text(1)], "ratio": rng.random()}), some(.8, stamp())) for i in range(1, customers + 1))
    yield "addresses", "customer_id, kind, street, city", (
        (i, rng.choice(["home", "work", "other"]), text(3), some(.9, text(1))) for i in range(1, customers + 1))
    yield "carts", "customer_id, content", ((i, json.dumps([i, i + 1])) for i in range(1, customers + 1, 4))
    yield "categories", "id, code, parent_id, name", (
        (i, "cat-%d" % i, some(.9, rng.randint(1, i - 1)) if i > 1 else None, text(1)) for i in range(1, categories + 1))
    yield "category_texts", "code, language, body", (
        ("cat-%d" % i, language, text(8)) for i in range(1, categories + 1) for language in ("de", "en"))
    yield "suppliers", "id, name, rating, active", ((i, text(2), rng.random() * 5, i % 2) for i in range(1, 61))
    yield "products", "id, sku, category_id, title, price, weight, flags, bits, touched, updated_at, released", (
        (i, "sku-%d" % i, some(.95, rng.randint(1, categories)), text(4), rng.randint(1, 10**6) / 100, some(.9, rng.random() * 100),
         ",".join(f for f in ("new", "sale", "heavy", "fragile") if rng.random() < .3), rng.randrange(4096), 0, some(.5, stamp(1970)),
         some(.7, stamp(1950)[:10])) for i in range(1, products + 1))
    yield "supplier_products", "supplier_id, product_id, cost, delivery", (
        (rng.randint(1, 60), i, rng.randint(1, 10**6) / 10**4, "%d:%02d:00" % (rng.randint(-100, 800), rng.randint(0, 59)))
        for i in range(1, products + 1))
    yield "tags", "id, word", ((i, "tag%d" % i) for i in range(1, 41))
    yield "product_tags", "product_id, tag_id", ((i, tag) for i in range(1, products + 1) for tag in rng.sample(range(1, 41), 2))
    yield "price_history", "product_id, valid_from, price", (
        (i, "20%02d-01-01" % year, rng.randint(1, 10**6) / 100) for i in range(1, products + 1) for year in (20, 22))
    yield "warehouses", "id, place, capacity, opened", ((i, text(1), 2**63 + i, 1990 + i) for i in range(1, 5))
    yield "stock", "warehouse_id, product_id, amount", (
        (warehouse, i, rng.randint(0, 500)) for i in range(1, products + 1) for warehouse in (1 + i % 2, 3 + i % 2))
    yield "orders", "id, customer_id, state, total, note, made_at", (
        (i, rng.randint(1, customers), rng.choice(["open", "paid", "sent"]), rng.randint(1, 10**7) / 100, some(.6, text(6)), stamp()[:19])
        for i in range(1, orders + 1))
    yield "order_lines", "order_id, line, product_id, quantity, price", (
        (i, line, rng.randint(1, products), rng.randint(1, 9), rng.randint(1, 10**6) / 100)
        for i in range(1, orders + 1) for line in range(1, 3))
    yield "payments", "order_id, amount, method, reference", (
        (i, rng.randint(1, 10**6) / 100, rng.choice(["card", "bank"]), rng.randbytes(16)) for i in range(1, orders + 1, 2))
    yield "shipments", "order_id, carrier", ((some(.95, i), rng.choice(["post", "van"])) for i in range(1, orders + 1, 3))
    yield "reviews", "product_id, customer_id, stars, body", (
        (rng.randint(1, products), some(.9, rng.randint(1, customers)), rng.randint(1, 5), text(20)) for _ in range(size // 2))
    yield "wishes", "customer_id, product_id, rank_no", ((i, rng.randint(1, products), 1) for i in range(1, customers + 1, 3))
    yield "teams", "id, name, lead_id", ((i, text(1), None) for i in range(1, 11))
    yield "employees", "id, name, team_id, boss_id", (
        (i, text(2), some(.9, rng.randint(1, 10)), rng.randint(1, min(20, i - 1)) if i > 1 else None) for i in range(1, 201))
    yield "vouchers", "id, code, percent", ((i, "V%d" % i, i % 100) for i in range(1, 501))
    yield "settings", "name, value", (("s%d" % i, text(10)) for i in range(1, 301))
    yield "lockers", "id, slot", ((i, some(.8, i)) for i in range(1, 301))
    yield "rates", "currency, rate, at", ((c, rng.random() * 100, stamp()) for c in ("EUR", "USD", "JPY", "GBP", "CHF"))
    yield "documents", "id, body, pages", ((rng.randbytes(16), rng.randbytes(rng.randint(0, 3000)), i) for i in range(1, size // 20 + 1))
    yield "event_log", "at, kind, body", ((stamp(), rng.choice(["in", "out"]), text(4)) for _ in range(size // 10))
    yield "pulse", "id, beat", iter([(1, 0)])


def create(server, database, size, seed, extra=None):
    """`size` products and customers, and about 20 times as many rows over all tables."""
    server.client("CREATE DATABASE %s CHARACTER SET utf8mb4" % database)
    server.client(script("shop.sql", server.engine), database)
    connection = server.connect(database)
    cursor = connection.cursor()
    cursor.execute("SET time_zone = '+00:00'")
    total = 0
    for table, columns, rows in _rows(size, random.Random(seed)):
        total += _insert(cursor, table, columns, rows)
    connection.commit()
    cursor.execute("UPDATE teams SET lead_id = id * 3")
    connection.commit()
    if extra:
        server.client(script(extra, server.engine), database)
        rng = random.Random(seed)
        cursor.execute("UPDATE customers SET vat_number = CONCAT('VAT', id), credit_limit = id WHERE id % 3 > 0")
        cursor.execute("UPDATE orders SET channel = ELT(1 + id % 3, 'web', 'shop', NULL)")
        total += _insert(cursor, "loyalty_cards", "number, customer_id, points",
                         ((2**63 + i, rng.randint(1, size), i) for i in range(1, size // 4)))
        connection.commit()
    connection.close()
    return total


def _insert(cursor, table, columns, rows):
    statement = "INSERT INTO %s (%s) VALUES (%s)" % (table, columns, ", ".join(["%s"] * len(columns.split(","))))
    count, batch = 0, []
    for row in rows:
        batch.append(row)
        if len(batch) == 1000:
            cursor.executemany(statement, batch)
            count, batch = count + len(batch), []
    if batch:
        cursor.executemany(statement, batch)
    return count + len(batch)
