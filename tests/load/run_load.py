#!/usr/bin/python3
"""Copies and follows databases under full load, and compares every row when the load has ended.

sysbench: its mixed read-write load before, during and after the copy, as fast as the source takes it. bank: many connections
move money; while we follow, every consistent read of the target must find all of it, and each transfer exactly once.
Each counts once for each source server.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
import traceback

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "harness"))

import bank
import compare
import load
import migration
import servers

SIZES = {
    "short": {"rows": 10000, "threads": 4, "before_s": 1, "after_s": 8, "chunk_rows": 2000, "accounts": 2000, "tellers": 4, "rate": 600, "bank_s": 7},
    "full": {"rows": 250000, "threads": 8, "before_s": 10, "after_s": 60, "chunk_rows": 50000, "accounts": 50000, "tellers": 8, "rate": 4000, "bank_s": 60},
}


class Wrong(Exception):
    pass


class Sysbench:
    """Four tables, and as many transactions on them as the source takes."""

    def __init__(self, scene):
        self.scene = scene
        self.log = os.path.join(scene.run.directory, scene.database + ".sysbench")
        self.process = None

    def command(self, *more):
        sizes = self.scene.sizes
        return ["sysbench", "oltp_read_write", "--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-port=%d" % self.scene.source.port,
                "--mysql-user=root", "--mysql-db=" + self.scene.database, "--tables=4", "--table-size=%d" % sizes["rows"],
                "--threads=%d" % sizes["threads"], "--rand-seed=%d" % self.scene.seed, "--mysql-ignore-errors=1213,1020,1205,1062"] + list(more)

    def prepare(self):
        done = subprocess.run(self.command("prepare"), capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise Wrong("sysbench could not make its tables:\n%s%s" % (done.stdout[-1000:], done.stderr[-1000:]))

    def start(self):
        with open(self.log, "wb") as log:
            self.process = self.scene.run.spawn(self.command("--time=0", "run"), stdout=log, stderr=log)

    def stop(self):
        ended = self.process.poll()
        if ended is not None:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                raise Wrong("sysbench ended by itself with status %d:\n%s" % (ended, log.read()[-2000:]))
        self.process.terminate()
        self.process.wait()
        self.scene.run.forget(self.process)


class Scene:
    """One database, its load, and its migration."""

    number = 0
    lock = threading.Lock()

    def __init__(self, run, source, target, name, sizes, seed):
        with Scene.lock:
            Scene.number += 1
            self.database = "load_%d" % Scene.number
        self.run, self.source, self.target, self.sizes, self.seed = run, source, target, sizes, seed
        self.notes = []
        source.client("CREATE DATABASE %s CHARACTER SET utf8mb4" % self.database)
        target.create_database(self.database)
        settings = {"snapshot.mode": "chunked" if name.endswith("chunked") else "consistent", "snapshot.chunk_rows": sizes["chunk_rows"]}
        self.move = migration.Migration(run, self.database.replace("_", "-"), source, self.database, target, self.database,
                                        tenant="acme", settings=settings)

    def committed(self):
        return int(self.source.rows("SHOW GLOBAL STATUS LIKE 'Com_commit'")[0][1])

    def catch_up_and_compare(self):
        """The load has ended: all of it arrives, and every row is equal."""
        begun = time.monotonic()
        status = self.move.wait_applied(timeout_s=900)
        self.notes.append("caught up in %.1f s" % (time.monotonic() - begun))
        if status["apply"]["divergences"]:
            raise Wrong("%d divergences were met" % status["apply"]["divergences"])
        ended = self.move.stop()
        if ended not in (0, 2):
            raise Wrong("stopping ended with status %d\n%s" % (ended, self.move.log_tail()))
        report = compare.Comparison(self.source, self.database, self.target, self.database, tenant_column="tenant_id",
                                    tenant_value="acme", directory=self.run.directory).run()
        if not report.equal:
            raise Wrong("source and target differ: %s" % report)
        self.notes.append("%d rows equal" % report.rows)

    def close(self, good):
        if self.move.process:
            self.move.kill()
        if good:
            self.source.client("DROP DATABASE " + self.database)
            self.target.client("DROP DATABASE %s WITH (FORCE)" % self.database)


def sysbench(scene):
    tables = Sysbench(scene)
    tables.prepare()
    tables.start()
    time.sleep(scene.sizes["before_s"])
    begun, before = time.monotonic(), scene.committed()
    scene.move.start()
    scene.move.wait_phase("catching_up", "following", timeout_s=600)
    scene.notes.append("copied in %.1f s" % (time.monotonic() - begun))
    time.sleep(scene.sizes["after_s"])
    tables.stop()
    transactions, seconds = scene.committed() - before, time.monotonic() - begun
    if transactions < 10 * seconds:
        raise Wrong("that was no load: %d transactions in %.0f s" % (transactions, seconds))
    scene.notes.append("%d transactions a second" % (transactions / seconds))
    scene.catch_up_and_compare()


def bank_open(scene):
    accounts = scene.sizes["accounts"]
    bank.create(scene.source, scene.database, accounts)
    tellers = load.Load(scene.source.port, scene.database, scene.sizes["tellers"], scene.sizes["rate"], scene.seed, worker=bank.Teller).start()
    auditor = bank.Auditor(scene.target, scene.database, accounts, "acme")
    try:
        time.sleep(scene.sizes["before_s"])
        scene.move.start()
        scene.move.wait_phase("following", timeout_s=300)
        auditor.start()
        time.sleep(scene.sizes["bank_s"])
    finally:
        tellers.stop()
    scene.move.wait_applied(timeout_s=300)
    wrong = auditor.stop()
    if wrong:
        raise Wrong("audit %d: %s" % (auditor.audits, wrong))
    if len(auditor.transfers) < 5:
        raise Wrong("the auditor saw %d states only, in %d audits" % (len(auditor.transfers), auditor.audits))
    refused = sum(worker.refused for worker in tellers.workers)
    if not tellers.transactions > refused:
        raise Wrong("the tellers did %d transactions, %d were refused" % (tellers.transactions, refused))
    scene.notes.append("%d transactions, %d refused, %d audits of %d states" % (
        tellers.transactions, refused, auditor.audits, len(auditor.transfers)))
    scene.catch_up_and_compare()
    expect_exact_bank(scene, accounts)


def expect_exact_bank(scene, accounts):
    with scene.target.connect(scene.database) as connection:
        wrong, _ = bank.audit(connection.cursor(), accounts, "acme")
    if wrong:
        raise Wrong("at the end: " + wrong)


LOADS = {"sysbench": sysbench, "sysbench_chunked": sysbench, "bank": bank_open, "bank_chunked": bank_open}


def attempt(run, source, target, name, sizes, seed):
    """(why it failed or None, what there is to say)."""
    scene = None
    try:
        scene = Scene(run, source, target, name, sizes, seed)
        LOADS[name](scene)
        scene.close(True)
        return None, scene.notes
    except Exception as error:
        if scene:
            scene.close(False)
        known = isinstance(error, (Wrong, migration.MigrationError, compare.CompareError, servers.SqlError))
        return str(error) if known else traceback.format_exc(), scene.notes if scene else []


def main():
    parser = argparse.ArgumentParser(description="Copies and follows databases under full load.")
    parser.add_argument("--full", action="store_true", help="a million rows, eight connections, a minute of following")
    parser.add_argument("--engine", action="append", choices=["mariadb", "mysql"], help="only this source (repeatable)")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--filter", default="", metavar="RE", help="only loads whose name matches: " + ", ".join(LOADS))
    parser.add_argument("--seconds", type=int, help="how long to follow under load")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    migration.program()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    print("seed %d" % seed, flush=True)
    sizes = dict(SIZES["full" if arguments.full else "short"])
    if arguments.seconds:
        sizes["after_s"] = sizes["bank_s"] = arguments.seconds
    engines = arguments.engine or ["mariadb", "mysql"]
    jobs = [(name, engine) for name in LOADS for engine in engines if re.search(arguments.filter, name)]
    runnable = []
    for name, engine in jobs:
        reason = ("no MySQL server (tools/servers/fetch-mysql.sh)" if engine == "mysql" and servers.mysql_root() is None else
                  "no sysbench (tools/install.sh)" if name.startswith("sysbench") and not shutil.which("sysbench") else None)
        if reason:
            print("SKIPPED %s/%s: %s" % (name, engine, reason))
        else:
            runnable.append((name, engine))
    counts = {"passed": 0, "failed": 0}
    begun = time.monotonic()
    with servers.Run(keep=arguments.keep) as run:
        target = run.start(servers.Postgres()) if runnable else None
        sources = {}
        # One after the other: each is to have the machine for itself.
        for name, engine in runnable:
            if engine not in sources:
                sources[engine] = run.start(servers.source_server(engine))
            started = time.monotonic()
            failure, notes = attempt(run, sources[engine], target, name, sizes, seed)
            counts["failed" if failure else "passed"] += 1
            print("%s %s/%s (%.0f s): %s%s" % ("FAILED" if failure else "passed", name, engine, time.monotonic() - started, ", ".join(notes),
                                               "\n    " + failure.strip().replace("\n", "\n    ") if failure else ""), flush=True)
    for engine in engines:
        print("loads on %s: %d" % (engine, sum(e == engine for _, e in runnable)))
    print("loads took %.0f s" % (time.monotonic() - begun))
    print("%d passed, %d failed, %d skipped" % (counts["passed"], counts["failed"], len(jobs) - len(runnable)))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
