"""Tables with a column of every kind, one for each kind of key, and the load that is on them while they are compared.

Rows have a number `n`, in one of three classes: n % 3 == 0 the load leaves alone, of n % 3 == 1 it writes the column `touched` only (and three
rows of each table all the time), and with all others, and those that it makes, it does as it likes: every column, deletes, inserts and changed keys.
"""

import json
import uuid

import load

ALONE, TOUCHED, WILD = 0, 1, 2
HOT = (1, 4, 7)

# name, type, the engines that have it (all: None), and how a value is written in an INSERT.
COLUMNS = [
    ("t", "TINYINT", None), ("su", "SMALLINT UNSIGNED", None), ("m", "MEDIUMINT", None), ("i", "INT", None), ("iu", "INT UNSIGNED", None),
    ("b", "BIGINT", None), ("bu", "BIGINT UNSIGNED", None), ("de", "DECIMAL(30,10)", None), ("whole", "DECIMAL(20,0)", None), ("fl", "FLOAT", None),
    ("db", "DOUBLE", None), ("bt", "BIT(12)", None), ("bits", "BIT(64)", None), ("c", "CHAR(10)", None), ("v", "VARCHAR(60)", None),
    ("l1", "VARCHAR(40) CHARACTER SET latin1", None), ("tx", "TEXT", None), ("bi", "BINARY(6)", None), ("vb", "VARBINARY(40)", None),
    ("bl", "BLOB", None), ("d", "DATE", None), ("dt", "DATETIME(6)", None), ("ts", "TIMESTAMP(6) NULL", None), ("ti", "TIME(6)", None),
    ("y", "YEAR", None), ("e", "ENUM('red', 'green', 'blue')", None), ("s", "SET('x', 'y', 'z')", None), ("j", "JSON", None), ("g", "GEOMETRY", None),
    ("u", "UUID", "mariadb"), ("i6", "INET6", "mariadb"), ("i4", "INET4", "mariadb"), ("ve", "VECTOR(3)", "mysql"),
]
WRITTEN = {"g": "ST_GeomFromText(%s)", "ve": "STRING_TO_VECTOR(%s)"}


def _uuid(n):
    return uuid.UUID(int=n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128, version=4)


