"""What crossfade verify must find, and must not."""

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import threading
import time

import migration
from stage import expect, hazard, peak_mib


def verdict(move, status=None):
    code, out, err = move.command("verify", "--json")
    expect(out.startswith("{"), "verify ended with status %d\n%s%s" % (code, out, err))
    answer = json.loads(out)
    expect(code == {"equal": 0, "different": 1, "undecided": 2}[answer["result"]], "status %d, %s" % (code, answer["result"]))
    if status is not None:
        expect(code == status, "status %d\n%s" % (code, out))
    return answer


EVERYTHING = """
CREATE TABLE everything (id INT PRIMARY KEY, amount DECIMAL(20,6), ratio DOUBLE, small FLOAT, name VARCHAR(50), note TEXT, raw VARBINARY(50),
                         at DATETIME(6), seen TIMESTAMP(6) NULL, born DATE, lasts TIME(6), flags BIT(12), doc JSON, kind ENUM('a','b'), big BIGINT UNSIGNED);
INSERT INTO everything SELECT seq, seq * 1.5, seq / 3, seq / 7, CONCAT('name ', seq), CONCAT('note ', seq), UNHEX(SHA2(seq, 256)), '2020-01-02 03:04:05.678901',
       '2020-01-02 03:04:05.678901', '2020-02-29', '-12:34:56.789', seq % 4096, CONCAT('{"n": ', seq, ', "t": "x", "f": 0.1}'), 'a', 18446744073709551615
  FROM seq_1_to_2000;
"""


FILLED = EVERYTHING.replace("seq_1_to_2000", "(WITH RECURSIVE s(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM s WHERE seq < 2000) SELECT seq FROM s) n")

# What is done to the target behind our back, the row it is done to, and the column that must be named.
PLANTED = [
    ("UPDATE everything SET name = name || ' ' WHERE id = 1", "1", "name"),
    ("UPDATE everything SET name = upper(name) WHERE id = 2", "2", "name"),
    ("UPDATE everything SET note = NULL WHERE id = 3", "3", "note"),
    ("UPDATE everything SET note = '' WHERE id = 4", "4", "note"),
    ("UPDATE everything SET amount = amount + 0.000001 WHERE id = 5", "5", "amount"),
    ("UPDATE everything SET ratio = 0.10000000000000002 WHERE id = 6", "6", "ratio"),
    ("UPDATE everything SET small = small + 0.0000001::real WHERE id = 7", "7", "small"),
    ("UPDATE everything SET raw = set_byte(raw, 3, get_byte(raw, 3) # 1) WHERE id = 8", "8", "raw"),
    ("UPDATE everything SET at = date_trunc('milliseconds', at) WHERE id = 9", "9", "at"),
    ("UPDATE everything SET seen = seen + interval '1 hour' WHERE id = 10", "10", "seen"),
    ("UPDATE everything SET born = born + 1 WHERE id = 11", "11", "born"),
    ("UPDATE everything SET lasts = -lasts WHERE id = 12", "12", "lasts"),
    ("UPDATE everything SET flags = ~flags WHERE id = 13", "13", "flags"),
    ("UPDATE everything SET doc = replace(doc::text, '0.1', '0.10000000000000001')::{{json}} WHERE id = 14", "14", "doc"),
    ("UPDATE everything SET kind = 'b' WHERE id = 15", "15", "kind"),
    ("UPDATE everything SET big = big - 1 WHERE id = 16", "16", "big"),
    ("DELETE FROM everything WHERE id = 17", "17", None),
    ("INSERT INTO everything SELECT (e).* FROM (SELECT (jsonb_populate_record(e, '{\"id\": 100000}')) e FROM everything e WHERE id = 18) x", "100000", None),
    ("UPDATE everything SET id = 100001 WHERE id = 19", "19", None),
    ("UPDATE everything SET tenant_id = 'other' WHERE id = 20", "20", None),
    ("DELETE FROM twice WHERE ctid = (SELECT min(ctid) FROM twice)", None, None),
    ("INSERT INTO twice VALUES ('first', 7, 'never')", None, None),
    ("UPDATE priced SET v = 1 WHERE price = 2.500", "price=2.500, at=2020-01-02 00:00:03.000000", "v"),
    ("UPDATE words SET v = 1 WHERE word = 'word 5'", "word 5", "v"),
    ("DELETE FROM words WHERE word = 'word 6'", "word 6", None),
    ("UPDATE words SET word = 'Word 7' WHERE word = 'word 7'", "Word 7", None),
]


