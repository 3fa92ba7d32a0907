"""lag: from the source's commit to visible on the target, beside a load of 1,000 transactions a second."""

import random
import subprocess
import time

import measure
import servers
import snapshot

RATE = 1000
LIMIT_MS = 250


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Load:
    """sysbench with one-row transactions, at a fixed rate on average."""

    def __init__(self, run, source, rows, seconds):
        self.process = run.spawn(
            ["sysbench", "oltp_update_index", "--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-port=%d" % source.port,
             "--mysql-user=root", "--mysql-db=" + snapshot.DATABASE, "--tables=%d" % snapshot.TABLES,
             "--table-size=%d" % (rows // snapshot.TABLES), "--threads=8", "--rate=%d" % RATE, "--time=%d" % seconds, "run"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.run = run

    def rate(self):
        out = self.process.communicate()[0]
        self.run.forget(self.process)
        for line in out.split("\n"):
            if "transactions:" in line:
                return float(line.split("(")[1].split()[0])
        raise measure.BenchError("sysbench: " + out[-2000:])


def probe(source, target, database, seconds):
    """Milliseconds from the return of a commit until its row is seen, again and again."""
    writer = source.connect(snapshot.DATABASE, autocommit=True).cursor()
    connection = target.connect(database)
    connection.autocommit = True
    reader = connection.cursor()
    seen, n = [], 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        n += 1
        writer.execute("UPDATE probe SET n = %s WHERE id = 1", (n,))
        committed = time.monotonic()
        while True:
            reader.execute("SELECT n FROM probe WHERE id = 1")
            now = time.monotonic()
            if reader.fetchone()[0] == n:
                break
            if now - committed > 60:
                raise measure.BenchError("a row is not on the target after 60 s")
            time.sleep(0.001)
        seen.append((now - committed) * 1000)
        # Not in step with the batches.
        time.sleep(random.uniform(0.005, 0.030))
    return seen


def measure_all(options):
    rows, seconds = 100_000, 60 if options.scale == 1 else 15
    p50, p99, highest, rates = [], [], [], []
    with servers.Run() as run:
        source, target = measure.start_source(run, "mariadb"), measure.start_target(run)
        with measure.load_fast(source):
            snapshot.prepare(source, rows)
            source.client("CREATE TABLE probe (id INT PRIMARY KEY, n BIGINT NOT NULL); INSERT INTO probe VALUES (1, 0)",
                          snapshot.DATABASE)
        moved = measure.make_migration(run, "lag", source, snapshot.DATABASE, target)
        moved.start()
        peak = measure.PeakMemory(moved.process.pid)
        measure.wait_status(moved, lambda status: status["phase"] == "following")
        for _ in range(options.runs):
            load = Load(run, source, rows, seconds + 4)
            time.sleep(2)
            seen = probe(source, target, "lag", seconds)
            rates.append(load.rate())
            p50.append(percentile(seen, 0.50))
            p99.append(percentile(seen, 0.99))
            highest.append(max(seen))
            measure.say("lag: %d probes beside %.0f transactions/s: p50 %.1f ms, p99 %.1f ms, most %.1f ms"
                        % (len(seen), rates[-1], p50[-1], p99[-1], highest[-1]))
        moved.stop()
    if min(rates) < 0.95 * RATE:
        measure.say("lag: the source did not keep up with the load that was asked for")
    return [measure.limit("lag", "commit to visible, p99", "ms", p99, LIMIT_MS, "limit"),
            measure.limit("lag", "commit to visible, p50", "ms", p50, LIMIT_MS, "limit"),
            measure.limit("lag", "commit to visible, most", "ms", highest, LIMIT_MS, "limit"),
            measure.limit("lag", "VmHWM while following", "MiB", [peak.mib], 300, "limit")]