def _time(n):
    return "2001-%02d-%02d %02d:%02d:%02d.%06d" % (n % 12 + 1, n // 12 % 28 + 1, n % 24, n // 24 % 60, n % 60, n % 10**6)


def _price(n):
    return ("-" if n % 2 else "") + "%d.%04d" % (n // 10, n % 10 * 1000 + 5)


class Table:
    """`key` is [(column, type)]; of(n) its values for row n, shown(n) how a difference names it."""

    def __init__(self, name, key, of, shown):
        self.name, self.key, self.of, self.shown = name, key, of, shown


def tables(engine):
    nopad = {"mariadb": "utf8mb4_nopad_bin", "mysql": "utf8mb4_0900_bin"}[engine]
    made = [
        Table("by_number", [("id", "INT")], lambda n: [n * 7], lambda n: "id=%d" % (n * 7)),
        Table("by_top", [("id", "BIGINT UNSIGNED")], lambda n: [2**64 - n], lambda n: "id=%d" % (2**64 - n)),
        Table("by_two", [("word", "VARCHAR(20) COLLATE " + nopad), ("part", "SMALLINT")], lambda n: ["w%d" % (n // 5), n % 5],
              lambda n: "word='w%d', part=%d" % (n // 5, n % 5)),
        Table("by_text", [("word", "VARCHAR(30) COLLATE " + nopad)], lambda n: ["Ünï %d\\" % n], lambda n: "word='Ünï %d\\'" % n),
        Table("by_bytes", [("k", "BINARY(8)")], lambda n: [(n * 0x123456789).to_bytes(8, "little")],
              lambda n: "k=0x" + (n * 0x123456789).to_bytes(8, "little").hex()),
        Table("by_price", [("price", "DECIMAL(12,4)")], lambda n: [_price(n)], lambda n: "price=" + _price(n)),
        Table("by_time", [("at", "DATETIME(6)"), ("id", "INT")], lambda n: [_time(n), n], lambda n: "at=%s, id=%d" % (_time(n), n)),
        Table("by_none", [], lambda n: [], lambda n: "n=%d, " % n),
    ]
    if engine == "mariadb":
        made.append(Table("by_uuid", [("id", "UUID")], lambda n: [str(_uuid(n))], lambda n: "id=0x" + _uuid(n).hex))
    return made


def columns(engine):
    return [(name, kind) for name, kind, only in COLUMNS if only in (None, engine)]


def schema(engine):
    script = ""
    for table in tables(engine):
        key = [name + " " + kind for name, kind in table.key]
        primary = ["PRIMARY KEY (%s)" % ", ".join(name for name, _ in table.key)] if table.key else []
        lines = key + ["n INT NOT NULL"] + [name + " " + kind for name, kind in columns(engine)] + ["touched INT NOT NULL DEFAULT 0"] + primary + ["KEY (n)"]
        script += "CREATE TABLE %s (%s);\n" % (table.name, ", ".join(lines))
    return script


def _value(name, random):
    """One in eight is NULL; edges are frequent."""
    if random.random() < 0.125:
        return None
    edge = random.random() < 0.2
    word = random.choice(["blue", "Ärger", "c'est la vie", "tab\there", "back\\slash", "日本語", "🙂", "", "  spaces  ", "line\nend", "NULL", "0"])
    number = random.randint(-10**9, 10**9)
    stamp = "%04d-%02d-%02d %02d:%02d:%02d.%06d" % (random.randint(1971, 2037), random.randint(1, 12), random.randint(1, 28), random.randint(0, 23),
                                                  random.randint(0, 59), random.randint(0, 59), random.choice([0, 1, 999999, random.randrange(10**6)]))
    return {
        "t": lambda: random.choice([-128, 127, 0]) if edge else number % 256 - 128, "su": lambda: 65535 if edge else number % 65536,
        "m": lambda: -8388608 if edge else number % 10**6, "i": lambda: -2147483648 if edge else number, "iu": lambda: 4294967295 if edge else abs(number),
        "b": lambda: -2**63 if edge else number * 10**9, "bu": lambda: 2**64 - 1 if edge else 2**63 + number,
        "de": lambda: "0.1" if edge else "%d.%010d" % (number, random.randrange(10**10)), "whole": lambda: "-" + "9" * 20 if edge else str(number),
        "fl": lambda: random.choice([0.1, -0.0, 1e30]) if edge else number / 7, "db": lambda: random.choice([0.1, -0.0, 1e300]) if edge else number / 7,
        "bt": lambda: number % 4096, "bits": lambda: 2**63 if edge else abs(number), "c": lambda: word.strip()[:10], "v": lambda: word + str(number),
        "l1": lambda: "" if edge else "Größe €" + str(number), "tx": lambda: word * random.randint(0, 20),
        "bi": lambda: random.randbytes(6), "vb": lambda: b"" if edge else random.randbytes(random.randint(1, 40)), "bl": lambda: random.randbytes(30),
        "d": lambda: stamp[:10], "dt": lambda: stamp, "ts": lambda: stamp, "ti": lambda: "%s%d%s" % (random.choice(["", "-"]), random.randint(0, 800), stamp[13:]),
        "y": lambda: 0 if edge else 1901 + abs(number) % 250, "e": lambda: random.choice(["red", "green", "blue"]), "s": lambda: random.choice(["", "x", "x,y", "y,z"]),
        "j": lambda: '{"n": %d, "f": 0.1, "t": %s, "a": [1, 2.50, null, true]}' % (number, json.dumps(word)),
        "g": lambda: "POINT(%d %d)" % (number % 90, number % 180), "u": lambda: str(uuid.UUID(int=random.getrandbits(128), version=4)),
        "i6": lambda: "2001:db8::%x" % (abs(number) % 65536), "i4": lambda: "10.%d.%d.1" % (number % 256, number // 7 % 256),
        "ve": lambda: "[%d,0.5,-%d]" % (number % 100, number % 7),
    }[name]()


class Writer:
    """INSERTs of whole rows."""

    def __init__(self, engine):
        self.names = [name for name, _ in columns(engine)]

    def insert(self, table):
        names = [name for name, _ in table.key] + ["n"] + self.names
        marks = ["%s"] * (len(table.key) + 1) + [WRITTEN.get(name, "%s") for name in self.names]
        return "INSERT INTO %s (%s) VALUES (%s)" % (table.name, ", ".join(names), ", ".join(marks))

    def row(self, table, n, random):
        return table.of(n) + [n] + [_value(name, random) for name in self.names]


def is_doubled(table, n):
    """Whether there are two such rows from the beginning."""
    return not table.key and n % 6 == 0


def fill(source, database, engine, rows, random):
    writer = Writer(engine)
    connection = source.connect(database, autocommit=False)
    cursor = connection.cursor()
    cursor.execute("SET time_zone = '+00:00'")
    for table in tables(engine):
        filled = [writer.row(table, n, random) for n in range(1, rows + 1)]
        filled += [row for n, row in enumerate(filled, 1) if is_doubled(table, n)]
        cursor.executemany(writer.insert(table), filled)
        connection.commit()
    connection.close()


class Painter(load.Worker):
    """One connection of the load; the numbers of the rows that it makes are its own."""

    ENGINE = "mariadb"
    ROWS = 0
    MIX = [("touch", 40), ("touch_hot", 25), ("rewrite", 20), ("make", 6), ("drop", 4), ("move", 5)]

    def ranges(self):
        self.tables = tables(self.ENGINE)
        self.writer = Writer(self.ENGINE)
        self.next = 10**6 * (self.number + 1) + WILD
        self.next -= self.next % 3 - WILD
        self.do("SET time_zone = '+00:00'")

    def table(self):
        return self.random.choice(self.tables)

    def wild(self):
        return self.random.randrange(WILD, self.ROWS, 3)

    def touch(self):
        # The three that are always written are not among them: neighbours in one statement would wait for each other.
        self.do("UPDATE %s SET touched = touched + 1 WHERE n = %%s" % self.table().name, self.random.randrange(TOUCHED + 9, self.ROWS, 3))

    def touch_hot(self):
        self.do("UPDATE %s SET touched = touched + 1 WHERE n = %%s" % self.table().name, self.random.choice(HOT))

    def rewrite(self):
        names = self.random.sample(self.writer.names, 3)
        self.do("UPDATE %s SET %s WHERE n = %%s" % (self.table().name, ", ".join("%s = %s" % (name, WRITTEN.get(name, "%s")) for name in names)),
                *[_value(name, self.random) for name in names], self.wild())

    def make(self):
        table = self.table()
        self.next += 3
        for _ in range(1 if table.key else 2):
            self.do(self.writer.insert(table), *self.writer.row(table, self.next, self.random))

    def drop(self):
        self.do("DELETE FROM %s WHERE n = %%s LIMIT 1" % self.table().name, self.random.choice([self.wild(), self.next]))

    def move(self):
        table = self.table()
        self.next += 3
        places = ", ".join("%s = %%s" % name for name in [name for name, _ in table.key] + ["n"])
        self.do("UPDATE %s SET %s WHERE n = %%s" % (table.name, places), *table.of(self.next), self.next, self.wild())


def painter(engine, rows):
    return type("Painter", (Painter,), {"ENGINE": engine, "ROWS": rows})
