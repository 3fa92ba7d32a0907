"""verify: all rows of both sides compared, beside the servers' own clients that read both sides and write to nowhere."""

import json
import subprocess
import time

import measure
import migration
import servers
import snapshot

MEMORY_MIB = 200
FINAL_CHECK_MS = 100
TOUCHED = (0, 100, 1000, 10000)  # rows of one transaction


# What is dearest to bring to one form: JSON is compared by value, numbers by all their digits.
MIXED = """
CREATE DATABASE mixed; USE mixed;
CREATE TABLE ten (d INT); INSERT INTO ten VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
CREATE TABLE rows_of_all (id INT PRIMARY KEY, amount DECIMAL(20,6), at DATETIME(6), doc JSON, name VARCHAR(60), raw VARBINARY(32));
INSERT INTO rows_of_all SELECT n, n / 7, '2020-01-02 03:04:05.678901' + INTERVAL n SECOND,
       CONCAT('{"n": ', n, ', "price": ', n / 8, ', "tags": ["a", "b", null, true], "text": "row ', n, '"}'), CONCAT('Name ü ', n), UNHEX(SHA2(n, 256))
  FROM (SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d + 100000 * f.d AS n FROM ten a, ten b, ten c, ten d, ten e, ten f) AS numbers
  WHERE n <= %d;
DROP TABLE ten; ANALYZE TABLE rows_of_all;
"""


def ours(run, moved, rows, memory):
    """Seconds from the command's start to its end."""
    began = time.monotonic()
    process = run.spawn([migration.program(), "verify", moved.config, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                        env=moved.environment, text=True)
    peak = measure.PeakMemory(process.pid)
    out, err = process.communicate()
    took = time.monotonic() - began
    run.forget(process)
    if process.returncode != 0:
        raise measure.BenchError("crossfade verify ended with status %d\n%s%s" % (process.returncode, out[-2000:], err[-2000:]))
    compared = sum(table["source_rows"] for table in json.loads(out)["tables"])
    if compared != rows:
        raise measure.BenchError("%d of %d rows were compared" % (compared, rows))
    memory.append(peak.mib)
    return took


def plain_read(source, target, inside, database, tables):
    """No program at all: each table read by its server's own client, one after the other."""
    began = time.monotonic()
    for table in tables:
        for server, name, arguments in ((source, inside, ["-e", "SELECT * FROM " + table]), (target, database, ["-c", "COPY %s TO STDOUT" % table])):
            done = subprocess.run(server.client_command(name) + arguments, env=server.environment(), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if done.returncode != 0:
                raise measure.BenchError("plain read: " + done.stderr[-2000:])
    return time.monotonic() - began


def final_check(moved, touched):
    """Milliseconds of the final check right behind a transaction that touched so many rows of which none is compared yet."""
    for _ in range(20):  # the comparison in the background may have been faster
        if touched:
            moved.source.client("UPDATE %s SET %s WHERE id <= %d" % (moved.touched + (touched,)), moved.database)
        moved.wait_applied()
        code, out, err = moved.command("verify", "--final", "--json")
        answer = json.loads(out) if out.startswith("{") else {}
        if code != 0 or answer.get("result") != "equal":
            raise measure.BenchError("crossfade verify --final ended with status %d\n%s%s" % (code, out, err))
        if answer["touched_keys"] >= touched:
            return answer["check_ms"]
    raise measure.BenchError("no final check met %d rows that were not compared yet" % touched)


def final_checks(moved, workload, runs):
    """With the comparison in the background, and its first pass over all tables behind it."""
    moved.settings["verify.continuous"] = True
    moved.write()
    moved.start()
    measure.wait_status(moved, lambda status: status["verify"]["full_began_us"] > 0)
    records = []
    for touched in TOUCHED:
        took = [final_check(moved, touched) for _ in range(runs)]
        measure.say("%s: final check, %d rows touched: %s ms" % (workload, touched, ", ".join("%.1f" % ms for ms in took)))
        records.append(measure.limit(workload, "final check, %d rows touched" % touched, "ms", took, FINAL_CHECK_MS, "limit"))
    moved.stop()
    return records


def measure_one(options, engine, rows, fill, inside, tables, touch):
    samples = measure.Samples("verify" if engine == "mariadb" else "verify-mysql", "rows compared", "rows/s", "both sides read", target=0.7)
    memory = []
    with servers.Run() as run:
        source, target = measure.start_source(run, engine), measure.start_target(run)
        with measure.load_fast(source):
            fill(source)
        moved = measure.make_migration(run, "verified", source, inside, target)
        moved.start()
        measure.wait_status(moved, lambda status: status["phase"] == "following")
        measure.settle(target)
        for _ in range(options.runs):
            for who in ("crossfade", "clients"):
                took = ours(run, moved, rows, memory) if who == "crossfade" else plain_read(source, target, inside, "verified", tables)
                measure.say("%s: %s %.1f s, %.0f rows/s" % (samples.workload, who, took, rows / took))
                (samples.ours if who == "crossfade" else samples.peer).append(rows / took)
        moved.stop()
        moved.touched = (tables[0], touch)
        checks = final_checks(moved, samples.workload, options.runs)
    return [samples.record(), measure.limit(samples.workload, "VmHWM of the comparison", "MiB", memory, MEMORY_MIB, "limit")] + checks


def measure_all(options):
    rows = 2_000_000 // options.scale
    records = measure_one(options, "mariadb", rows, lambda source: snapshot.prepare(source, rows), snapshot.DATABASE,
                          ["sbtest%d" % n for n in range(1, snapshot.TABLES + 1)], "k = k + 1")
    if servers.mysql_root() is not None:
        mixed = 500_000 // options.scale
        records += measure_one(options, "mysql", mixed, lambda source: source.client(MIXED % mixed), "mixed", ["rows_of_all"], "amount = amount + 1")
    return records
