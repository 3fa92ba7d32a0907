#!/usr/bin/python3
"""Plants differences on the target under live load, and lets `crossfade verify` look for them; and lets it look where there is none.

  planted      random single differences, ten at a time, in tables with columns and keys of every kind: each must be named by key and column, nothing else
  quiet        a shop and a bank under load, compared over and over: never a difference; after the load all is equal, and nothing undecided
  interrupted  `verify` is killed with signal 9, and the target restarted, in the middle; what is planted is found all the same
  large        5,000,000 rows, and 1,000,000 under a key of text, in less than 200 MiB (only with --full)

Each counts once for each source server.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import traceback

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "harness"), os.path.join(os.path.dirname(TESTS), "tools", "demo"), os.path.dirname(os.path.abspath(__file__))]

import psycopg2

import bank
import compare
import kinds
import load
import migration
import planting
import servers
import shop

AT_ONCE = 10
MEMORY_MIB = 200


class Wrong(Exception):
    pass


def expect(condition, message):
    if not condition:
        raise Wrong(message)


class Verify:
    """One run of the command, beside us."""

    def __init__(self, scene):
        self.scene = scene
        self.process = scene.run.spawn([migration.program(), "verify", scene.move.config, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       env=scene.move.environment, text=True)
        self.peak_mib = 0

    def answer(self, timeout_s=900):
        """What it found, as JSON. Its exit status must say the same."""
        watcher = threading.Thread(target=self._watch_memory, daemon=True)
        watcher.start()
        try:
            out, err = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Wrong("verify did not end within %d s" % timeout_s)
        self.scene.run.forget(self.process)
        expect(out.startswith("{"), "verify ended with status %d\n%s%s" % (self.process.returncode, out[-2000:], err[-3000:]))
        answer = json.loads(out)
        status = {"equal": 0, "different": 1, "undecided": 2}[answer["result"]]
        expect(self.process.returncode == status, "status %d, and the result is '%s'" % (self.process.returncode, answer["result"]))
        return answer

    def _watch_memory(self):
        try:
            while self.process.poll() is None:
                with open("/proc/%d/status" % self.process.pid, encoding="ascii", errors="replace") as file:
                    for line in file:
                        if line.startswith("VmHWM"):
                            self.peak_mib = int(line.split()[1]) // 1024
                time.sleep(0.1)
        except OSError:
            pass

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            pass
        self.process.communicate()
        self.scene.run.forget(self.process)


class Scene:
    """One source database, one target database, the migration between them."""

    number = 0

    def __init__(self, run, source, target, arguments, seed):
        Scene.number += 1
        self.database = "verify_%d" % Scene.number
        self.run, self.source, self.target, self.arguments, self.seed = run, source, target, arguments, seed
        self.engine = source.engine
        self.random = random.Random("%s/%s" % (seed, self.engine))
        self.notes = []
        self.loads = []
        self.own_target = False
        target.create_database(self.database)
        self.move = migration.Migration(run, self.database.replace("_", "-"), source, self.database, target, self.database, tenant=planting.TENANT,
                                        settings={"target.takeover_grace_ms": 1000, "verify.chunk_rows": 200, "snapshot.chunk_rows": 1000})

    def begin_load(self, *loads):
        self.loads += [one.start() for one in loads]
        self.load_began = time.monotonic()

    def end_load(self):
        """Transactions a second that there were."""
        took = time.monotonic() - self.load_began
        done = sum(one.transactions for one in self.loads)
        for one in self.loads:
            one.stop()
        self.loads = []
        expect(done > 20 * took, "that was no load: %d transactions in %.0f s" % (done, took))
        self.notes.append("%.0f transactions/s" % (done / took))

    def set(self, **settings):
        self.move.settings.update({key.replace("__", "."): value for key, value in settings.items()})
        self.move.write()

    def verify(self):
        self.move._still_running()
        for one in self.loads:
            one.check()
        answer = Verify(self).answer()
        self.move._still_running()
        return answer

    def expect_equal(self, when):
        answer = self.verify()
        expect(answer["result"] == "equal", "%s: %s" % (when, said(answer)))

    def end(self):
        """The load has ended: all arrives, and both comparisons say that all is equal."""
        status = self.move.wait_applied(timeout_s=300)
        expect(not status["apply"]["divergences"], "%s divergences were met" % status["apply"]["divergences"])
        self.expect_equal("after the load")
        ended = self.move.stop()
        expect(ended in (0, 2), "stopping ended with status %d\n%s" % (ended, self.move.log_tail()))
        report = compare.Comparison(self.source, self.database, self.target, self.database, tenant_column="tenant_id", tenant_value=planting.TENANT,
                                    directory=self.run.directory).run()
        expect(report.equal, "the servers' own clients see a difference: %s" % report)

    def close(self, good):
        for one in self.loads:
            try:
                one.stop()
            except Exception:
                pass  # the failure that there was is told
        if self.move.process:
            self.move.kill()
        if good and self.database in self.source.databases():
            self.source.client("DROP DATABASE " + self.database)
            self.target.client("DROP DATABASE IF EXISTS %s WITH (FORCE)" % self.database)
        if self.own_target:
            self.target.kill()


def said(answer):
    """The tables of which something is said."""
    tables = [dict(table, differences=table["differences"][:5], undecided_keys=[key[:100] for key in table["undecided_keys"][:5]])
              for table in answer["tables"] if table["result"] != "equal"]
    return json.dumps(tables)[:6000]


def begin_kinds(scene, rows):
    """Tables of every kind, followed, under load; what plants differences in them."""
    scene.source.client("CREATE DATABASE %s CHARACTER SET utf8mb4" % scene.database)
    scene.source.client(kinds.schema(scene.engine), scene.database)
    kinds.fill(scene.source, scene.database, scene.engine, rows, scene.random)
    scene.move.start()
    scene.move.wait_phase("following")
    planter = planting.Planter(scene.target, scene.database, scene.engine, rows, scene.random)
    planter.bystander()
    scene.begin_load(load.Load(scene.source.port, scene.database, workers=3, rate=scene.arguments.rate, seed=scene.seed, worker=kinds.painter(scene.engine, rows)))
    return planter


def planted(scene):
    planter = begin_kinds(scene, scene.arguments.rows)
    scene.expect_equal("before anything was planted")
    operations = planter.operations()
    done, missed, seconds = 0, [], []
    while done < scene.arguments.count:
        plants = [planter.plant(next(operations)) for _ in range(min(AT_ONCE, scene.arguments.count - done))]
        began = time.monotonic()
        missed += planting.judge(scene.verify(), plants)
        seconds.append(time.monotonic() - began)
        planter.undo(plants)
        done += len(plants)
        expect(len(missed) < 30, "\n".join(missed))
    expect(not missed, "\n".join(missed))
    scene.notes.append("%d planted and named, %.1f s for each look" % (done, sum(seconds) / len(seconds)))
    scene.end_load()
    scene.end()
    planter.close()


def quiet(scene):
    shop.create(scene.source, scene.database, scene.arguments.size, scene.seed)
    bank.create(scene.source, scene.database, 80)
    scene.move.start()
    scene.move.wait_phase("following")
    rate = scene.arguments.rate
    scene.begin_load(load.Load(scene.source.port, scene.database, workers=3, rate=0.7 * rate, seed=scene.seed),
                     load.Load(scene.source.port, scene.database, workers=1, rate=0.3 * rate, seed=scene.seed, worker=bank.Teller))
    until = time.monotonic() + 60 * scene.arguments.minutes
    looks = rows = rechecked = undecided = 0
    reasons = {}
    while time.monotonic() < until:
        answer = scene.verify()
        expect(answer["differences"] == 0, "a false alarm: %s" % said(answer))
        looks += 1
        for table in answer["tables"]:
            rows += table["source_rows"]
            rechecked += table["rechecked"]
            undecided += table["undecided"]
            if table["undecided"]:
                why = "%s: %s" % (table["table"], table["why_undecided"])
                reasons[why] = reasons.get(why, 0) + table["undecided"]
    scene.end_load()
    scene.notes.append("%d looks, %d rows, %d rechecked, %d undecided" % (looks, rows, rechecked, undecided))
    scene.notes += ["undecided %d times: %s" % (count, why) for why, count in sorted(reasons.items())]
    expect(looks >= 3, "only %d looks" % looks)
    scene.end()


def interrupted(scene):
    scene.target, scene.own_target = scene.run.start(servers.Postgres()), True
    scene.target.create_database(scene.database)
    scene.move = migration.Migration(scene.run, scene.database + "i", scene.source, scene.database, scene.target, scene.database, tenant=planting.TENANT,
                                     settings={"target.takeover_grace_ms": 1000, "verify.chunk_rows": 200})
    planter = begin_kinds(scene, scene.arguments.rows)
    operations = planter.operations()
    plants = [planter.plant(next(operations)) for _ in range(AT_ONCE)]
    rows = scene.arguments.rows * len(planter.tables)
    scene.set(verify__max_rows_per_second=rows // 4)
    for _ in range(3):
        look = Verify(scene)
        time.sleep(scene.random.uniform(0.3, 3))
        expect(look.process.poll() is None, "verify had ended before it was killed")
        look.kill()
    scene.notes.append("killed three times")
    look = Verify(scene)
    time.sleep(scene.random.uniform(0.5, 2))
    expect(look.process.poll() is None, "verify had ended before the target was restarted")
    scene.target.restart(hard=True)
    wrong = planting.judge(look.answer(), plants)
    expect(not wrong, "the target was restarted: " + "\n".join(wrong))
    scene.set(verify__max_rows_per_second=0)
    wrong = planting.judge(scene.verify(), plants)
    expect(not wrong, "after all that: " + "\n".join(wrong))
    planter.connect()
    planter.undo(plants)
    scene.end_load()
    scene.end()
    planter.close()


LARGE = """
CREATE TABLE digits (d INT); INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
CREATE TABLE big (id INT PRIMARY KEY, k INT NOT NULL, c VARCHAR(80) NOT NULL, de DECIMAL(20,6));
INSERT INTO big SELECT n, n MOD 1000, CONCAT('row ', n, ' of many, with some text behind it'), n / 7
  FROM (SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d + 100000 * f.d + 1000000 * g.d AS n
        FROM digits a, digits b, digits c, digits d, digits e, digits f, digits g WHERE g.d < 5) AS numbers;
