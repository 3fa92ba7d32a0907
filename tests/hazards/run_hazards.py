#!/usr/bin/python3
"""One test for each way in which such a program loses, doubles or corrupts data. Each fails without the rule that closes it."""

import argparse
import os
import random
import re
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "harness"), HERE]

import compare
import migration
import servers
import stage

import auditing  # noqa: F401  (each registers its hazards)
import catalogs  # noqa: F401
import continuing  # noqa: F401
import copying  # noqa: F401
import following  # noqa: F401
import journaling  # noqa: F401
import losing  # noqa: F401
import moving  # noqa: F401
import network  # noqa: F401
import paging  # noqa: F401
import passing  # noqa: F401
import refusals  # noqa: F401
import repairing  # noqa: F401
import reporting  # noqa: F401
import tenants  # noqa: F401
import transforming  # noqa: F401
import verifying  # noqa: F401


def attempt(run, source, target, function):
    scene = None
    try:
        scene = stage.Scene(run, source, target, function.__name__)
        function(scene)
        scene.close(True)
        return None
    except Exception as error:
        logs = [move.log_tail(3000) for move in scene.moves] if scene else []
        if scene:
            scene.close(False)
        if isinstance(error, migration.MigrationError):  # has the log in it
            return "%s: %s" % (type(error).__name__, error)
        known = isinstance(error, (stage.Wrong, compare.CompareError, servers.SqlError, servers.ServerError))
        return "\n".join(["%s: %s" % (type(error).__name__, error) if known else traceback.format_exc()] + logs)


def main():
    parser = argparse.ArgumentParser(description="Tries each known hazard on real servers.")
    parser.add_argument("--filter", default="", metavar="RE", help="only those whose name, or number like H12, matches")
    parser.add_argument("--engine", action="append", choices=["mariadb", "mysql"])
    parser.add_argument("--quick", action="store_true", help="only MariaDB, and not the slow ones")
    parser.add_argument("--workers", type=int, default=2, help="hazards tried at the same time, each worker's on source servers of its own")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many of them, drawn by --seed")
    parser.add_argument("--seed", type=int, default=random.randrange(10 ** 6))
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--full", action="store_true", help="the large transaction has 2 GiB")
    arguments = parser.parse_args()
    if arguments.full:
        stage.LARGE_MIB = 2048
    engines = arguments.engine or ["mariadb", "mysql"]
    skipped = 0
    jobs = [(function, engine) for function, names, on, quick in stage.HAZARDS for engine in on
            if engine in engines and (quick or not arguments.quick) and re.search(arguments.filter, " ".join((function.__name__,) + names))]
    if arguments.list:
        for function, names, on, _ in stage.HAZARDS:
            print("%-55s %-10s %s" % (function.__name__, " ".join(names), (function.__doc__ or "").strip().split("\n")[0]))
        return 0
    migration.program()
    if servers.mysql_root() is None:
        skipped = sum(engine == "mysql" for _, engine in jobs)
        if skipped:
            print("SKIPPED %d hazards on mysql: no MySQL server (tools/servers/fetch-mysql.sh)" % skipped)
        jobs = [job for job in jobs if job[1] != "mysql"]
    if arguments.quick:
        jobs = [job for job in jobs if job[1] == "mariadb"]
    if arguments.sample is not None and len(jobs) > arguments.sample:
        print("hazards: %d of %d, seed %d" % (arguments.sample, len(jobs), arguments.seed), flush=True)
        jobs = [jobs[at] for at in sorted(random.Random(arguments.seed).sample(range(len(jobs)), arguments.sample))]
    engines = [engine for engine in engines if any(job[1] == engine for job in jobs)]
    counts = {"passed": 0, "failed": 0}
    on_engine = dict.fromkeys(engines, 0)
    lock = threading.Lock()
    begun = time.monotonic()
    with servers.Run(keep=arguments.keep) as run:
        target = run.start(servers.Postgres()) if jobs else None
        # Each worker's own: what another wrote there would keep a check that waits for the source's end from ending.
        sources = [{engine: run.start(servers.source_server(engine)) for engine in engines} for _ in range(arguments.workers)]

        def worker(own):
            while True:
                with lock:
                    if not jobs:
                        return
                    function, engine = jobs.pop(0)
                started = time.monotonic()
                failure = attempt(run, own[engine], target, function)
                with lock:
                    counts["failed" if failure else "passed"] += 1
                    on_engine[engine] += 1
                    print("%s %s/%s (%.0f s)%s" % ("FAILED" if failure else "passed", function.__name__, engine, time.monotonic() - started,
                                                   "\n    " + failure.strip().replace("\n", "\n    ") if failure else ""), flush=True)

        threads = [threading.Thread(target=worker, args=(own,)) for own in sources]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for engine in engines:
        print("hazards on %s: %d" % (engine, on_engine[engine]))
    print("hazards took %.0f s" % (time.monotonic() - begun))
    print("%d passed, %d failed, %d skipped" % (counts["passed"], counts["failed"], skipped))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
