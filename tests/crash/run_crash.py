#!/usr/bin/python3
"""Kills the real program at every durable write, while the source is written to, and compares every row afterwards.

The failpoints are found by themselves: a clean run under load writes their names down, once from nothing and once after a
kill. Then, for each: a new migration dies at that failpoint (exit status 85, nothing else will do), is started again until it
has caught up, and must be equal to the source. Random kills with signal 9 follow. In half of the scenes another tenant's rows stand
in the tables before, and must not change.
"""

import argparse
import os
import random
import re
import sys
import threading
import time
import traceback

import pymysql

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "harness"), os.path.join(os.path.dirname(TESTS), "tools", "demo")]

import bank
import compare
import kills
import load
import migration
import servers
import shop

SETTINGS = {
    # Many chunks, many small batches and journal parts, so that there are many places to die.
    "snapshot.chunk_rows": 200, "snapshot.readers": 2, "target.takeover_grace_ms": 1000, "journal.memory_mib": 16, "journal.keep_s": 0,
    "verify.continuous": True,
}

EXTRAS = """
CREATE TABLE xa_rows (id INT AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL);
CREATE TABLE emptied (id INT AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL);
CREATE TABLE bulk (id INT AUTO_INCREMENT PRIMARY KEY, filler VARCHAR(4000) NOT NULL, v INT NOT NULL DEFAULT 0);
INSERT INTO bulk (filler) VALUES ('a'), ('b'), ('c'), ('d');
CREATE TABLE readings (id INT AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL);
INSERT INTO readings (v) SELECT a.id FROM bulk a, bulk b, bulk c, bulk d, bulk e, bulk f;
ANALYZE TABLE readings;
"""


class Extras(threading.Thread):
    """What the shop's load does not do: prepared transactions, TRUNCATE, transactions larger than a batch, changes all over a table."""

    def __init__(self, source, database, seed):
        super().__init__(daemon=True)
        self.source, self.database = source, database
        self.random = random.Random("extras/%s" % seed)
        self.stopping = False
        self.failure = None
        # TRUNCATE is a schema change to the server: in the midst of a copy it stops that, as it should (tests/hazards).
        self.may_truncate = False
        self.patient = False  # the server may go away; prepared transactions, which it would keep, are then left out

    def run(self):
        number = 0
        while not self.stopping and not self.failure:
            try:
                connection = self.source.connect(self.database, autocommit=True)
                cursor = connection.cursor()
                while not self.stopping:
                    number += 1
                    getattr(self, self.random.choice(["truncated", "large", "read"] + ([] if self.patient else ["prepared"])))(cursor, number)
                    time.sleep(0.15)
                connection.close()
            except pymysql.err.MySQLError as error:
                if not self.patient or error.args[0] not in load.GONE:
                    self.failure = error  # told by stop()
                time.sleep(0.1)

    def prepared(self, cursor, number):
        name = "'%s-%d'" % (self.database, number)
        cursor.execute("XA START " + name)
        cursor.execute("INSERT INTO xa_rows (v) VALUES (%s), (%s)", (number, number))
        cursor.execute("UPDATE xa_rows SET v = v + 1 ORDER BY id DESC LIMIT 5")
        cursor.execute("XA END " + name)
        cursor.execute("XA PREPARE " + name)
        time.sleep(self.random.random() / 10)
        cursor.execute("XA %s %s" % (self.random.choice(["COMMIT", "COMMIT", "ROLLBACK"]), name))

    def truncated(self, cursor, number):
        cursor.execute("INSERT INTO emptied (v) VALUES (%s), (%s), (%s)", (number,) * 3)
        if number % 3 == 0 and self.may_truncate:
            cursor.execute("TRUNCATE TABLE emptied")

    def read(self, cursor, number):
        cursor.execute("UPDATE readings SET v = v + 1 WHERE id %% 97 = %s", (number % 97,))
        cursor.execute("DELETE FROM readings WHERE id %% 101 = %s LIMIT 5", (number % 101,))
        cursor.execute("INSERT INTO readings (v) VALUES (1), (2), (3), (4)")
        cursor.execute("UPDATE readings SET id = id + 100000 WHERE id = %s", (number,))

    def large(self, cursor, number):
        cursor.execute("BEGIN")
        cursor.execute("DELETE FROM bulk WHERE id > 4")
        cursor.execute("INSERT INTO bulk (filler, v) SELECT REPEAT(a.filler, 2000), %s FROM bulk a, bulk b, bulk c, bulk d LIMIT 200", (number,))
        cursor.execute("UPDATE bulk SET v = v + 1, filler = CONCAT(SUBSTR(filler, 2), 'x') WHERE id > 4 LIMIT 100")
        cursor.execute("COMMIT")

    def stop(self):
        self.stopping = True
        self.join(30)
        if self.failure:
            raise self.failure


ACCOUNTS = 80


