"""What verify --plan and --repair must do, and must not."""

import json
import subprocess
import threading
import time

import migration
import servers
from stage import expect, hazard


def verdict(move, status):
    code, out, err = move.command("verify", "--json")
    expect(code == status, "verify ended with status %d instead of %d\n%s%s" % (code, status, out, err))
    return json.loads(out)


def plan(move):
    """{(table, key): its change}, and the whole answer."""
    code, out, err = move.command("verify", "--plan", "--json")
    expect(out.startswith("{"), "verify --plan ended with status %d\n%s%s" % (code, out, err))
    answer = json.loads(out)
    expect(code == {"equal": 0, "different": 1, "undecided": 2}[answer["result"]], "status %d, %s" % (code, answer["result"]))
    changes = {(change["table"], change["key"]): change for change in answer["plan"]}
    expect(len(changes) == len(answer["plan"]), "a row twice: %s" % out)
    return changes, answer


def repair(move, *flags, status=0):
    code, out, err = move.command("verify", "--repair", "--yes", "--json", *flags)
    left = [(change["statement"], change["left"]) for change in json.loads(out)["plan"] if "left" in change] if out else []
    expect(code == status, "repair ended with status %d instead of %d\nleft: %s\n%s%s" % (code, status, left, out[-1000:], err))
    return json.loads(out) if out else err


def rows(scene):
    """All that the target holds, of every tenant."""
    tables = scene.on_target("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").split()
    return {table: scene.on_target("SELECT t::text FROM %s t ORDER BY 1" % table) for table in tables}


def numbers(count):
    return "(WITH RECURSIVE s(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM s WHERE seq < %d) SELECT seq FROM s) n" % count


EVERYTHING = """
CREATE TABLE everything (id INT PRIMARY KEY, amount DECIMAL(20,6), ratio DOUBLE, small FLOAT, name VARCHAR(50), note TEXT, raw VARBINARY(50),
                         at DATETIME(6), seen TIMESTAMP(6) NULL, born DATE, lasts TIME(6), flags BIT(12), doc JSON, kind ENUM('a','b'), big BIGINT UNSIGNED);
INSERT INTO everything SELECT seq, seq * 1.5, seq / 3, seq / 7, CONCAT('name ', seq), CONCAT('note ', seq), UNHEX(SHA2(seq, 256)), '2020-01-02 03:04:05.678901',
       '2020-01-02 03:04:05.678901', '2020-02-29', '-12:34:56.789', seq % 4096, CONCAT('{"n": ', seq, ', "t": "x", "f": 0.1}'), 'a', 18446744073709551615
  FROM {{numbers}};
CREATE TABLE codes (id INT PRIMARY KEY, code VARCHAR(20) NOT NULL, v INT, UNIQUE KEY (code));
INSERT INTO codes SELECT id, CONCAT('code ', id), 0 FROM everything WHERE id <= 50;
CREATE TABLE parent (id INT PRIMARY KEY, name VARCHAR(20));
CREATE TABLE child (id INT PRIMARY KEY, parent INT, v INT, FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE leaf (id INT PRIMARY KEY, child INT NOT NULL, FOREIGN KEY (child) REFERENCES child (id));
CREATE TABLE twig (id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES twig (id));
INSERT INTO parent SELECT id, name FROM everything WHERE id <= 20;
INSERT INTO child SELECT id, id, 0 FROM parent;
INSERT INTO leaf SELECT id, id FROM child WHERE id > 5;
INSERT INTO twig VALUES (1, NULL), (2, 1), (3, 2), (4, 3);
CREATE TABLE twice (a INT, b VARCHAR(10));
INSERT INTO twice VALUES (1, 'x'), (1, 'x'), (2, NULL), (2, NULL), (3, 'y');
CREATE TABLE words (word VARCHAR(30) COLLATE utf8mb4_bin PRIMARY KEY, v INT);
INSERT INTO words SELECT CONCAT('word ', id), 0 FROM everything WHERE id <= 20;
CREATE TABLE hot (id INT PRIMARY KEY, n INT);
INSERT INTO hot VALUES (1, 0), (2, 0), (3, 0);
""".replace("{{numbers}}", numbers(200))