CREATE TABLE words (word VARCHAR(40) COLLATE {nopad} PRIMARY KEY, k INT NOT NULL);
INSERT INTO words SELECT CONCAT('the word ', LEFT(SHA2(id, 256), 24)), k FROM big WHERE id <= 1000000;
DROP TABLE digits;
ANALYZE TABLE big, words;
"""


def large(scene):
    scene.source.client("CREATE DATABASE %s CHARACTER SET utf8mb4" % scene.database)
    scene.source.client(LARGE.replace("{nopad}", shop.NOPAD_BIN[scene.engine]), scene.database, timeout_s=1800)
    scene.set(verify__chunk_rows=50000, snapshot__chunk_rows=100000)
    scene.move.start()
    scene.move.wait_phase("following", timeout_s=1800)
    target = scene.target.connect(scene.database)
    target.autocommit = True
    cursor = target.cursor()
    ids = scene.random.sample(range(1, 5 * 10**6), 20)
    for number in ids[:10]:
        cursor.execute("UPDATE big SET de = de + 0.000001 WHERE id = %s", (number,))
    for number in ids[10:]:
        cursor.execute("DELETE FROM big WHERE id = %s", (number,))
    cursor.execute("UPDATE words SET k = k + 1 WHERE word = (SELECT word FROM words OFFSET 500000 LIMIT 1) RETURNING word")
    word = cursor.fetchone()[0]
    stop = threading.Event()
    writer = threading.Thread(target=write_large, args=(scene, stop, set(ids), scene.random.randrange(10**6)))
    writer.start()
    try:
        began = time.monotonic()
        look = Verify(scene)
        answer = look.answer(3600)
    finally:
        stop.set()
        writer.join()
    found = {(table["table"], one["kind"], one["key"]) for table in answer["tables"] for one in table["differences"]}
    wanted = ({("big", "different", "id=%d" % number) for number in ids[:10]} | {("big", "missing", "id=%d" % number) for number in ids[10:]} |
              {("words", "different", "word='%s'" % word)})
    expect(found == wanted, "not found: %s\nwithout cause: %s\n%s" % (wanted - found, found - wanted, said(answer)[:2000]))
    scene.notes.append("6,000,000 rows in %.0f s, %d MiB" % (time.monotonic() - began, look.peak_mib))
    expect(0 < look.peak_mib < MEMORY_MIB, "it took %d MiB" % look.peak_mib)
    target.close()


def write_large(scene, stop, planted_ids, seed):
    """A few rows everywhere, all the time; none of those that differ."""
    rng = random.Random(seed)
    connection = scene.source.connect(scene.database, autocommit=True)
    cursor = connection.cursor()
    while not stop.wait(0.005):
        number = rng.randint(1, 5 * 10**6)
        if number not in planted_ids:
            cursor.execute("UPDATE big SET k = k + 1, c = CONCAT(c, '!') WHERE id = %s", (number,))
    connection.close()


CHECKS = {"planted": planted, "quiet": quiet, "interrupted": interrupted, "large": large}


def attempt(run, source, target, name, arguments, seed):
    """(why it failed or None, what there is to say)."""
    scene = None
    try:
        scene = Scene(run, source, target, arguments, seed)
        CHECKS[name](scene)
        scene.close(True)
        return None, scene.notes
    except Exception as error:
        if scene:
            scene.close(False)
        known = isinstance(error, (Wrong, migration.MigrationError, compare.CompareError, servers.SqlError, psycopg2.Error))
        return ("%s: %s" % (type(error).__name__, error) if known else traceback.format_exc()), scene.notes if scene else []


def main():
    parser = argparse.ArgumentParser(description="Plants differences under live load and lets verify look for them; and where there is none.")
    parser.add_argument("--filter", default="", metavar="RE", help="only those whose name matches: " + ", ".join(CHECKS))
    parser.add_argument("--engine", action="append", choices=["mariadb", "mysql"], help="only this source (repeatable)")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--count", type=int, help="differences planted for each source server (20; with --full 200)")
    parser.add_argument("--minutes", type=float, help="how long to look where nothing is wrong (2 for both servers together; with --full 30 for each)")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    migration.program()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    print("seed %d" % seed, flush=True)
    full = arguments.full
    arguments.count = arguments.count or (200 if full else 20)
    arguments.minutes = arguments.minutes or (30 if full else 1)
    arguments.rows, arguments.size, arguments.rate = (3000, 600, 450) if full else (600, 150, 450)
    engines = arguments.engine or ["mariadb", "mysql"]
    names = [name for name in CHECKS if re.search(arguments.filter, name) and (full or name != "large" or arguments.filter == "large")]
    jobs = [(name, engine) for engine in engines for name in names]
    skipped = 0
    if "mysql" in engines and servers.mysql_root() is None:
        skipped = len(names)
        print("SKIPPED %d on mysql: no MySQL server (tools/servers/fetch-mysql.sh)" % skipped)
    counts = {"passed": 0, "failed": 0}
    began = time.monotonic()
    with servers.Run(keep=arguments.keep) as run:
        target, sources = None, {}
        for name, engine in jobs:
            if engine == "mysql" and skipped:
                continue
            target = target or run.start(servers.Postgres())
            if engine not in sources:
                sources[engine] = run.start(servers.source_server(engine))
            started = time.monotonic()
            failure, notes = attempt(run, sources[engine], target, name, arguments, seed)
            counts["failed" if failure else "passed"] += 1
            print("%s %s/%s (%.0f s): %s%s" % ("FAILED" if failure else "passed", name, engine, time.monotonic() - started, ", ".join(notes),
                                               "\n    (--seed %d) " % seed + failure.strip().replace("\n", "\n    ") if failure else ""), flush=True)
    for engine in engines:
        print("comparisons on %s: %d" % (engine, 0 if engine == "mysql" and skipped else len(names)))
    print("comparisons took %.0f s" % (time.monotonic() - began))
    print("%d passed, %d failed, %d skipped" % (counts["passed"], counts["failed"], skipped))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
