"""snapshot: sysbench tables from MariaDB into an empty PostgreSQL, until primary keys and secondary indexes stand."""

import os
import shutil
import subprocess
import threading
import time

import measure
import servers

TABLES = 4
DATABASE = "sbtest"

PGLOADER = """LOAD DATABASE
  FROM mysql://root@127.0.0.1:{source}/{database}
  INTO postgresql://postgres@127.0.0.1:{target}/{into}
  WITH workers = 4, concurrency = 2, prefetch rows = 10000, include drop, create tables, create indexes, reset sequences
  SET maintenance_work_mem to '256MB'
  ALTER SCHEMA '{database}' RENAME TO 'public';
"""


def prepare(source, rows):
    source.client("CREATE DATABASE %s" % DATABASE)
    done = subprocess.run(
        ["sysbench", "oltp_read_write", "--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-port=%d" % source.port,
         "--mysql-user=root", "--mysql-db=" + DATABASE, "--tables=%d" % TABLES, "--table-size=%d" % (rows // TABLES),
         "--threads=2", "prepare"], capture_output=True, text=True)
    if done.returncode != 0:
        raise measure.BenchError("sysbench: " + done.stdout[-2000:] + done.stderr[-2000:])
    source.client("ANALYZE TABLE " + ", ".join("sbtest%d" % n for n in range(1, TABLES + 1)), DATABASE)


def check(target, database, rows):
    """All rows, and every index, are there."""
    count = sum(int(target.value("SELECT count(*) FROM sbtest%d" % n, database)) for n in range(1, TABLES + 1))
    indexes = int(target.value("SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
                               " WHERE c.relname LIKE 'sbtest%' AND i.indisvalid", database))
    if count != rows or indexes != 2 * TABLES:
        raise measure.BenchError("%s has %d of %d rows and %d of %d indexes" % (database, count, rows, indexes, 2 * TABLES))


def ours(run, source, target, name, memory):
    moved = measure.make_migration(run, name, source, DATABASE, target)
    began = time.monotonic()
    moved.start("--until", "caught-up")
    peak = measure.PeakMemory(moved.process.pid)
    status = moved.wait(3600)
    took = time.monotonic() - began
    if status != 0:
        raise measure.BenchError("crossfade ended with status %d\n%s" % (status, moved.log_tail()))
    memory.append(peak.mib)
    shutil.rmtree(moved.state_directory, ignore_errors=True)
    return took


def pgloader(run, source, target, name):
    target.create_database(name)
    commands = os.path.join(run.directory, name + ".load")
    with open(commands, "w", encoding="ascii") as file:
        file.write(PGLOADER.format(source=source.port, target=target.port, database=DATABASE, into=name))
    root = run.subdirectory("pgloader")
    began = time.monotonic()
    done = subprocess.run(["pgloader", "--root-dir", root, commands], capture_output=True, text=True)
    took = time.monotonic() - began
    if done.returncode != 0:
        raise measure.BenchError("pgloader: " + done.stdout[-3000:] + done.stderr[-1000:])
    return took


def raw_pipe(source, target, name):
    """No program at all: the two servers' own clients, a table at a time in each of two lanes."""
    target.create_database(name)
    reader = " ".join(source.client_command(DATABASE))
    writer = " ".join(target.client_command(name))
    failed = []

    def lane(numbers):
        for n in numbers:
            table = "sbtest%d" % n
            pipe = "set -o pipefail; %s -e 'SELECT * FROM %s' | %s -c 'COPY %s FROM STDIN' && %s -c '%s'" % (
                reader, table, writer, table, writer,
                "ALTER TABLE %s ADD PRIMARY KEY (id); CREATE INDEX %s_k ON %s (k); ANALYZE %s" % (table, table, table, table))
            done = subprocess.run(["bash", "-c", pipe], env=target.environment(), capture_output=True, text=True)
            if done.returncode != 0:
                failed.append(done.stderr)

    began = time.monotonic()
    target.client("".join("CREATE TABLE sbtest%d (id integer NOT NULL, k integer NOT NULL, c text NOT NULL, pad text NOT NULL);" % n
                          for n in range(1, TABLES + 1)), name)
    lanes = [threading.Thread(target=lane, args=(range(first, TABLES + 1, 2),)) for first in (1, 2)]
    for thread in lanes:
        thread.start()
    for thread in lanes:
        thread.join()
    if failed:
        raise measure.BenchError("raw pipe: " + failed[0])
    return time.monotonic() - began


def measure_all(options):
    rows = 2_000_000 // options.scale
    against_pgloader = measure.Samples("snapshot", "rows copied and indexed", "rows/s", "pgloader", target=2.5)
    against_pipe = measure.Samples("snapshot", "rows copied and indexed", "rows/s", "mysql | psql", target=0.8)
    memory = []
    with servers.Run() as run:
        source, target = measure.start_source(run, "mariadb"), measure.start_target(run)
        with measure.load_fast(source):
            prepare(source, rows)
        measure.say("snapshot: %d rows are on the source" % rows)
        for turn in range(options.runs):
            for who in ("crossfade", "pipe", "pgloader"):
                name = "%s%d" % (who, turn)
                measure.settle(target)
                took = {"crossfade": lambda: ours(run, source, target, name, memory),
                        "pipe": lambda: raw_pipe(source, target, name),
                        "pgloader": lambda: pgloader(run, source, target, name)}[who]()
                check(target, name, rows)
                target.client("DROP DATABASE %s WITH (FORCE)" % name)
                measure.say("snapshot: %s %.1f s, %.0f rows/s" % (who, took, rows / took))
                if who == "crossfade":
                    against_pgloader.ours.append(rows / took)
                    against_pipe.ours.append(rows / took)
                else:
                    (against_pipe if who == "pipe" else against_pgloader).peer.append(rows / took)
    return [against_pgloader.record(), against_pipe.record(),
            measure.limit("snapshot", "VmHWM during the copy", "MiB", memory, 300, "limit")]