# Done to the target behind our back, and what the plan must say of it: (table, key, action, columns of an update).
PLANTED = [
    ("UPDATE everything SET name = name || ' ' WHERE id = 1", [("everything", "id=1", "update", ["name"])]),
    ("UPDATE everything SET note = NULL, amount = amount + 0.000001 WHERE id = 3", [("everything", "id=3", "update", ["amount", "note"])]),
    ("UPDATE everything SET ratio = 0.10000000000000002, small = 0.3 WHERE id = 6", [("everything", "id=6", "update", ["ratio", "small"])]),
    ("UPDATE everything SET raw = set_byte(raw, 3, get_byte(raw, 3) # 1) WHERE id = 8", [("everything", "id=8", "update", ["raw"])]),
    ("UPDATE everything SET at = date_trunc('milliseconds', at), seen = seen + interval '1 hour', born = born + 1, lasts = -lasts WHERE id = 9",
     [("everything", "id=9", "update", ["at", "seen", "born", "lasts"])]),
    ("UPDATE everything SET flags = ~flags, kind = 'b', big = big - 1 WHERE id = 13", [("everything", "id=13", "update", ["flags", "kind", "big"])]),
    ("UPDATE everything SET doc = replace(doc::text, '0.1', '0.10000000000000001')::{{json}} WHERE id = 14", [("everything", "id=14", "update", ["doc"])]),
    ("DELETE FROM everything WHERE id = 17", [("everything", "id=17", "insert", None)]),
    ("INSERT INTO everything SELECT (e).* FROM (SELECT (jsonb_populate_record(e, '{\"id\": 100000}')) e FROM everything e WHERE id = 18) x",
     [("everything", "id=100000", "delete", None)]),
    ("UPDATE everything SET id = 100001 WHERE id = 19", [("everything", "id=19", "insert", None), ("everything", "id=100001", "delete", None)]),
    ("UPDATE everything SET tenant_id = 'other' WHERE id = 20", [("everything", "id=20", "insert", None)]),
    # Two rows that have each other's unique value; three in a ring; one whose value an extra row has.
    ("UPDATE codes SET code = 'between' WHERE id = 1; UPDATE codes SET code = 'code 1' WHERE id = 2; UPDATE codes SET code = 'code 2' WHERE id = 1",
     [("codes", "id=1", "update", ["code"]), ("codes", "id=2", "update", ["code"])]),
    ("UPDATE codes SET code = 'x' || code WHERE id IN (3, 4, 5); UPDATE codes SET code = CASE id WHEN 3 THEN 'code 4' WHEN 4 THEN 'code 5' ELSE 'code 3' END, v = 7"
     " WHERE id IN (3, 4, 5)", [("codes", "id=%d" % i, "update", ["code", "v"]) for i in (3, 4, 5)]),
    ("DELETE FROM codes WHERE id = 6; INSERT INTO codes (tenant_id, id, code, v) VALUES ('first', 600, 'code 6', 0)",
     [("codes", "id=6", "insert", None), ("codes", "id=600", "delete", None)]),
    ("UPDATE codes SET code = 'elsewhere' WHERE id = 7; UPDATE codes SET code = 'code 7' WHERE id = 8",
     [("codes", "id=7", "update", ["code"]), ("codes", "id=8", "update", ["code"])]),
    # Parents with all below them; children alone; extra ones; and one that must not take its children along.
    ("DELETE FROM leaf WHERE id = 6; DELETE FROM parent WHERE id = 6",
     [("parent", "id=6", "insert", None), ("child", "id=6", "insert", None), ("leaf", "id=6", "insert", None)]),
    ("DELETE FROM child WHERE id = 2", [("child", "id=2", "insert", None)]),
    ("INSERT INTO parent (tenant_id, id, name) VALUES ('first', 900, 'extra'); INSERT INTO child (tenant_id, id, parent, v) VALUES ('first', 900, 900, 1);"
     " INSERT INTO leaf (tenant_id, id, child) VALUES ('first', 900, 900)", [(table, "id=900", "delete", None) for table in ("parent", "child", "leaf")]),
    ("INSERT INTO parent (tenant_id, id, name) VALUES ('first', 901, 'extra'); UPDATE child SET parent = 901 WHERE id = 3",
     [("parent", "id=901", "delete", None), ("child", "id=3", "update", ["parent"])]),
    ("DELETE FROM twig WHERE id IN (2, 3, 4)", [("twig", "id=%d" % i, "insert", None) for i in (2, 3, 4)]),
    ("DELETE FROM twice WHERE ctid = (SELECT min(ctid) FROM twice WHERE a = 1)", [("twice", "a=1, b='x'", "insert", None)]),
    ("INSERT INTO twice (tenant_id, a, b) VALUES ('first', 2, NULL), ('first', 2, NULL)", [("twice", "a=2, b=NULL", "delete", None)]),
    ("INSERT INTO twice (tenant_id, a, b) VALUES ('first', 7, 'never')", [("twice", "a=7, b='never'", "delete", None)]),
    ("UPDATE words SET word = 'Word 7' WHERE word = 'word 7'", [("words", "word='word 7'", "insert", None), ("words", "word='Word 7'", "delete", None)]),
]


