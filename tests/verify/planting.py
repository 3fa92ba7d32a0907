"""Differences planted on the target behind the program's back: what is done, to which row, what must be said of it, and the way back."""

import kinds

TENANT = "first"

# What may be done to a value: a name, the columns, and the value that takes its place, or None where the row will not do.
# {c} is the column; {o} another of these columns.
VALUES = [
    ("a number one higher", ["su", "m", "iu", "b", "de", "whole", "y"], "{c} + CASE WHEN {c} >= 65535 THEN -1 ELSE 1 END"),
    ("a sign turned", ["t", "m", "i", "b", "de", "whole"], "CASE WHEN {c} > -128 THEN -{c} END"),
    ("a float's sign turned", ["fl", "db"], "-{c}"),
    ("the top bit of an unsigned number", ["bu"], "CASE WHEN {c} >= 9223372036854775808 THEN {c} - 9223372036854775808 ELSE {c} + 9223372036854775808 END"),
    ("a decimal's last digit", ["de"], "{c} + CASE WHEN {c} < 0 THEN 1 ELSE -1 END * 0.0000000001"),
    ("a double's last bit", ["db"], "CASE WHEN {c} <> 0 THEN {c} * 1.0000000000000003 END"),
    ("0.1 against 0.10000000000000002", ["db"], "CASE WHEN {c} = 0.1 THEN 0.10000000000000002::float8 END"),
    ("a float's last bit", ["fl"], "CASE WHEN {c} <> 0 THEN ({c} * 1.0000002::real)::real END"),
    ("a bit", ["bt", "bits"], "set_bit({c}, mod({bit}, length({c})), 1 - get_bit({c}, mod({bit}, length({c}))))"),
    ("a space at the end", ["c", "v", "l1", "tx"], "CASE WHEN length({c}) < 10 OR '{name}' <> 'c' THEN {c} || ' ' END"),
    ("spaces at the end cut", ["v", "tx"], "rtrim({c}, ' ')"),
    ("letters of the other case", ["c", "v", "l1", "tx"], "CASE WHEN upper({c}) <> {c} THEN upper({c}) ELSE lower({c}) END"),
    ("letters without their accents", ["l1"], "translate({c}, 'öß', 'os')"),
    ("an empty text for NULL", ["c", "v", "l1", "tx", "s"], "CASE WHEN {c} IS NULL THEN '' END"),
    ("NULL for an empty text", ["v", "l1", "tx", "s"], "CASE WHEN {c} = '' THEN '{null}' END"),
    ("NULL for a value", [name for name, _, _ in kinds.COLUMNS], "CASE WHEN {c} IS NOT NULL THEN '{null}' END"),
    ("empty bytes for NULL", ["vb", "bl"], "CASE WHEN {c} IS NULL THEN ''::bytea END"),
    ("a byte", ["bi", "vb", "bl"], "CASE WHEN length({c}) > 0 THEN set_byte({c}, mod({bit}, length({c})), get_byte({c}, mod({bit}, length({c}))) # 1) END"),
    ("a zero byte at the end", ["bi", "vb", "bl"], "{c} || '\\x00'::bytea"),
    ("the padding of BINARY cut", ["bi"], "substring({c} FROM 1 FOR 5)"),
    ("a day", ["d"], "{c} + 1"),
    ("lost microseconds", ["dt", "ts"], "date_trunc('milliseconds', {c})"),
    ("a microsecond", ["dt", "ts", "ti"], "{c} + interval '1 microsecond'"),
    ("a time zone", ["dt", "ts"], "{c} + interval '5 hours 30 minutes'"),
    ("a time's sign", ["ti"], "-{c}"),
    ("another label", ["e"], "CASE {c} WHEN 'red' THEN 'green' ELSE 'red' END"),
    ("a member less, or one more", ["s"], "CASE WHEN position('y' IN {c}) > 0 THEN replace(replace({c}, ',y', ''), 'y', '') ELSE 'y' END"),
    ("members in another order", ["s"], "CASE WHEN {c} LIKE '%%,%%' THEN split_part({c}, ',', 2) || ',' || split_part({c}, ',', 1) END"),
    ("0.1 against 0.10000000000000001 in JSON", ["j"], "replace({c}::text, '0.1', '0.10000000000000001')"),
    ("a number in JSON", ["j"], "replace({c}::text, '2.5', '2.6')"),
    ("true against a text in JSON", ["j"], "replace({c}::text, 'true', '\"true\"')"),
    ("a member of JSON renamed", ["j"], "replace({c}::text, '\"n\"', '\"N\"')"),
    ("a geometry's SRID", ["g"], "set_byte({c}, 0, 230)"),
    ("a geometry's point", ["g"], "set_byte({c}, 12, get_byte({c}, 12) # 1)"),
    ("a digit of a UUID", ["u"], "overlay({c}::text PLACING CASE right({c}::text, 1) WHEN '0' THEN '1' ELSE '0' END FROM 36)"),
    ("an address", ["i6", "i4"], "{c} + 1"),
    ("a vector's number", ["ve"], "ARRAY[{c}[1], 0.50000006, {c}[3]]"),
    ("letters and accents apart", ["l1", "tx"], "normalize({c}, NFD)"),
    # What the source's type cannot hold.
    ("not a number", ["fl", "db", "de", "whole"], "'NaN'"),
    ("a time without an end", ["d", "dt", "ts"], "'infinity'"),
    ("a time before the year 0", ["d", "dt", "ts"], "'0044-03-15 BC'"),
    ("a day in place of 24 hours", ["ti"], "{c} + interval '1 day' - interval '24 hours'"),
    ("a network in place of an address", ["i6", "i4"], "set_masklen({c}, 16)"),
    ("a number beyond DOUBLE in JSON", ["j"], "replace({c}::text, '2.5', '2.5e400')"),
]
BY_LETTER = ("a blank in JSON", ["j"], "replace({c}::text, ': ', ':  ')")  # MariaDB's is text
ROWS = ["missing row", "extra row", "key beyond the source's type", "other tenant", "changed key", "doubled row", "row lost of two"]

