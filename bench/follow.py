"""capture, apply: one-row transactions that are in the source's log already, into the journal, and from it to the target.

The target's table is locked while capture is measured, so that nothing but capture works; then it is let go.
"""

import os
import shutil
import subprocess
import threading
import time

import measure
import servers

DATABASE = "follow"
SESSIONS = 4

SCHEMA = """
CREATE DATABASE follow;
USE follow;
CREATE TABLE event (id BIGINT NOT NULL PRIMARY KEY, k INT NOT NULL, at DATETIME(6) NOT NULL,
  c CHAR(120) CHARACTER SET latin1 NOT NULL, pad CHAR(60) CHARACTER SET latin1 NOT NULL, KEY k (k)) ENGINE=InnoDB;
DELIMITER //
CREATE PROCEDURE work(session_number INT, transactions INT)
BEGIN
  -- Of ten transactions 5 insert, 4 update and 1 deletes; each session has rows of its own.
  DECLARE n INT DEFAULT 0;
  DECLARE base BIGINT DEFAULT session_number * 1000000000;
  DECLARE newest BIGINT DEFAULT base;
  DECLARE oldest BIGINT DEFAULT base;
  DECLARE text_c CHAR(120) CHARACTER SET latin1 DEFAULT REPEAT('0123456789-', 10);
  DECLARE text_pad CHAR(60) CHARACTER SET latin1 DEFAULT REPEAT('abcdefgh', 7);
  WHILE n < transactions DO
    IF n % 10 IN (0, 1, 3, 5, 7) THEN
      INSERT INTO event VALUES (newest, n % 99991, NOW(6), text_c, text_pad);
      SET newest = newest + 1;
    ELSEIF n % 10 = 9 THEN
      DELETE FROM event WHERE id = oldest;
      SET oldest = oldest + 1;
    ELSE
      UPDATE event SET k = k + 1, at = NOW(6) WHERE id = oldest + (n * 7919) % (newest - oldest);
    END IF;
    SET n = n + 1;
  END WHILE;
END //
DELIMITER ;
"""


def make_log(source, transactions):
    """One-row transactions by four sessions at once; the first of the log's files that hold them."""
    source.client("FLUSH BINARY LOGS")
    first = source.rows("SHOW BINARY LOGS")[-1][0]
    failed = []

    def session(number):
        try:
            source.client("CALL work(%d, %d)" % (number, transactions // SESSIONS), DATABASE)
        except servers.SqlError as error:
            failed.append(error)

    began = time.monotonic()
    with measure.load_fast(source):
        threads = [threading.Thread(target=session, args=(number,)) for number in range(SESSIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]
    files = [row for row in source.rows("SHOW BINARY LOGS") if row[0] >= first]
    measure.say("capture: %d transactions are in the log of %s, %d MiB, made in %.1f s"
                % (transactions, source.engine, sum(int(row[1]) for row in files) // measure.MIB, time.monotonic() - began))
    return files[0][0]


def mysqlbinlog(run, source, first_file):
    program = "mariadb-binlog"
    if source.engine == "mysql":
        program = os.path.join(servers.mysql_root(), "bin", "mysqlbinlog")
    directory = run.subdirectory("raw")
    began = time.monotonic()
    done = subprocess.run(
        [program, "--no-defaults", "--raw", "--read-from-remote-server", "--to-last-log", "--host=127.0.0.1", "--protocol=tcp",
         "--port=%d" % source.port, "--user=root", "--result-file=" + directory + "/", first_file],
        capture_output=True, text=True)
    took = time.monotonic() - began
    if done.returncode != 0:
        raise measure.BenchError(program + ": " + done.stderr)
    shutil.rmtree(directory)
    return took


def follow_once(run, source, target, moved, transactions, position):
    """Seconds until all is in the synced journal, seconds from there until all is on the target, and the peak memory."""
    lock = target.connect(moved.target_database)
    lock.cursor().execute("LOCK TABLE event IN EXCLUSIVE MODE")
    try:
        began = time.monotonic()
        moved.start()
        peak = measure.PeakMemory(moved.process.pid)
        measure.wait_status(moved, lambda status: measure.holds(moved, status, "capture", position))
        captured = time.monotonic()
        measure.settle(target)
        released = time.monotonic()
    finally:
        lock.close()
    measure.wait_status(moved, lambda status: measure.holds(moved, status, "apply", position))
    applied = time.monotonic()
    moved.stop()
    sums = "SELECT count(*), sum(id), sum(k) FROM event"
    if target.value(sums, moved.target_database) != source.value(sums, DATABASE):
        raise measure.BenchError("the target's rows are not the source's")
    return captured - began, applied - released, peak.mib


def widest_commit_ms(target, database):
    """Source time in one target transaction, by the rows it left behind.

    A row has the time of its statement, not of its commit, and under load the server holds single ones up: the outermost
    hundredth on each side is left out.
    """
    return float(target.value(
        "SELECT coalesce(max(times[2] - times[1]), 0) * 1000 FROM (SELECT percentile_cont(ARRAY[0.01, 0.99]) WITHIN GROUP"
        " (ORDER BY extract(epoch FROM at)) AS times FROM event GROUP BY xmin::text) AS commits", database))


def measure_engine(options, engine, transactions, want):
    suffix = "" if engine == "mariadb" else "-" + engine
    peer = "mariadb-binlog --raw" if engine == "mariadb" else "mysqlbinlog --raw"
    capture = measure.Samples("capture" + suffix, "transactions into the synced journal", "transactions/s", peer, target=1.0)
    apply = measure.Samples("apply" + suffix, "source transactions onto the target", "transactions/s", "wanted", target=1.0)
    apply.peer = [20000]
    spans, memory = [], []
    with servers.Run() as run:
        source, target = measure.start_source(run, engine), measure.start_target(run)
        source.client(SCHEMA)
        runs = [measure.make_migration(run, "f%d" % turn, source, DATABASE, target) for turn in range(options.runs)]
        for moved in runs:
            moved.run_until_caught_up()
        first_file = make_log(source, transactions)
        position = source.position()
        for moved in runs:
            measure.settle(target)
            took = mysqlbinlog(run, source, first_file)
            capture.peer.append(transactions / took)
            seconds, apply_seconds, peak = follow_once(run, source, target, moved, transactions, position)
            capture.ours.append(transactions / seconds)
            apply.ours.append(transactions / apply_seconds)
            memory.append(peak)
            spans.append(widest_commit_ms(target, moved.target_database))
            shutil.rmtree(moved.state_directory, ignore_errors=True)
            target.client("DROP DATABASE %s WITH (FORCE)" % moved.target_database)
            measure.say("capture: %s %.2f s, crossfade %.2f s; apply %.2f s, widest commit %.0f ms of source time, VmHWM %.0f MiB"
                        % (peer, took, seconds, apply_seconds, spans[-1], peak))
    records = [capture.record()] if "capture" in want else []
    if "apply" in want:
        records += [apply.record(),
                    measure.limit("apply" + suffix, "source time in one target commit, widest", "ms", spans, 1000, "limit"),
                    measure.limit("apply" + suffix, "VmHWM while catching up", "MiB", memory, 300, "limit")]
    return records


def measure_all(options, want):
    transactions = 500_000 // options.scale
    records = measure_engine(options, "mariadb", transactions, want)
    if servers.mysql_root() is None:
        measure.say("capture: MySQL is not there (tools/servers/fetch-mysql.sh); its part is left out")
        return records
    return records + measure_engine(options, "mysql", transactions, want)