class Scene:
    """One migration of a live database: a shop, a bank, and what both lack."""

    def __init__(self, stage, number, seed, patient=False, with_bystander=None, **settings):
        self.stage = stage
        self.database = "crash_%d" % number
        self.seed = seed
        source, target = stage.source, stage.target
        shop.create(source, self.database, stage.arguments.size, seed)
        source.client(EXTRAS, self.database)
        bank.create(source, self.database, ACCOUNTS)
        self.has_bystander = random.Random("bystander/%s" % seed).random() < 0.5 if with_bystander is None else with_bystander
        if self.has_bystander:
            target.client("CREATE DATABASE %s TEMPLATE bystander OWNER %s" % (self.database, servers.MIGRATION_USER))
        else:
            target.create_database(self.database)
        self.move = migration.Migration(stage.run, self.database, source, self.database, target, self.database, tenant="acme",
                                        settings=dict(SETTINGS, **settings))
        self.loads = [load.Load(source.port, self.database, workers=2, rate=120, seed=seed, patient=patient),
                      load.Load(source.port, self.database, workers=1, rate=50, seed=seed, patient=patient, worker=bank.Teller)]
        self.extras = Extras(source, self.database, seed)
        self.extras.patient = patient

    def begin(self):
        for one in self.loads:
            one.start()
        self.extras.start()

    def end_load(self):
        for one in self.loads:
            one.stop()
        self.extras.stop()

    def finish(self):
        """Starts the program as often as it takes, ends the load, and compares."""
        self.move.start()
        self.move.wait_phase(migration.FOLLOWING)
        self.extras.may_truncate = True
        auditor = bank.Auditor(self.stage.target, self.database, ACCOUNTS, "acme")
        auditor.start()
        time.sleep(0.5)
        self.end_load()
        self.move.wait_applied()
        wrong = auditor.stop()
        if wrong:
            raise migration.MigrationError("audit %d of the bank: %s" % (auditor.audits, wrong))
        status = self.move.stop()
        if status not in (0, 2):
            raise migration.MigrationError("stopping ended with status %d\n%s" % (status, self.move.log_tail()))
        self.compare()

    def compare(self):
        report = compare.Comparison(self.stage.source, self.database, self.stage.target, self.database, tenant_column="tenant_id",
                                    tenant_value="acme", directory=self.stage.run.directory).run()
        if not report.equal:
            raise migration.MigrationError("source and target differ: %s" % report)
        if self.has_bystander:
            report = compare.Comparison(self.stage.source, "bystander", self.stage.target, self.database, tenant_column="tenant_id",
                                        tenant_value="bystander", directory=self.stage.run.directory).run()
            if not report.equal:
                raise migration.MigrationError("another tenant's rows were changed: %s" % report)

    def close(self, good):
        workers = [worker for one in self.loads for worker in one.workers] + [self.extras]
        for worker in workers:
            worker.stopping = True
        if self.move.process:
            self.move.kill()
        if good:
            for worker in workers:
                worker.join(5)
            self.stage.source.client("DROP DATABASE " + self.database)
            self.stage.target.client("DROP DATABASE %s WITH (FORCE)" % self.database)


class Stage:
    """The servers, and what is tried on them."""

    def __init__(self, run, arguments, engine):
        self.run, self.arguments, self.engine = run, arguments, engine
        self.source = run.start(servers.source_server(engine))
        self.target = run.start(servers.Postgres())
        self.number = 0
        self.lock = threading.Lock()
        shop.create(self.source, "bystander", 100, 0)
        self.source.client(EXTRAS, "bystander")
        bank.create(self.source, "bystander", ACCOUNTS)
        self.target.create_database("bystander")
        migration.Migration(run, "bystander", self.source, "bystander", self.target, "bystander", tenant="bystander").run_until_caught_up()

    def scene(self, seed, **settings):
        with self.lock:
            self.number += 1
            number = self.number
        return Scene(self, number, seed, **settings)

    def attempt(self, seed, act, **settings):
        """None, or why it failed."""
        scene = None
        try:
            scene = self.scene(seed, **settings)
            scene.begin()
            act(scene)
            scene.finish()
            scene.close(True)
            return None
        except Exception as error:
            if scene:
                scene.close(False)
            if isinstance(error, (migration.MigrationError, compare.CompareError, servers.SqlError)):
                return str(error)
            return traceback.format_exc()

    # -- finding the failpoints
    def discover(self, seed):
        """[(name, 'first' or 'again')]; 'again': only met when a run goes on after a kill."""
        logs = [os.path.join(self.run.directory, "failpoints-%s-%s" % (self.engine, when)) for when in ("first", "again")]

        def clean(scene):
            scene.move.start(failpoint_log=logs[0])
            scene.move.wait_phase(migration.FOLLOWING)
            scene.extras.may_truncate = True
            time.sleep(3)
            scene.move.kill()
            scene.move.start(failpoint_log=logs[1])
            scene.move.wait_phase(migration.FOLLOWING)
            time.sleep(2)
            scene.move.stop()

        failure = self.attempt(seed, clean)
        if failure:
            raise SystemExit("a clean run failed already:\n%s\n0 passed, 1 failed, 0 skipped" % failure)
        names = []
        for when, log in zip(("first", "again"), logs):
            with open(log, encoding="utf-8") as file:
                for name in sorted(set(file.read().split())):
                    if name not in [n for n, _ in names]:
                        names.append((name, when))
        return names

    # -- dying
    def crash_at(self, name, when, hit, seed):
        def act(scene):
            if when == "again":
                scene.move.start()
                scene.move.wait_phase(migration.FOLLOWING)
                scene.extras.may_truncate = True
                scene.move.kill()
            scene.move.start(failpoints="%s=crash@%d" % (name, hit))
            try:
                status = scene.move.wait(self.arguments.patience)
            except migration.MigrationError:
                if hit > 1:
                    return  # met less often than that; the comparison still counts
                raise migration.MigrationError("%s was not met within %d s\n%s" % (name, self.arguments.patience, scene.move.log_tail()))
            if status != migration.CRASH_STATUS:
                raise migration.MigrationError("ended with status %d instead of %d\n%s" % (status, migration.CRASH_STATUS, scene.move.log_tail()))

        return self.attempt(seed, act)