# A first column that no row of the source can have, and how a difference with it begins.
BEYOND = {"by_top": ("28446744073709551616", "id=0x..."), "by_time": ("12000-01-01", "at=0x..."), "by_number": ("-2147483648", "id=-2147483648")}


class Plant:
    """One difference. `wanted` are (kind, key's text, column): what must be said, and nothing else."""

    def __init__(self, what, table, n, column, wanted, undo):
        self.what, self.table, self.n, self.column, self.wanted, self.undo = what, table, n, column, wanted, undo

    def __str__(self):
        return "%s in %s%s, n = %d" % (self.what, self.table.name, "." + self.column if self.column else "", self.n)


class Planter:
    def __init__(self, target, database, engine, rows, random):
        self.target, self.database = target, database
        self.connect()
        self.random, self.rows, self.engine = random, rows, engine
        self.tables = kinds.tables(engine)
        self.names = {name for name, _ in kinds.columns(engine)}
        self.fresh = 3 * 10**5  # numbers of rows that only the target has; of no class that is written
        self.taken = set()
        self.todo = []
        self.cursor.execute("CREATE SCHEMA kept")
        for table in self.tables:
            self.cursor.execute("CREATE TABLE kept.%s (LIKE public.%s)" % (table.name, table.name))

    def connect(self):
        self.connection = self.target.connect(self.database)
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.cursor.execute("SET TimeZone = 'UTC'")

    def bystander(self):
        """Another tenant's rows, under the same keys as those that the load writes, and with other values."""
        for table in self.tables:
            self.cursor.execute("INSERT INTO kept.%s SELECT * FROM public.%s WHERE n %% 3 = 2" % (table.name, table.name))
            self.cursor.execute("UPDATE kept.%s SET tenant_id = 'other', v = 'of another', de = 1, touched = -1" % table.name)
            self.cursor.execute("INSERT INTO public.%s SELECT * FROM kept.%s" % (table.name, table.name))
            self.cursor.execute("DELETE FROM kept.%s" % table.name)

    def operations(self):
        """All of them, over and over, each time in another order."""
        while True:
            values = VALUES + ([BY_LETTER] if self.engine == "mariadb" else [])
            todo = [("value", operation) for operation in values if self.names & set(operation[1])] + [("row", what) for what in ROWS]
            self.random.shuffle(todo)
            yield from todo

    def plant(self, operation):
        kind, what = operation
        for _ in range(400):
            table = self.random.choice(self.tables)
            planted = self._value(table, *what) if kind == "value" else self._row(table, what)
            if planted:
                self.taken.add((table.name, planted.n))
                return planted
        raise AssertionError("no row was found for: %s" % (what if kind == "row" else what[0]))

    def _pick(self, table, of_class):
        n = self.random.randrange(of_class or 3, self.rows, 3)
        return None if (table.name, n) in self.taken else n

    def _keep(self, table, n):
        self.cursor.execute("INSERT INTO kept.%s SELECT * FROM public.%s WHERE tenant_id = %%s AND n = %%s" % (table.name, table.name), (TENANT, n))
        return self.cursor.rowcount

    def _value(self, table, what, names, expression):
        column = self.random.choice(sorted(self.names & set(names)))
        # A row without a key is found by all its columns: were one of these changed, the load could not write it any more.
        n = self._pick(table, self.random.choice([kinds.ALONE, kinds.TOUCHED]) if table.key else kinds.ALONE)
        if n is None:
            return None
        kind = self._type(table, column)
        new = expression.format(c=column, name=column, bit=self.random.randrange(64), null="\\null")
        value = "CASE WHEN v = '\\null' THEN NULL ELSE v END::%s" % kind
        # What does not change is none; where the rule has nothing for this row, it is none either.
        self.cursor.execute(
            "SELECT v FROM (SELECT (%s)::text AS v, %s::text AS old FROM public.%s WHERE tenant_id = %%s AND n = %%s) AS x"
            " WHERE v IS NOT NULL AND v IS DISTINCT FROM old AND CASE WHEN v = '\\null' THEN NULL ELSE v::%s END::text IS DISTINCT FROM old"
            % (new, column, table.name, kind), (TENANT, n))
        found = self.cursor.fetchall()
        if len(found) != 1:
            return None
        self._keep(table, n)
        self.cursor.execute("UPDATE public.%s SET %s = (SELECT %s FROM (SELECT %%s::text AS v) AS x) WHERE tenant_id = %%s AND n = %%s"
                            % (table.name, column, value), (found[0][0], TENANT, n))
        undo = [("UPDATE public.%s AS t SET %s = k.%s FROM kept.%s AS k WHERE t.tenant_id = %%s AND t.n = k.n AND k.n = %%s"
                 % (table.name, column, column, table.name), (TENANT, n))]
        wanted = [("different", table.shown(n), column)] if table.key else [("missing", table.shown(n), None), ("extra", table.shown(n), None)]
        return Plant(what, table, n, column, wanted, undo)

    def _type(self, table, column):
        self.cursor.execute("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s",
                            ("public." + table.name, column))
        return self.cursor.fetchone()[0]

    def _row(self, table, what):
        needs_key = {"changed key": True, "doubled row": False, "row lost of two": False}.get(what)
        n = self._pick(table, kinds.ALONE)
        if n is None or (needs_key is not None and needs_key != bool(table.key)) or (what == "row lost of two" and not kinds.is_doubled(table, n)):
            return None
        if what == "key beyond the source's type" and table.name not in BEYOND:
            return None
        self._keep(table, n)
        place = ("tenant_id = %s AND n = %s", (TENANT, n))
        back = [("DELETE FROM public.%s WHERE %s" % (table.name, place[0]), place[1]),
                ("INSERT INTO public.%s SELECT * FROM kept.%s WHERE n = %%s" % (table.name, table.name), (n,))]
        self.fresh += 3
        fresh = self.fresh
        gone = ("missing", table.shown(n), None)
        if what == "missing row":
            self.cursor.execute("DELETE FROM public.%s WHERE %s" % (table.name, place[0]), place[1])
            return Plant(what, table, n, None, [gone], back[1:])
        if what == "row lost of two":
            self.cursor.execute("DELETE FROM public.%s WHERE ctid = (SELECT min(ctid) FROM public.%s WHERE %s)" % (table.name, table.name, place[0]), place[1])
            return Plant(what, table, n, None, [gone], back)
        if what == "other tenant":
            self.cursor.execute("UPDATE public.%s SET tenant_id = 'other' WHERE %s" % (table.name, place[0]), place[1])
            return Plant(what, table, n, None, [gone], [("DELETE FROM public.%s WHERE tenant_id = 'other' AND n = %%s" % table.name, (n,)), back[1]])
        if what == "doubled row":
            self.cursor.execute("INSERT INTO public.%s SELECT * FROM kept.%s WHERE n = %%s" % (table.name, table.name), (n,))
            return Plant(what, table, n, None, [("extra", table.shown(n), None)], back)
        values = dict(zip([name for name, _ in table.key], table.of(fresh)), n=fresh)
        shown = table.shown(fresh)
        if what == "key beyond the source's type":
            values[table.key[0][0]], shown = BEYOND[table.name]
        assigned = ", ".join("%s = %%s" % name for name in values)
        if what == "changed key":
            self.cursor.execute("UPDATE public.%s SET %s WHERE %s" % (table.name, assigned, place[0]), tuple(values.values()) + place[1])
            undo = [("DELETE FROM public.%s WHERE tenant_id = %%s AND n = %%s" % table.name, (TENANT, fresh)), back[1]]
            return Plant(what, table, n, None, [gone, ("extra", table.shown(fresh), None)], undo)
        self.cursor.execute("UPDATE kept.%s SET %s WHERE n = %%s" % (table.name, assigned), tuple(values.values()) + (n,))
        self.cursor.execute("INSERT INTO public.%s SELECT * FROM kept.%s WHERE n = %%s" % (table.name, table.name), (fresh,))
        undo = [("DELETE FROM public.%s WHERE tenant_id = %%s AND n = %%s" % table.name, (TENANT, fresh))]
        return Plant(what, table, n, None, [("extra", shown, None)], undo)

    def undo(self, plants):
        for plant in plants:
            for statement, values in plant.undo:
                self.cursor.execute(statement, values)
                if self.cursor.rowcount < 1:
                    raise AssertionError("the way back found no row: %s" % plant)
        for plant in plants:
            self.cursor.execute("DELETE FROM kept.%s" % plant.table.name)
        self.taken.clear()

    def close(self):
        self.connection.close()


def judge(answer, plants):
    """What is wrong with a verify's answer; empty if it says exactly what was planted."""
    wrong = []
    found = []
    for table in answer["tables"]:
        for difference in table["differences"]:
            found.append((table["table"], difference))
        if table["undecided"]:
            wrong.append("undecided in %s: %s (%s)" % (table["table"], [key[:100] for key in table["undecided_keys"][:5]], table["why_undecided"]))
    for plant in plants:
        for kind, key, column in plant.wanted:
            begins = key[:-3] if key.endswith("...") else None if plant.table.key else key
            mine = [one for one in found if one[0] == plant.table.name and one[1]["kind"] == kind and
                    (one[1]["key"] == key if begins is None else one[1]["key"].startswith(begins))]
            if len(mine) != 1:
                wrong.append("not found, or more than once: %s (%s %s)" % (plant, kind, key))
                continue
            found.remove(mine[0])
            named = {cell["column"] for cell in mine[0][1]["columns"]}
            # In a row that the load writes, the two sides are read at two moments.
            if column and (column not in named or named - {column, "touched"}):
                wrong.append("%s: the columns named are %s" % (plant, sorted(named)))
    wrong += ["found without cause: %s %s" % (table, str(difference)[:600]) for table, difference in found]
    return wrong
