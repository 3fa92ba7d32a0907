"""The demo, once the program is built. Called by tools/demo.sh, which says what it does."""

import json
import os
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", "harness"), HERE]

import compare
import migration
import servers
import shop

RATE = 360  # write transactions a second aimed at, for each customer
LEAST_RATE = 300


class Failed(Exception):
    pass


class Screen:
    """A line that is drawn over on a terminal, and printed now and then elsewhere."""

    def __init__(self):
        self.live = sys.stdout.isatty()
        self.printed = 0

    def say(self, text):
        print(("\r\033[K" if self.live else "") + text, flush=True)

    def show(self, text, last=False):
        if self.live:
            print("\r\033[K" + text, end="\n" if last else "", flush=True)
        elif last or time.monotonic() - self.printed >= 2:
            self.printed = time.monotonic()
            print(text, flush=True)


class LoadProcess:
    """tests/harness/load.py on one database, in a process of its own."""

    def __init__(self, run, port, database, seed):
        self.process = run.spawn(
            [sys.executable, os.path.join(ROOT, "tests", "harness", "load.py"), "--port", str(port), "--database", database,
             "--rate", str(RATE), "--seed", str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.run = run
        self.transactions = 0
        self.rates = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            report = json.loads(line)
            self.transactions = report["transactions"]
            if report["rate"]:
                self.rates.append(report["rate"])

    def rate(self):
        return self.rates[-1] if self.rates else 0

    def check(self):
        if self.process.poll() is not None:
            raise Failed("the load ended by itself")

    def stop(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.run.forget(self.process)
        if self.process.returncode != 0:
            raise Failed("the load ended with status %d" % self.process.returncode)


class Pulse(threading.Thread):
    """Measures, from outside, how long a commit on the source takes to be seen on the target."""

    def __init__(self, source, target, customer):
        super().__init__(daemon=True)
        self.source, self.target, self.customer = source, target, customer
        self.milliseconds = []
        self.stopping = False
        self.failure = None

    def run(self):
        try:
            writer = self.source.connect(self.customer, autocommit=True).cursor()
            reader = self.target.connect("cloud")
            reader.autocommit = True
            reader = reader.cursor()
            beat = 0
            while not self.stopping:
                beat += 1
                writer.execute("UPDATE pulse SET beat = %s WHERE id = 1", (beat,))
                begun = time.monotonic()
                seen = -1
                while seen < beat and not self.stopping:
                    time.sleep(0.002)
                    reader.execute("SELECT beat FROM pulse WHERE tenant_id = %s AND id = 1", (self.customer,))
                    seen = reader.fetchone()[0]
                if seen >= beat:
                    self.milliseconds.append((time.monotonic() - begun) * 1000)
                time.sleep(0.05)
        except Exception as error:
            self.failure = error

    def stop(self):
        self.stopping = True
        self.join(10)
        if self.failure:
            raise Failed("measuring the lag: %s" % self.failure)


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


def fingerprint(source, database):
    """Every row of a database as it is now: table -> multiset of rows, as hashes."""
    tables = {}
    for table, (columns, _) in compare.source_tables(source, database).items():
        expression = ", ".join("COALESCE(HEX(CAST(`%s` AS CHAR)), '-')" % c.name for c in columns)
        rows = source.client("SET time_zone = '+00:00';\nSELECT %s FROM %s.%s" % (expression, database, table))
        counts = {}
        for row in rows.split("\n")[:-1]:
            counts[hash(row)] = counts.get(hash(row), 0) + 1
        tables[table] = counts
    return tables


def changed(before, after):
    """Rows of `before` that are not the same any more, or are gone; and how many there were."""
    lost = sum(max(0, count - after.get(table, {}).get(row, 0)) for table, rows in before.items() for row, count in rows.items())
    return lost, sum(sum(rows.values()) for rows in before.values())


def bar(part, width=30):
    full = int(part * width)
    return "█" * full + "░" * (width - full)


class Customer:
    def __init__(self, name, size, seed, extra=None):
        self.name, self.size, self.seed, self.extra = name, size, seed, extra
        self.load = self.move = self.pulse = None
        self.changed = self.rows_before = 0
        self.load_during_copy = 0


class Demo:
    def __init__(self, run, quick, sabotage):
        self.run, self.quick, self.sabotage = run, quick, sabotage
        self.screen = Screen()
        size = 5000 if quick else 15000
        self.copy_limit = 12000 if quick else 15000  # rows a second: production comes first
        self.follow_seconds = 6 if quick else 25
        self.customers = [Customer("acme", size, 1), Customer("globex", size, 2, "globex.sql")]

    def start_servers(self):
        self.screen.say("starting a MariaDB and a PostgreSQL of our own on loopback")
        self.target = self.run.start(servers.Postgres("-c", "synchronous_commit=on"))
        self.source = self.run.start(servers.MariaDb("--innodb-buffer-pool-size=512M"))
        self.target.create_database("cloud")

    def make_customers(self):
        for customer in self.customers:
            rows = shop.create(self.source, customer.name, customer.size, customer.seed, customer.extra)
            tables = len(compare.source_tables(self.source, customer.name))
            self.screen.say("customer %-7s %d tables, %d rows" % (customer.name, tables, rows))
        for customer in self.customers:
            customer.load = LoadProcess(self.run, self.source.port, customer.name, customer.seed)
        time.sleep(3)
        for customer in self.customers:
            customer.load.check()
            self.screen.say("live load on %-7s %d write transactions a second" % (customer.name, customer.load.rate()))

    def copy(self, customer):
        """Moves one customer, and follows it."""
        before = fingerprint(self.source, customer.name)
        customer.move = migration.Migration(
            self.run, customer.name, self.source, customer.name, self.target, "cloud", tenant=customer.name,
            settings={"snapshot.max_rows_per_second": self.copy_limit, "snapshot.chunk_rows": 5000, "http.listen": "127.0.0.1:0"})
        transactions, begun = customer.load.transactions, time.monotonic()
        customer.move.start()
        after = None
        while True:
            self.check_all()
            status = customer.move.status()
            phase = status["phase"] if status else "starting"
            tables = status["copy"]["tables"].values() if status else []
            done = sum(t["rows_done"] for t in tables)
            total = max(1, done, sum(max(t["rows_estimated"], t["rows_done"]) for t in tables))
            copied = phase not in ("starting", "copying")
            if copied and after is None:
                after = fingerprint(self.source, customer.name)
                customer.load_during_copy = (customer.load.transactions - transactions) / (time.monotonic() - begun)
            text = "%-7s %s %5.1f %%  %d rows, %s; %d transactions a second meanwhile" % (
                customer.name, bar(done / total), 100 * done / total, done, phase, customer.load.rate())
            followed = phase == migration.FOLLOWING
            self.screen.show(text, last=followed)
            if followed:
                break
            time.sleep(0.25)
        customer.changed, customer.rows_before = changed(before, after)
        self.screen.say("%-7s copied in %.1f s; %d of %d rows changed meanwhile; following" % (
            customer.name, time.monotonic() - begun, customer.changed, customer.rows_before))
        customer.pulse = Pulse(self.source, self.target, customer.name)
        customer.pulse.start()

    def check_all(self):
        for customer in self.customers:
            customer.load.check()
            if customer.move and customer.move.process.poll() is not None:
                raise Failed("%s: the program ended with status %d\n%s" % (
                    customer.name, customer.move.process.returncode, customer.move.log_tail()))
            if customer.pulse and customer.pulse.failure:
                raise Failed("measuring the lag: %s" % customer.pulse.failure)

    def show_lag(self, seconds):
        end = time.monotonic() + seconds
        while True:
            self.check_all()
            parts = []
            for customer in self.customers:
                if customer.pulse:
                    lags = customer.pulse.milliseconds[-100:]
                    parts.append("%s %3.0f ms behind (p99 %3.0f), %d tx/s" % (
                        customer.name, lags[-1] if lags else -1, percentile(lags, .99), customer.load.rate()))
            over = time.monotonic() >= end
            self.screen.show("following: " + "; ".join(parts), last=over)
            if over:
                return
            time.sleep(0.25)

    def stop_load(self):
        for customer in self.customers:
            customer.pulse.stop()
        for customer in self.customers:
            customer.load.stop()
        self.screen.say("load stopped after %s transactions" % " and ".join(str(c.load.transactions) for c in self.customers))
        for customer in self.customers:
            customer.move.wait_applied()
        for customer in self.customers:
            customer.move.stop()
        self.screen.say("all of it is applied")

    def change_a_byte(self):
        self.target.client("UPDATE documents SET body = set_byte(body, 0, get_byte(body, 0) # 1) WHERE ctid = (SELECT ctid FROM"
                           " documents WHERE tenant_id = 'globex' AND length(body) > 0 LIMIT 1)", "cloud")
        self.screen.say("sabotage: one byte changed on the target")

    def compare(self):
        equal, tables, rows = True, 0, 0
        for customer in self.customers:
            begun = time.monotonic()
            report = compare.Comparison(self.source, customer.name, self.target, "cloud", tenant_column="tenant_id",
                                        tenant_value=customer.name, directory=self.run.directory).run()
            self.screen.say("compared %-7s with the servers' own clients: %s, %.1f s" % (customer.name, report, time.monotonic() - begun))
            equal = equal and report.equal
            tables += len(report.tables)
            rows += report.rows
        return equal, tables, rows

    def go(self):
        self.start_servers()
        self.make_customers()
        first, second = self.customers
        self.copy(first)
        self.show_lag(self.follow_seconds / 2)
        self.copy(second)
        self.show_lag(self.follow_seconds)
        self.stop_load()
        if self.sabotage:
            self.change_a_byte()
        equal, tables, rows = self.compare()
        lags = [lag for customer in self.customers for lag in customer.pulse.milliseconds]
        share = 100 * sum(c.changed for c in self.customers) / sum(c.rows_before for c in self.customers)
        rates = [c.load_during_copy for c in self.customers]
        good = equal and share >= 10 and min(rates) >= LEAST_RATE
        if share < 10:
            self.screen.say("too few rows changed while they were copied")
        if min(rates) < LEAST_RATE:
            self.screen.say("the load was only %s transactions a second" % " and ".join("%d" % rate for rate in rates))
        self.result = "demo: %s tenants=2 tables=%d rows=%d changed_during_copy=%.0f%% lag_p99_ms=%.0f equal=%s" % (
            "ok" if good else "failed", tables, rows, share, percentile(lags, .99), "yes" if equal else "no")
        return 0 if good else 1


def main():
    arguments = sys.argv[1:]
    with servers.Run() as run:
        demo = Demo(run, "--quick" in arguments, "--sabotage" in arguments)
        try:
            status = demo.go()
        except (Failed, migration.MigrationError, servers.ServerError, servers.SqlError, compare.CompareError) as error:
            demo.screen.say(str(error))
            demo.result, status = "demo: failed", 1
        except KeyboardInterrupt:
            demo.result, status = "demo: interrupted", 2
    print(demo.result, flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