def work(jobs, workers, report):
    lock = threading.Lock()

    def worker():
        while True:
            with lock:
                if not jobs:
                    return
                name, job = jobs.pop(0)
            begun = time.monotonic()
            report(name, job(), time.monotonic() - begun)

    threads = [threading.Thread(target=worker) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# What is tried on MySQL too: it is met otherwise there.
ON_MYSQL = re.compile(r"^(capture|journal|state)\.")


def failpoint_jobs(stage, arguments, rng, elsewhere_too):
    names = stage.discover(rng.randrange(10**6))
    print("failpoints met on %s: %d" % (stage.engine, len(names)), flush=True)
    chosen = [item for item in names if re.search(arguments.filter, item[0]) and (not elsewhere_too or ON_MYSQL.search(item[0]))]
    if arguments.count is not None and arguments.count < len(chosen):
        chosen = rng.sample(chosen, arguments.count)
    jobs = []
    for name, when in chosen:
        for time_ in range(arguments.each):
            hit = 1 if time_ == 0 else rng.randint(2, 6)
            case_seed = rng.randrange(10**6)
            jobs.append(("%s@%d/%s, seed %d" % (name, hit, stage.engine, case_seed),
                         lambda n=name, w=when, h=hit, s=case_seed: stage.crash_at(n, w, h, s)))
    return jobs


def try_engine(run, engine, arguments, rng, elsewhere_too, report, kills_wanted):
    stage = Stage(run, arguments, engine)
    if arguments.filter != "kills":
        work(failpoint_jobs(stage, arguments, rng, elsewhere_too), arguments.workers, report)
    if not arguments.filter or arguments.filter == "kills":
        # One at a time: their servers are killed too.
        work(kills.jobs(stage, kills_wanted, rng), 1, report)
    stage.source.kill()
    stage.target.kill()


def main():
    parser = argparse.ArgumentParser(description="Kills the program at every durable write and compares afterwards.")
    parser.add_argument("--count", type=int, help="only this many failpoints, chosen by the seed")
    parser.add_argument("--each", type=int, default=1, help="how often to die at each failpoint: at its first hit, then later")
    parser.add_argument("--full", action="store_true", help="each failpoint twice, and 100 kills")
    parser.add_argument("--kills", type=int, help="kills at random moments, over all servers; default 10")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--filter", default="", metavar="RE", help="only failpoints whose name matches; 'kills': only the random kills")
    parser.add_argument("--engine", action="append", choices=["mariadb", "mysql"],
                        help="only this source, and all failpoints on it (repeatable)")
    parser.add_argument("--size", type=int, default=150, help="size of the source database, see tools/demo/shop.py")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--patience", type=int, default=40, help="seconds until a failpoint must be met")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    if arguments.full:
        arguments.each = max(arguments.each, 2)
    if arguments.kills is None:
        arguments.kills = 100 if arguments.full else 10
    migration.program()
    print("seed %d" % seed, flush=True)
    rng = random.Random(seed)
    counts = {"passed": 0, "failed": 0}
    lock = threading.Lock()

    def report(name, failure, seconds):
        with lock:
            counts["failed" if failure else "passed"] += 1
            print("%s %s (%.0f s)%s" % ("FAILED" if failure else "passed", name, seconds,
                                        "\n    " + failure.strip().replace("\n", "\n    ") if failure else ""), flush=True)

    engines = arguments.engine or ["mariadb", "mysql"]
    skipped = 0
    if "mysql" in engines and servers.mysql_root() is None:
        engines.remove("mysql")
        skipped = 1
        print("SKIPPED crashes on mysql: no MySQL server (tools/servers/fetch-mysql.sh)")
    with servers.Run(keep=arguments.keep) as run:
        for number, engine in enumerate(engines):
            before = sum(counts.values())
            wanted = (arguments.kills + len(engines) - 1 - number) // len(engines)
            try_engine(run, engine, arguments, rng, engine == "mysql" and not arguments.engine, report, wanted)
            print("crashes on %s: %d" % (engine, sum(counts.values()) - before), flush=True)
    print(kills.histogram())
    print("%d passed, %d failed, %d skipped" % (counts["passed"], counts["failed"], skipped))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
