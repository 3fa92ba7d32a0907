"""What all workloads share: durable servers, samples and their records, and the peak of a process's memory."""

import json
import os
import statistics
import sys
import threading
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "harness"))

import migration  # noqa: E402
import servers  # noqa: E402

MIB = 1 << 20


class BenchError(Exception):
    pass


# ---- servers ------------------------------------------------------------------------------------------------------------

def start_source(run, engine):
    """Durable, as in production. load_fast() suspends that while data is made."""
    redo = "--innodb-log-file-size=512M" if engine == "mariadb" else "--innodb-redo-log-capacity=512M"
    return run.start(servers.source_server(engine, "--innodb-buffer-pool-size=512M", "--innodb-flush-log-at-trx-commit=1",
                                           "--sync-binlog=1", "--max-binlog-size=1G", redo))


def start_target(run):
    settings = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "shared_buffers": "512MB",
                "max_wal_size": "4GB", "maintenance_work_mem": "256MB"}
    return run.start(servers.Postgres(*[part for name, value in settings.items() for part in ("-c", name + "=" + value)]))


class load_fast:
    """While data is made, the source's commits are not synced; what is measured afterwards is."""

    def __init__(self, source):
        self.source = source

    def __enter__(self):
        self.source.client("SET GLOBAL sync_binlog = 0; SET GLOBAL innodb_flush_log_at_trx_commit = 2;")

    def __exit__(self, *_):
        self.source.client("SET GLOBAL sync_binlog = 1; SET GLOBAL innodb_flush_log_at_trx_commit = 1;")


def settle(*databases):
    """What a server owes to its disk is not to be paid in the next measurement."""
    for server in databases:
        if server.engine == "postgres":
            server.client("CHECKPOINT")
    os.sync()


# ---- samples and records ------------------------------------------------------------------------------------------------

class Samples:
    """Measurements of one metric, ours and the peer's, and the record that comes of them."""

    def __init__(self, workload, metric, unit, peer_name, target=None, lower_is_better=False):
        self.workload, self.metric, self.unit, self.peer_name = workload, metric, unit, peer_name
        self.target, self.lower_is_better = target, lower_is_better
        self.ours, self.peer = [], []

    def record(self):
        ours = statistics.median(self.ours)
        peer = statistics.median(self.peer) if self.peer else None
        # Above 1 is better than the peer, whatever the unit.
        ratio = None if not peer or not ours else (peer / ours if self.lower_is_better else ours / peer)
        return {"workload": self.workload, "metric": self.metric, "unit": self.unit, "ours": round(ours, 3),
                "peer": None if peer is None else round(peer, 3), "peer_name": self.peer_name,
                "ratio": None if ratio is None else round(ratio, 3), "target": self.target, "runs": len(self.ours),
                "ours_runs": [round(value, 3) for value in self.ours], "peer_runs": [round(value, 3) for value in self.peer]}


def limit(workload, metric, unit, values, most, name):
    """A metric with a limit in place of a peer: ratio above 1 is within it."""
    samples = Samples(workload, metric, unit, name, target=1.0, lower_is_better=True)
    samples.ours, samples.peer = list(values), [most]
    return samples.record()


def say(text):
    print("%s  load %.1f  %s" % (time.strftime("%H:%M:%S"), os.getloadavg()[0], text), flush=True)


# ---- our program --------------------------------------------------------------------------------------------------------

class PeakMemory(threading.Thread):
    """VmHWM of a process, in MiB, kept past its end."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path = "/proc/%d/status" % pid
        self.mib = 0.0
        self.start()

    def read(self):
        with open(self.path, encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    self.mib = int(line.split()[1]) / 1024
                    return True
        return False

    def run(self):
        try:
            while self.read():
                time.sleep(0.05)
        except OSError:
            pass


def make_migration(run, name, source, database, target, settings=None):
    """A migration of a whole database into one of its own, with its status on a port."""
    target.create_database(name)
    more = {"http.listen": "127.0.0.1:%d" % servers.free_port(), "snapshot.readers": 2}
    more.update(settings or {})
    return migration.Migration(run, name, source, database, target, name, settings=more)


def live_status(moved):
    with urllib.request.urlopen("http://%s/status" % moved.settings["http.listen"], timeout=10) as answer:
        return json.load(answer)


def wait_status(moved, reached, timeout_s=600, every_s=0.02):
    """Until reached(status) of the running program; the status."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if moved.process.poll() is not None:
            raise BenchError("%s ended with status %d\n%s" % (moved.name, moved.process.returncode, moved.log_tail()))
        try:
            status = live_status(moved)
            if reached(status):
                return status
        except OSError:
            pass  # not listening yet
        time.sleep(every_s)
    raise BenchError("%s did not get there within %d s\n%s" % (moved.name, timeout_s, moved.log_tail()))


def holds(moved, status, part, position):
    """capture or apply has all of `position`."""
    return migration.contains(moved.source, status[part]["position"]["gtid"], position)