@hazard("verify")
def each_planted_difference_is_named(scene):
    """While applications write. Nothing else may be named, and an equal migration must be called equal."""
    scene.schema(FILLED)
    scene.schema("CREATE TABLE words (word VARCHAR(30) COLLATE utf8mb4_bin PRIMARY KEY, v INT);"
                 "INSERT INTO words SELECT CONCAT('word ', id), 0 FROM everything; INSERT INTO words VALUES ('', 0), ('ünï''\\\\', 0);"
                 "CREATE TABLE twice (a INT, b VARCHAR(10)); INSERT INTO twice VALUES (1, 'x'), (1, 'x'), (2, NULL), (2, NULL), (3, 'y');"
                 "CREATE TABLE priced (price DECIMAL(10,3), at DATETIME, v INT, PRIMARY KEY (price, at));"
                 "INSERT INTO priced VALUES (2.5, '2020-01-02 00:00:03', 0), (2, '2020-01-02 00:00:03', 0), (-0.25, '2020-01-02 00:00:03', 0);"
                 "CREATE TABLE hot (id INT PRIMARY KEY, n INT); INSERT INTO hot VALUES (1, 0), (2, 0), (3, 0)")
    move = scene.migration(tenant="first", types__text_keys="exact")
    move.start()
    move.wait_phase("following")
    writer = Writer(scene)
    try:
        for _ in range(3):
            answer = verdict(move, 0)
            expect(sum(table["source_rows"] for table in answer["tables"]) >= 4000, str(answer))
        json_type = scene.on_target("SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = 'everything'::regclass AND attname = 'doc'").strip()
        for statement, _, _ in PLANTED:
            scene.on_target(statement.replace("{{json}}", json_type))
        answer = verdict(move, 1)
        found = {(d["key"], tuple(c["column"] for c in d["columns"]) if d["kind"] == "different" else d["kind"])
                 for table in answer["tables"] for d in table["differences"]}
        wanted = set()
        for statement, key, column in PLANTED:
            if key:
                name = "word=" if " words " in statement else "id="
                kind = (column,) if column else "extra" if key in ("100000", "Word 7") else "missing"
                wanted.add((key if "=" in key else name + key if name == "id=" else "word='%s'" % key, kind))
        wanted |= {("id=100001", "extra"), ("word='word 7'", "missing"), ("a=1, b='x'", "missing"), ("a=7, b='never'", "extra")}
        expect(found == wanted, "not found: %s\nfound without cause: %s\n%s" % (sorted(wanted - found), sorted(found - wanted), answer["undecided"]))
    finally:
        writer.stop()


class Writer:
    """Writes to rows that nothing was planted in, and all the time to the same three."""

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
                cursor.execute("UPDATE everything SET name = CONCAT('changed ', %s) WHERE id = %s", (number, 100 + number * 7 % 1800))
                cursor.execute("UPDATE priced SET v = v + 1 WHERE price <> 2.5")
                cursor.execute("INSERT INTO twice VALUES (%s, 'z')", (number % 50 + 10,))
                cursor.execute("DELETE FROM twice WHERE a >= 10 AND b = 'z' LIMIT 1")
                cursor.execute("INSERT INTO words VALUES (%s, 1)", ("new %d" % number,))
        except Exception as error:  # shown by stop
            self.error = error
        connection.close()

    def stop(self):
        self.ending.set()
        self.thread.join()
        expect(self.error is None, "the writer failed: %s" % self.error)


