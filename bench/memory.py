"""memory: the most that `crossfade run` takes, in the copy, with one large transaction, and with one large row."""

import time

import measure
import servers

DATABASE = "memory"
BASE_MIB = 300
ROW_BYTES = 1000
LARGE_ROW_MIB = 200


def large_transaction(source, mib):
    """One transaction with rows of `mib` MiB in all."""
    rows = mib * measure.MIB // ROW_BYTES
    source.client("INSERT INTO piece (body) SELECT REPEAT(CHAR(97 + seq %% 26), %d) FROM (WITH RECURSIVE n AS "
                  "(SELECT 1 AS seq UNION ALL SELECT seq + 1 FROM n WHERE seq < 1000) SELECT a.seq FROM n AS a, n AS b, n AS c "
                  "LIMIT %d) AS numbers" % (ROW_BYTES, rows), DATABASE, timeout_s=3600)
    return rows


def measure_all(options):
    mib = 256 if options.scale > 1 else 2048
    copied, large, events = [], [], []
    for turn in range(1 if options.scale > 1 else min(options.runs, 2)):
        with servers.Run() as run:
            source, target = measure.start_source(run, "mariadb"), measure.start_target(run)
            source.client("SET GLOBAL max_allowed_packet = 1073741824")
            source.client("CREATE DATABASE memory; USE memory;"
                          "CREATE TABLE piece (id BIGINT AUTO_INCREMENT PRIMARY KEY, body VARCHAR(1000) CHARACTER SET latin1 NOT NULL);"
                          "CREATE TABLE blob_row (id INT PRIMARY KEY, body LONGBLOB NOT NULL);")
            with measure.load_fast(source):
                rows = large_transaction(source, mib // 4)
            moved = measure.make_migration(run, "memory", source, DATABASE, target)
            moved.start()
            peak = measure.PeakMemory(moved.process.pid)
            measure.wait_status(moved, lambda status: status["phase"] == "following")
            peak.read()
            copied.append(peak.mib)
            with measure.load_fast(source):
                rows += large_transaction(source, mib)
            began = time.monotonic()
            position = source.position()
            measure.wait_status(moved, lambda status: measure.holds(moved, status, "apply", position), timeout_s=3600)
            peak.read()
            large.append(peak.mib)
            measure.say("memory: copy %.0f MiB; a transaction of %d MiB: %.0f MiB, applied %.0f s after its commit"
                        % (copied[-1], mib, large[-1], time.monotonic() - began))
            # Twice: what the first one leaves behind counts too.
            for row in (1, 2):
                source.client("INSERT INTO blob_row VALUES (%d, REPEAT('x', %d))" % (row, LARGE_ROW_MIB * measure.MIB), DATABASE)
                position = source.position()
                measure.wait_status(moved, lambda status: measure.holds(moved, status, "apply", position))
            peak.read()
            events.append(peak.mib)
            measure.say("memory: a row of %d MiB: %.0f MiB" % (LARGE_ROW_MIB, events[-1]))
            moved.stop()
            if int(target.value("SELECT count(*) FROM piece", "memory")) != rows:
                raise measure.BenchError("rows are missing on the target")
    return [measure.limit("memory", "VmHWM in the copy", "MiB", copied, BASE_MIB, "limit"),
            measure.limit("memory", "VmHWM with a transaction of %d MiB" % mib, "MiB", large, BASE_MIB, "limit"),
            measure.limit("memory", "VmHWM with a row of %d MiB" % LARGE_ROW_MIB, "MiB", events, BASE_MIB + 3 * LARGE_ROW_MIB, "limit")]