def behind_our_back(scene, statement):
    scene.on_target(statement.replace("WHERE ", "WHERE tenant_id = 'first' AND "))


def plant(scene):
    """Gives what the plan must be."""
    json_type = scene.on_target("SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = 'everything'::regclass AND attname = 'doc'").strip()
    wanted = {}
    for statement, changes in PLANTED:
        behind_our_back(scene, statement.replace("{{json}}", json_type))
        wanted.update({(table, key): (action, columns) for table, key, action, columns in changes})
    return wanted


class Writer:
    """Writes to the source all the time, to rows that are mended too."""

    def __init__(self, scene):
        self.scene, self.ending, self.error = scene, threading.Event(), None
        self.thread = threading.Thread(target=self.write)
        self.thread.start()

    def write(self):
        connection = self.scene.source.connect(self.scene.database, autocommit=True)
        cursor = connection.cursor()
        number = 0
        try:
            while not self.ending.is_set():
                number += 1
                cursor.execute("UPDATE hot SET n = n + 1 WHERE id = %s", (number % 3 + 1,))
                cursor.execute("UPDATE everything SET note = CONCAT('changed ', %s), amount = amount + 1 WHERE id = %s", (number, number * 7 % 30))
                cursor.execute("UPDATE codes SET v = v + 1 WHERE id = %s", (number % 50,))
                cursor.execute("DELETE FROM everything WHERE id = %s", (number * 11 % 200,))
                cursor.execute("UPDATE child SET v = v + 1 WHERE id = %s", (number % 20,))
                cursor.execute("INSERT INTO twice VALUES (%s, 'z')", (number % 50 + 10,))
                cursor.execute("DELETE FROM twice WHERE a >= 10 AND b = 'z' LIMIT 1")
        except Exception as error:  # shown by stop
            self.error = error
        connection.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.ending.set()
        self.thread.join()
        expect(kind is not None or self.error is None, "the writer failed: %s" % self.error)


def two_tenants(scene):
    """The migration that is looked at, and another tenant in the same tables."""
    scene.schema(EVERYTHING)
    other = scene.migration(tenant="second", types__text_keys="exact")
    other.run_until_caught_up()
    move = scene.migration(tenant="first", types__text_keys="exact")
    move.start()
    move.wait_phase("following")
    return move


def other_rows(scene):
    return {table: "\n".join(line for line in text.split("\n") if "second" in line) for table, text in rows(scene).items()}


@hazard("repair")
def each_planted_difference_is_planned_and_repaired(scene):
    """Every kind of difference, with another tenant beside and the source written to; 'run' goes on afterwards and ends equal."""
    move = two_tenants(scene)
    move.wait_applied()
    others = other_rows(scene)
    wanted = plant(scene)
    before = rows(scene)
    changes, answer = plan(move)
    found = {key: (change["action"], [c["column"] for c in change["columns"]] if change["action"] == "update" else None) for key, change in changes.items()}
    expect(found == wanted, "not planned: %s\nplanned without cause: %s" %
           (sorted(set(map(str, wanted.items())) - set(map(str, found.items()))), sorted(set(map(str, found.items())) - set(map(str, wanted.items())))))
    expect(changes["twice", "a=2, b=NULL"]["copies"] == 2, str(changes["twice", "a=2, b=NULL"]))
    code, out, err = move.command("verify", "--plan")
    expect(code == 1 and "DELETE FROM codes WHERE id = 600\n" in out and "SET amount = 4.500000, note = 'note 3' WHERE id = 3  -- is: " in out, out + err)
    err = repair(move, status=4)
    expect("CF1501" in err, "while 'run' is at work: %s" % err)
    expect(rows(scene) == before, "planning, or a refused repair, has changed rows")
    status = move.stop()
    expect(status in (0, 2), "stopping ended with status %d" % status)
    with Writer(scene):
        done = repair(move, "--overwrite-foreign")
        expect(done["repaired"] == len(wanted) and done["still_different"] == 0, 
               "%d of %d repaired, %d still different; %s" % (done["repaired"], len(wanted), done["still_different"], set(wanted) - {(c["table"], c["key"]) for c in done["plan"]}))
        expect(other_rows(scene) == others, "another tenant's rows were changed")
        move.start()
        move.wait_phase("following")
        verdict(move, 0)
        behind_our_back(scene, "UPDATE codes SET v = -1 WHERE id <= 20; DELETE FROM child WHERE id = 4")
        move.stop()
        repair(move, "--overwrite-foreign")
        move.start()
        move.wait_phase("following")
    scene.on_target("DELETE FROM everything WHERE tenant_id = 'other'")
    move.wait_applied()
    verdict(move, 0)
    expect(other_rows(scene) == others, "another tenant's rows were changed")
    scene.catch_up_and_compare(move)