def begin_verify(move, **settings):
    """Beside us: the process."""
    move.settings.update({key.replace("__", "."): value for key, value in settings.items()})
    move.write()
    return subprocess.Popen([migration.program(), "verify", move.config, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=move.environment, stdin=subprocess.DEVNULL, text=True)


@hazard("verify", "check", engines=("mariadb",))
def verify_says_what_it_cannot_compare(scene):
    """Too early, twice at once, or beside the wrong journal: each is refused, and then mended as the text says."""
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)")
    move = scene.migration(tenant="first")

    def refused(code, status):
        got, out, err = move.command("verify")
        expect(got == status and code in err and "fix:" in err, "status %d instead of %d with %s\n%s%s" % (got, status, code, out, err))

    refused("CF1781", 3)  # no state directory
    os.makedirs(move.state_directory, mode=0o700)
    refused("CF1307", 3)  # no journal in it
    shutil.rmtree(move.state_directory)
    move.start(failpoints="chunk.commit.after=crash")
    move.wait()
    refused("CF1782", 4)  # the copy is not complete
    move.start()
    move.wait_phase("following")
    with open(os.path.join(move.state_directory, "verify.lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused("CF1780", 4)
    right = scene.on_target("SELECT journal_id FROM crossfade.migration").strip()
    scene.on_target("UPDATE crossfade.migration SET journal_id = 'another'")
    refused("CF1783", 4)
    scene.on_target("UPDATE crossfade.migration SET journal_id = '%s'" % right)
    verdict(move, 0)
    code, out, err = move.command("journal", "--json")
    expect(code == 0, "the journal of a running migration: status %d\n%s%s" % (code, out, err))
    scene.source.client("INSERT INTO t VALUES (4)", scene.database)
    move.wait_applied()
    code, out, err = move.command("journal", "--decode")
    expect(code == 0 and "4" in out, "the journal of a running migration: status %d\n%s%s" % (code, out, err))
    expect("scratch" not in os.listdir(move.state_directory), "left behind: %s" % os.listdir(move.state_directory))


@hazard("verify")
def verify_survives_what_happens_to_it(scene):
    """Stopped, killed, and its connections lost on both sides: it harms nothing, and what is asked again says the truth."""
    scene.own_target()
    scene.schema(FILLED)
    move = scene.migration(tenant="first", verify__chunk_rows=200)
    move.start()
    move.wait_phase("following")
    slow = begin_verify(move, verify__max_rows_per_second=1000)
    time.sleep(0.7)
    slow.send_signal(signal.SIGTERM)
    out, err = slow.communicate(timeout=10)
    expect(slow.returncode == 2 and "CF1801" in err, "SIGTERM: status %d\n%s%s" % (slow.returncode, out, err))
    slow = begin_verify(move)
    time.sleep(0.7)
    slow.kill()
    slow.communicate()
    slow = begin_verify(move)
    time.sleep(0.7)
    scene.target.restart()
    administrator = scene.source.connect(autocommit=True).cursor()
    administrator.execute("SELECT id FROM information_schema.processlist WHERE user = 'crossfade' AND command <> 'Binlog Dump'")
    for (thread,) in administrator.fetchall():
        try:
            administrator.execute("KILL %d" % thread)
        except Exception:
            pass  # ended by itself
    out, err = slow.communicate(timeout=60)
    expect(slow.returncode == 0 and json.loads(out)["tables"][0]["source_rows"] == 2000, "connections lost: status %d\n%s%s" % (slow.returncode, out, err))
    move.settings["verify.max_rows_per_second"] = 0
    move.write()
    scene.on_target("UPDATE everything SET note = 'planted' WHERE id = 1234")
    answer = verdict(move, 1)
    expect([d["key"] for d in answer["tables"][0]["differences"]] == ["id=1234"], json.dumps(answer))
    scene.on_target("DELETE FROM everything WHERE id > 1000")
    answer = verdict(move, 1)["tables"][0]
    expect((answer["missing"], answer["different"], answer["extra"]) == (1000, 0, 0), json.dumps(answer)[:2000])


@hazard("verify", engines=("mariadb",), quick=False)
def a_stopped_migration_is_compared_as_far_as_it_can_be(scene):
    """What the source holds beyond the journal is undecided, and never called a difference."""
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 0), (2, 0), (3, 0)")
    move = scene.migration(tenant="first")
    move.run_until_caught_up()
    scene.source.client("UPDATE t SET v = 1 WHERE id = 2", scene.database)
    answer = verdict(move, 2)["tables"][0]
    expect(answer["undecided_keys"] == ["id=2"] and "crossfade run" in answer["why_undecided"], json.dumps(answer))
    move.run_until_caught_up()
    verdict(move, 0)


@hazard("verify", engines=("mariadb",))
def a_wrong_cascade_is_found(scene):
    """The children of a parent that is deleted all the time are changed by the servers themselves, and not in the log."""
    scene.schema("CREATE TABLE parent (id INT PRIMARY KEY);"
                 "CREATE TABLE child (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE SET NULL);"
                 "INSERT INTO parent VALUES (1), (2), (3); INSERT INTO child VALUES (1, 1), (2, 2), (3, 3), (4, NULL)")
    move = scene.migration(tenant="first")
    move.start()
    move.wait_phase("following")
    scene.source.client("DELETE FROM parent WHERE id = 2", scene.database)
    move.wait_applied()
    verdict(move, 0)
    scene.on_target("UPDATE child SET parent = 3 WHERE id = 2")
    answer = verdict(move, 1)
    found = [(table["table"], d["key"], d["columns"]) for table in answer["tables"] for d in table["differences"]]
    expect(found == [("child", "id=2", [{"column": "parent", "source": "NULL", "target": "3"}])], str(found))


@hazard("verify", engines=("mariadb",))
def what_differs_is_shown_in_bounded_memory(scene):
    """Thousands of rows of hundreds of columns that are all missing: each is counted, what is shown has a limit, in the text as well."""
    columns = ["c%d" % number for number in range(300)]
    for name in ("one", "two", "three", "four"):
        scene.schema("CREATE TABLE %s (id INT PRIMARY KEY, %s);" % (name, ", ".join(column + " INT" for column in columns)) +
                     "INSERT INTO %s SELECT seq, %s FROM seq_1_to_1000;" % (name, ", ".join("seq" for _ in columns)))
    scene.schema("CREATE TABLE zero (id INT PRIMARY KEY, v INT)")
    move = scene.migration(tenant="first")
    move.run_until_caught_up()
    scene.on_target("TRUNCATE one, two, three, four; INSERT INTO zero (tenant_id, id, v) VALUES ('first', 5000, 1)")
    look = begin_verify(move)
    peak = 0
    while look.poll() is None:
        try:
            peak = max(peak, peak_mib(look.pid))
        except (OSError, StopIteration):
            pass
        if select.select([look.stdout], [], [], 0.02)[0]:
            break
    answer = json.loads(look.communicate(timeout=120)[0])
    expect(answer["differences"] == 4001 and all(table["missing"] == 1000 for table in answer["tables"][:4]), str(answer)[:500])
    expect(all(0 < len(table["differences"]) < 1000 for table in answer["tables"][:4]), "what is shown has no limit")
    expect(0 < peak < 200, "%d MiB" % peak)
    with open(os.path.join(move.state_directory, "verify", "last.json"), encoding="utf-8") as file:
        expect(json.load(file) == answer, "what was kept is not what was printed")
    _, out, _ = move.command("verify")
    expect("zero id=5000: only on the target\n" in out and "    row: id=5000, v=1\n" in out, "the image of an extra row is not shown:\n" + out[-3000:])
    expect("one: 93" in out and " more\n" in out, "that there is more is not said")


@hazard("verify", engines=("mariadb",))
def values_that_begin_alike_are_told_apart(scene):
    """A long value is cut where it is shown: then the place is named."""
    scene.schema("CREATE TABLE long_ones (id INT PRIMARY KEY, v TEXT); INSERT INTO long_ones VALUES (1, REPEAT('a', 5000)), (2, 'b')")
    move = scene.migration(tenant="first")
    move.run_until_caught_up()
    scene.on_target("UPDATE long_ones SET v = overlay(v PLACING 'x' FROM 4001) WHERE id = 1")
    _, out, _ = move.command("verify")
    expect(out.count("(first different byte: 4001)") == 2, out)
    scene.on_target("UPDATE long_ones SET v = repeat('a', 5000) WHERE id = 1")
    code, out, _ = move.command("verify")
    expect(code == 0 and "equal at " in out, out)


# Rows whose key changes are updated on the target, in the columns that changed: z's foreign key acts.
MOVING = """
CREATE TABLE t (id INT PRIMARY KEY, v INT);
INSERT INTO t SELECT seq, 0 FROM seq_10001_to_50000;
CREATE TABLE z (id INT PRIMARY KEY, t INT, FOREIGN KEY (t) REFERENCES t (id) ON UPDATE CASCADE);
CREATE TABLE parts (t INT, line INT, v INT, PRIMARY KEY (t, line), FOREIGN KEY (t) REFERENCES t (id) ON UPDATE CASCADE);
INSERT INTO parts SELECT seq, 1, 0 FROM seq_10001_to_50000;
"""
SLOWLY = {"verify__max_rows_per_second": 10000, "verify__chunk_rows": 5000, "verify__readers": 1}


def moving_scene(scene, **settings):
    scene.schema(MOVING)
    move = scene.migration(tenant="first", **settings)
    move.start()
    move.wait_phase("following")
    scene.on_target("UPDATE t SET v = 9 WHERE id = 50000; UPDATE parts SET v = 9 WHERE t = 49999")
    return move


def expect_both(process):
    out, err = process.communicate(timeout=120)
    expect(process.returncode == 1, "status %d\n%s%s" % (process.returncode, out, err))
    answer = json.loads(out)
    found = {(table["table"], d["key"]) for table in answer["tables"] for d in table["differences"]}
    expect(found == {("t", "id=1"), ("parts", "t=2, line=1")} and answer["differences"] == 2, out)
    expect(answer["undecided"] == 0, out)


@hazard("verify", engines=("mariadb",))
def a_row_that_moves_behind_the_place_that_is_read(scene):
    """The tables are read slowly, one after the other. Its key, or by a cascade that of a row below it, changes from a range that is still to be read to one that has been: what is wrong in it is found."""
    move = moving_scene(scene)
    process = begin_verify(move, **SLOWLY)
    time.sleep(2)  # half of t is read
    scene.sql("UPDATE t SET id = 1 WHERE id = 50000")
    time.sleep(4)  # half of parts
    expect(process.poll() is None, "it has ended too soon")
    scene.sql("UPDATE t SET id = 2 WHERE id = 49999")
    expect_both(process)


@hazard("verify", "crash", engines=("mariadb",))
def a_row_moves_while_a_killed_pass_rests(scene):
    """Before the kill, or between it and the next process: also where the journal does not tell of it any more, and the tables begin anew."""
    move = moving_scene(scene, journal__keep_s=0)
    process = begin_verify(move, **SLOWLY)
    time.sleep(2)
    scene.sql("UPDATE t SET id = 1 WHERE id = 50000")
    move.wait_applied()
    time.sleep(4)
    process.kill()
    process.communicate()
    scene.sql("UPDATE t SET id = 2 WHERE id = 49999")
    for _ in range(4):  # so that the journal is trimmed
        move.wait_applied()
        time.sleep(0.6)
        scene.sql("UPDATE t SET v = v WHERE id = 3; UPDATE t SET v = v + 1 WHERE id = 10001")
    process = begin_verify(move)
    time.sleep(1)
    with open(os.path.join(move.state_directory, "verify", "pass.jsonl"), encoding="utf-8") as file:
        expect('"anew"' in file.read(), "the journal was not trimmed")
    expect_both(process)
