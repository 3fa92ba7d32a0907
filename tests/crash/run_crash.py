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

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "harness"), os.path.join(os.path.dirname(TESTS), "tools", "demo")]

import compare
import load
import migration
import servers
import shop

SETTINGS = {
    # Many chunks, many small batches and journal parts, so that there are many places to die.
    "snapshot.chunk_rows": 200, "snapshot.readers": 2, "target.takeover_grace_ms": 1000, "journal.memory_mib": 16,
}

EXTRAS = """
CREATE TABLE xa_rows (id INT AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL);
CREATE TABLE emptied (id INT AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL);
CREATE TABLE bulk (id INT AUTO_INCREMENT PRIMARY KEY, filler VARCHAR(4000) NOT NULL, v INT NOT NULL DEFAULT 0);
INSERT INTO bulk (filler) VALUES ('a'), ('b'), ('c'), ('d');
"""


class Extras(threading.Thread):
    """What the shop's load does not do: prepared transactions, TRUNCATE, transactions larger than a batch."""

    def __init__(self, source, database, seed):
        super().__init__(daemon=True)
        self.source, self.database = source, database
        self.random = random.Random("extras/%s" % seed)
        self.stopping = False
        self.failure = None
        # TRUNCATE is a schema change to the server: in the midst of a copy it stops that, as it should (tests/hazards).
        self.may_truncate = False

    def run(self):
        try:
            connection = self.source.connect(self.database, autocommit=True)
            cursor = connection.cursor()
            number = 0
            while not self.stopping:
                number += 1
                getattr(self, self.random.choice(["prepared", "truncated", "large"]))(cursor, number)
                time.sleep(0.15)
            connection.close()
        except Exception as error:  # told by stop()
            self.failure = error

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


class Scene:
    """One migration of a live database."""

    def __init__(self, stage, number, seed):
        self.stage = stage
        self.database = "crash_%d" % number
        self.seed = seed
        source, target = stage.source, stage.target
        shop.create(source, self.database, stage.arguments.size, seed)
        source.client(EXTRAS, self.database)
        self.has_bystander = random.Random("bystander/%s" % seed).random() < 0.5
        if self.has_bystander:
            target.client("CREATE DATABASE %s TEMPLATE bystander OWNER %s" % (self.database, servers.MIGRATION_USER))
        else:
            target.create_database(self.database)
        self.move = migration.Migration(stage.run, self.database, source, self.database, target, self.database, tenant="acme",
                                        settings=SETTINGS)
        self.load = load.Load(source.port, self.database, workers=2, rate=120, seed=seed)
        self.extras = Extras(source, self.database, seed)

    def begin(self):
        self.load.start()
        self.extras.start()

    def end_load(self):
        self.load.stop()
        self.extras.stop()

    def finish(self):
        """Starts the program as often as it takes, ends the load, and compares."""
        self.move.start()
        self.move.wait_phase(migration.FOLLOWING)
        self.extras.may_truncate = True
        time.sleep(0.5)
        self.end_load()
        self.move.wait_applied()
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
        for worker in self.load.workers:
            worker.stopping = True
        self.extras.stopping = True
        if self.move.process:
            self.move.kill()
        if good:
            for worker in self.load.workers:
                worker.join(5)
            self.extras.join(5)
            self.stage.source.client("DROP DATABASE " + self.database)
            self.stage.target.client("DROP DATABASE %s WITH (FORCE)" % self.database)


class Stage:
    """The servers, and what is tried on them."""

    def __init__(self, run, arguments):
        self.run, self.arguments = run, arguments
        self.source = run.start(servers.source_server(arguments.engine))
        self.target = run.start(servers.Postgres())
        self.number = 0
        self.lock = threading.Lock()
        shop.create(self.source, "bystander", 100, 0)
        self.source.client(EXTRAS, "bystander")
        self.target.create_database("bystander")
        migration.Migration(run, "bystander", self.source, "bystander", self.target, "bystander", tenant="bystander").run_until_caught_up()

    def scene(self, seed):
        with self.lock:
            self.number += 1
            number = self.number
        return Scene(self, number, seed)

    def attempt(self, seed, act):
        """None, or why it failed."""
        scene = None
        try:
            scene = self.scene(seed)
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
        logs = [os.path.join(self.run.directory, "failpoints-" + when) for when in ("first", "again")]

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

    def kill_at_random(self, seed):
        rng = random.Random("kill/%s" % seed)

        def act(scene):
            for _ in range(rng.randint(2, 5)):
                scene.move.start()
                time.sleep(rng.random() * rng.choice([0.3, 1, 3]))
                scene.move.kill()

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


def main():
    parser = argparse.ArgumentParser(description="Kills the program at every durable write and compares afterwards.")
    parser.add_argument("--count", type=int, help="only this many failpoints, chosen by the seed")
    parser.add_argument("--each", type=int, default=1, help="how often to die at each failpoint: at its first hit, then later")
    parser.add_argument("--kills", type=int, default=2, help="scenes with random kills")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--filter", default="", metavar="RE", help="only failpoints whose name matches")
    parser.add_argument("--engine", choices=["mariadb", "mysql"], default="mariadb")
    parser.add_argument("--size", type=int, default=150, help="size of the source database, see tools/demo/shop.py")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--patience", type=int, default=40, help="seconds until a failpoint must be met")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
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

    with servers.Run(keep=arguments.keep) as run:
        stage = Stage(run, arguments)
        names = stage.discover(seed)
        print("failpoints met: %d" % len(names), flush=True)
        chosen = [item for item in names if re.search(arguments.filter, item[0])]
        if arguments.count is not None and arguments.count < len(chosen):
            chosen = rng.sample(chosen, arguments.count)
        jobs = []
        for name, when in chosen:
            for time_ in range(arguments.each):
                hit = 1 if time_ == 0 else rng.randint(2, 6)
                case_seed = rng.randrange(10**6)
                jobs.append(("%s@%d, seed %d" % (name, hit, case_seed),
                             lambda n=name, w=when, h=hit, s=case_seed: stage.crash_at(n, w, h, s)))
        for _ in range(arguments.kills if not arguments.filter else 0):
            case_seed = rng.randrange(10**6)
            jobs.append(("random kills, seed %d" % case_seed, lambda s=case_seed: stage.kill_at_random(s)))
        work(jobs, arguments.workers, report)
    print("crashes on %s: %d" % (arguments.engine, sum(counts.values())))
    print("%d passed, %d failed, 0 skipped" % (counts["passed"], counts["failed"]))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