SMALL = "CREATE TABLE t (id INT PRIMARY KEY, v INT, u INT UNIQUE); INSERT INTO t VALUES (1, 0, 1), (2, 0, 2), (3, 0, 3), (4, 0, 4)"


def stopped(scene, script=SMALL, **settings):
    scene.schema(script)
    move = scene.migration(tenant="first", **settings)
    move.run_until_caught_up()
    return move


@hazard("repair", "kill")
def a_repair_that_is_killed_is_repeated(scene):
    """Before and behind the one commit that it makes: all of it is there or nothing, and the next one finds what is left."""
    move = stopped(scene)
    scene.sql("UPDATE t SET v = 1 WHERE id = 1")
    damage = "UPDATE t SET v = 7 WHERE id = 1; DELETE FROM t WHERE id = 2; UPDATE t SET id = 9 WHERE id = 3"
    for where, left in (("before", 4), ("after", 0)):
        move.run_until_caught_up()
        scene.sql("UPDATE t SET v = v + 1")  # not applied
        scene.on_target(damage)
        damaged = rows(scene)
        move.environment["CROSSFADE_FAILPOINTS"] = "apply.commit.%s=crash" % where
        code, out, err = move.command("verify", "--repair", "--yes", "--overwrite-foreign")
        del move.environment["CROSSFADE_FAILPOINTS"]
        expect(code == migration.CRASH_STATUS, "%s: status %d\n%s%s" % (where, code, out, err))
        expect((rows(scene) == damaged) == (where == "before"), "%s the commit: %s" % (where, rows(scene)))
        done = repair(move, "--overwrite-foreign")
        expect(done["repaired"] == left and done["still_different"] == 0, "%s: %d repaired" % (where, done["repaired"]))
        move.run_until_caught_up()
        scene.compare(move)


@hazard("repair", engines=("mariadb",))
def a_stop_over_a_divergence_is_mended(scene):
    """What stopped 'run' is repaired in the state where it stands, even if the source has no such row any more."""
    move = stopped(scene)
    scene.on_target("DELETE FROM t WHERE id IN (1, 2); INSERT INTO t (tenant_id, id, v, u) VALUES ('first', 5, 8, 8)")
    scene.sql("UPDATE t SET v = 1 WHERE id = 1; DELETE FROM t WHERE id = 1; UPDATE t SET v = 5; INSERT INTO t VALUES (5, 5, 5)")
    move.start("--until", "caught-up")
    scene.expect_exit(move, 5, "CF1550")
    done = repair(move, "--overwrite-foreign")
    expect({change["statement"] for change in done["plan"]} == {
        "INSERT INTO t (id, v, u) VALUES (1, 0, 1)", "INSERT INTO t (id, v, u) VALUES (2, 0, 2)", "DELETE FROM t WHERE id = 5"}, str(done["plan"]))
    move.run_until_caught_up()
    scene.compare(move)


def ours(scene, move, row=4):
    """A transaction of ours on the target."""
    scene.sql("UPDATE t SET v = v + 1 WHERE id = {0}; UPDATE t SET v = 1 WHERE id = {0}".format(row))
    move.wait_applied()


@hazard("repair")
def a_foreign_writer_is_recognised_and_nobody_else_accused(scene):
    """A row that somebody else wrote is refused, also behind later transactions of ours, and repaired when told to. What cannot be told is called unknown, and repaired."""
    scene.schema(SMALL)
    move = scene.migration(tenant="first", journal__keep_s=0)

    def writers():
        return {d["key"]: d["writer"] for d in verdict(move, 1)["tables"][0]["differences"]}

    def follow():
        move.start()
        move.wait_phase("following")

    follow()
    scene.on_target("UPDATE t SET v = 7 WHERE id = 2")
    number = int(scene.on_target("SELECT xmin FROM t WHERE id = 2"))
    expect(writers() == {"id=2": {"who": "somebody else", "transaction": number}}, str(writers()))
    code, out, err = move.command("verify")
    expect("written by somebody else (transaction %d)" % number in out, out + err)
    move.stop()
    before = rows(scene)
    err = repair(move, status=4)
    expect("CF1840" in err and "t id=2" in err and "--overwrite-foreign" in err, err)
    expect(rows(scene) == before, "a refused repair has changed rows")
    # Behind a later transaction of ours it can be told if there was one before it, too; but not who deleted a row.
    follow()
    ours(scene, move)
    scene.on_target("DELETE FROM t WHERE id = 3")
    expect(writers() == {"id=2": {"who": "unknown", "transaction": number}, "id=3": {"who": "unknown"}}, str(writers()))
    scene.on_target("UPDATE t SET v = 8 WHERE id = 2")
    number = int(scene.on_target("SELECT xmin FROM t WHERE id = 2"))
    ours(scene, move)
    time.sleep(1.5)  # what is ours is kept about every second
    expect(writers()["id=2"] == {"who": "somebody else", "transaction": number}, str(writers()))
    move.stop()
    follow()
    ours(scene, move)
    time.sleep(1.5)
    expect(writers()["id=2"] == {"who": "somebody else", "transaction": number}, str(writers()))
    scene.on_target("UPDATE t SET v = 7 WHERE id = 2")
    # Ours, and wrong since the source was changed behind its log.
    scene.sql("SET sql_log_bin = 0; UPDATE t SET v = 3 WHERE id = 4")
    move.kill()
    follow()
    ours(scene, move, 1)
    time.sleep(1.5)
    expect([writer["who"] for _, writer in sorted(writers().items())] == ["unknown"] * 3, "behind a kill nobody knows: %s" % writers())
    scene.sql("SET sql_log_bin = 0; UPDATE t SET v = 1 WHERE id = 4")
    move.stop()
    done = repair(move)
    expect(done["repaired"] == 2, str(done))
    scene.on_target("UPDATE t SET v = 7 WHERE id = 2")
    repair(move, status=4)
    expect(repair(move, "--overwrite-foreign")["repaired"] == 1, "not overwritten")
    with open(move.state_directory + "/audit.jsonl", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    ended = [record["details"] for record in records if record["action"] == "repair ended"]
    expect([details["repaired"] for details in ended] == [2, 1], str(ended))
    row = ended[1]["rows"][0]
    expect((row["key"], row["columns"], row["action"], row["foreign"]) == ("id=2", ["v"], "update", True) and len(row["due_sha256"]) == 64, str(row))
    follow()
    move.wait_applied()
    verdict(move, 0)
    scene.catch_up_and_compare(move)


class Asked:
    """A repair that waits for its answer."""

    def __init__(self, move, *flags):
        self.name = move.name
        self.process = subprocess.Popen([migration.program(), "verify", move.config, "--repair", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=move.environment)
        self.said = b""
        while not self.said.endswith(b"to go on: "):
            byte = self.process.stderr.read(1)
            expect(byte, "did not ask: %s" % self.said)
            self.said += byte

    def answer(self, status, text=None):
        out, err = self.process.communicate(((text or self.name) + "\n").encode(), timeout=60)
        expect(self.process.returncode == status, "status %d instead of %d\n%s%s" % (self.process.returncode, status, out, err))
        return (out + err).decode()


@hazard("repair")
def a_repair_writes_only_what_it_has_compared(scene):
    """Not agreed to; rows that change between the comparison and the writing; what the target refuses; and somebody who applies."""
    move = stopped(scene, SMALL + "; CREATE TABLE z (id INT PRIMARY KEY); INSERT INTO z VALUES (1)")
    scene.on_target("UPDATE t SET v = 7 WHERE id <= 3; DELETE FROM t WHERE id = 4")
    before = rows(scene)
    expect("CF1841" in Asked(move, "--overwrite-foreign").answer(4, "no"), "not refused")
    expect(rows(scene) == before, "changed, though not agreed to")
    asked = Asked(move, "--overwrite-foreign")
    scene.on_target("UPDATE t SET v = 8 WHERE id = 1; INSERT INTO t (tenant_id, id, v, u) VALUES ('first', 4, 9, 9)")
    said = asked.answer(1)
    expect("t id=1: left as it is: the target's row" in said and "t id=4: left as it is" in said and "repaired=2 left=2" in said, said)
    expect(scene.on_target("SELECT string_agg(v::text, ' ' ORDER BY id) FROM t").strip() == "8 0 0 9", str(rows(scene)))
    # A unique value that only another tenant's application knows of; then a constraint that is met at the end.
    scene.on_target("CREATE UNIQUE INDEX theirs ON t (v) WHERE v = 0 AND id IN (1, 2)")
    expect("t id=1: left as it is: duplicate key" in Asked(move, "--overwrite-foreign").answer(1), "the target's refusal is not said")
    scene.on_target("DROP INDEX theirs; CREATE TABLE known (v INT PRIMARY KEY);"
                    "ALTER TABLE t ADD CONSTRAINT must_be_known FOREIGN KEY (v) REFERENCES known DEFERRABLE INITIALLY DEFERRED NOT VALID; UPDATE t SET v = NULL WHERE id = 1")
    err = repair(move, "--overwrite-foreign", status=5)
    expect("CF1831" in err and "must_be_known" in err, err)
    scene.on_target("ALTER TABLE t DROP CONSTRAINT must_be_known; DROP TABLE known")
    asked = Asked(move, "--overwrite-foreign")
    scene.on_target("UPDATE crossfade.progress SET low = low + 1 WHERE worker = 0")
    expect("CF1843" in asked.answer(6), "somebody else applied")
    scene.on_target("UPDATE crossfade.progress SET low = low - 1 WHERE worker = 0")
    asked = Asked(move, "--overwrite-foreign")
    scene.on_target("INSERT INTO crossfade.progress SELECT (p).* FROM (SELECT jsonb_populate_record(p, '{\"worker\": 1}') p FROM crossfade.progress p WHERE worker = 0) x")
    expect("CF1842" in asked.answer(6), "two rows of progress")
    scene.on_target("DELETE FROM crossfade.progress WHERE worker = 1")
    repair(move, "--overwrite-foreign")
    move.run_until_caught_up()
    scene.compare(move)


FAMILY = """
CREATE TABLE parent (id INT PRIMARY KEY, v INT);
CREATE TABLE child (id INT PRIMARY KEY, pid INT, FOREIGN KEY (pid) REFERENCES parent (id) ON DELETE CASCADE);
INSERT INTO parent VALUES (1, 0);
INSERT INTO child VALUES (1, 1)
"""
ORPHANS = "SELECT count(*) FROM %s c WHERE NOT EXISTS (SELECT FROM parent p WHERE p.tenant_id = c.tenant_id AND p.id = c.pid)"


def counted(scene, *tables):
    return tuple(int(scene.on_target("SELECT count(*) FROM " + table)) for table in tables)


@hazard("repair")
def a_repaired_parent_leaves_no_orphan_under_a_valid_key(scene):
    """Foreign keys do not act while a parent goes: children that are not in the plan, of tables that only the target has too, keep it."""
    move = stopped(scene, FAMILY)
    extra = "INSERT INTO parent (tenant_id, id, v) VALUES ('first', 2, 0)"
    scene.on_target(extra + "; INSERT INTO child (tenant_id, id, pid) VALUES ('first', 20, 2)")
    asked = Asked(move, "--overwrite-foreign")
    scene.on_target("INSERT INTO child (tenant_id, id, pid) VALUES ('first', 10, 2)")
    said = asked.answer(1)
    expect("parent id=2: left as it is: rows of child refer to it" in said and "repaired=1 left=1" in said, said)
    expect(scene.on_target(ORPHANS % "child").strip() == "0", "an orphan: %s" % rows(scene))
    expect(scene.on_target("SELECT string_agg(id::text, ' ' ORDER BY id) FROM child").strip() == "1 10", str(rows(scene)))
    expect(repair(move, "--overwrite-foreign")["repaired"] == 2, "the next one does not take them")
    # A table of the target's own, whose key would not act either.
    scene.on_target(extra + "; CREATE TABLE own (tenant_id text, pid int, FOREIGN KEY (tenant_id, pid) REFERENCES parent (tenant_id, id));"
                    " INSERT INTO own VALUES ('first', 2)")
    done = repair(move, "--overwrite-foreign", status=1)
    expect(done["repaired"] == 0 and "own would let it be cannot be told" in done["plan"][0]["left"], "a table that cannot be read: %s" % done)
    scene.on_target("GRANT SELECT ON own TO %s" % servers.MIGRATION_USER)
    done = repair(move, "--overwrite-foreign", status=1)
    expect(done["repaired"] == 0 and "rows of own refer to it" in done["plan"][0]["left"], str(done))
    expect(scene.on_target(ORPHANS % "own").strip() == "0", "an orphan: %s" % rows(scene))
    scene.on_target("DELETE FROM own")
    repair(move, "--overwrite-foreign")
    expect(counted(scene, "parent", "child", "own") == (1, 1, 0), str(rows(scene)))
    scene.on_target("DROP TABLE own")
    # A parent that the target refuses, and its child, which would be refused at COMMIT with all else.
    scene.on_target("DELETE FROM child; DELETE FROM parent; CREATE UNIQUE INDEX theirs ON parent (v);"
                    " INSERT INTO parent (tenant_id, id, v) VALUES ('second', 1, 0), ('first', 3, 3)")
    done = repair(move, "--overwrite-foreign", status=1)
    left = {change["statement"]: change.get("left", "") for change in done["plan"]}
    expect(done["repaired"] == 1 and "duplicate key" in left["INSERT INTO parent (id, v) VALUES (1, 0)"]
           and "it refers to a row of parent that is not there" in left["INSERT INTO child (id, pid) VALUES (1, 1)"], str(left))
    scene.on_target("DROP INDEX theirs; DELETE FROM parent WHERE tenant_id = 'second'")
    expect(repair(move, "--overwrite-foreign")["repaired"] == 2, "not repaired")
    move.run_until_caught_up()
    scene.compare(move)


@hazard("repair", engines=("mariadb",), quick=False)
def a_repair_of_much_damage_makes_progress_each_time(scene):
    """More than one plan holds, on both sides of foreign keys: no repeat is refused, none leaves an orphan, and the last one ends equal."""
    script = FAMILY.replace("ON DELETE CASCADE", "{{action}}").replace("child", "a_child").replace("parent", "z_parent")
    for number, action in enumerate(("", "ON DELETE CASCADE")):
        both = [name + str(number) for name in ("a_child", "z_parent")]
        fill = "; INSERT INTO z_parent SELECT seq + 1, 0 FROM seq_1_to_9000; INSERT INTO a_child SELECT seq + 1, seq + 1 FROM seq_1_to_9000"
        scene.schema((script.replace("{{action}}", action) + fill).replace("a_child", both[0]).replace("z_parent", both[1]))
    move = scene.migration(tenant="first")
    move.run_until_caught_up()
    orphans = "; ".join("SELECT count(*) FROM a_child{0} c WHERE NOT EXISTS (SELECT FROM z_parent{0} p WHERE p.id = c.pid)".format(n) for n in (0, 1))
    empty = "DELETE FROM a_child0; DELETE FROM a_child1; DELETE FROM z_parent0; DELETE FROM z_parent1"
    more = "; ".join("INSERT INTO z_parent{0} (tenant_id, id, v) VALUES ('first', 20000, 0);"
                     "INSERT INTO a_child{0} (tenant_id, id, pid) SELECT 'first', g, 20000 FROM generate_series(30000, 36000) g".format(n) for n in (0, 1))
    for damage, turns in ((empty, 4), (more, 2)):
        scene.on_target(damage)
        for turn in range(turns):
            done = repair(move, "--overwrite-foreign", status=0 if turn + 1 == turns else 1)
            expect(done["repaired"] == len(done["plan"]) and done["repaired"] > 0, "turn %d: %d of %d" % (turn, done["repaired"], len(done["plan"])))
            expect(scene.on_target(orphans).split() == ["0", "0"], "orphans after turn %d" % turn)
    move.run_until_caught_up()
    scene.compare(move)


@hazard("repair")
def a_key_that_would_lose_a_nul_is_refused(scene):
    """'a\\0b' is no 'ab': looked for by the one the other is not found, and a good row would be taken for an extra one."""
    scene.schema("CREATE TABLE named (k VARCHAR(20) COLLATE {{nopad_bin}} PRIMARY KEY, u VARCHAR(20) COLLATE {{nopad_bin}} UNIQUE, v TEXT);"
                 "CREATE TABLE naming (id INT PRIMARY KEY, k VARCHAR(20) COLLATE {{nopad_bin}}, FOREIGN KEY (k) REFERENCES named (k));"
                 "INSERT INTO named VALUES ('c', 'd', 'e\\0f')")
    good = "INSERT INTO named VALUES ('a', 'b', 'c\\0d')"
    lose = {"k": ("INSERT INTO named VALUES ('a\\0b', 'x', '')", "DELETE FROM named WHERE u = 'x'"),
            "u": ("INSERT INTO named VALUES ('x', 'a\\0b', '')", "DELETE FROM named WHERE k = 'x'"),
            "k of the foreign key": ("SET foreign_key_checks = 0; INSERT INTO naming VALUES (1, 'a\\0b')", "DELETE FROM naming")}
    for name, (statement, mend) in lose.items():
        for path in ("copy", "log"):
            scene.new_target_database()
            move = scene.migration(tenant="first", types__nul_bytes="remove")
            if path == "log":
                move.run_until_caught_up()
                scene.sql(good)
            scene.sql(statement)
            move.start("--until", "caught-up")
            scene.expect_exit(move, 5, "column %s: .*in a column of a key.*CF1411" % name[0])
            expect("ab" not in str(rows(scene)), "%s by %s: %s" % (name, path, rows(scene)))
            scene.sql(mend + "; DELETE FROM named WHERE k = 'a'")
            if path == "copy":
                move.run_until_caught_up()
                expect(verdict(move, 0)["result"] == "equal", "text that is no key is not what it was")


@hazard("repair", engines=("mariadb",), quick=False)
def a_large_repair_records_each_row_and_is_not_held_up(scene):
    """Ten thousand rows: all of them stand in the audit log twice, and the target is told of its head, not of each record."""
    move = stopped(scene, "CREATE TABLE many (id INT PRIMARY KEY, v INT); INSERT INTO many SELECT seq, 0 FROM seq_1_to_10000")
    scene.on_target("UPDATE many SET v = 1")
    began = time.monotonic()
    expect(repair(move, "--overwrite-foreign")["repaired"] == 10000, "not all were repaired")
    took = time.monotonic() - began
    expect(took < 60, "it took %d s" % took)
    with open(move.state_directory + "/audit.jsonl", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    for action in ("repair started", "repair ended"):
        keys = [row["key"] for record in records if record["action"] == action for row in record["details"]["rows"]]
        expect(sorted(keys) == sorted("id=%d" % i for i in range(1, 10001)), "%s names %d rows" % (action, len(keys)))
    ended = [record["seq"] for record in records if record["action"] == "repair ended"]
    told = int(scene.on_target("SELECT seq FROM crossfade.audit_head WHERE migration = '%s'" % move.name))
    expect(told >= ended[-1], "the target knows record %d of %d" % (told, ended[-1]))


@hazard("repair", engines=("mariadb",))
def a_plan_waits_while_its_source_is_under_load(scene):
    """--plan and --repair read as much as a pass does: they pause and back off as it does."""
    scene.own_source()
    scene.source.client("GRANT PROCESS ON *.* TO '%s'@'127.0.0.1'" % servers.MIGRATION_USER)
    move = stopped(scene, snapshot__source_max_threads_running=6)  # its own count, too
    scene.on_target("UPDATE t SET v = 7 WHERE id = 1")
    for flags in (("--plan",), ("--repair", "--yes", "--overwrite-foreign")):
        expect(move.command("pause")[0] == 0, "cannot pause")
        process = subprocess.Popen([migration.program(), "verify", move.config, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=move.environment)
        time.sleep(4)
        expect(process.poll() is None, "%s went on while paused" % flags[0])
        sleepers = [threading.Thread(target=scene.sql, args=("SELECT SLEEP(8)",)) for _ in range(8)]
        for sleeper in sleepers:
            sleeper.start()
        time.sleep(0.5)
        expect(move.command("resume")[0] == 0, "cannot resume")
        time.sleep(3)
        expect(process.poll() is None, "%s went on while the source had much to do" % flags[0])
        out, err = process.communicate(timeout=60)
        expect(process.returncode == (1 if flags[0] == "--plan" else 0), "%s: status %d\n%s%s" % (flags[0], process.returncode, out, err))
        for sleeper in sleepers:
            sleeper.join()
