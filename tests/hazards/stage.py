"""What the hazards share: servers, a scene for each, and a few ways to hold or hurt the program."""

import os
import re
import threading
import time

import compare
import migration
import servers

HAZARDS = []

# Size of the transaction that is larger than every buffer.
LARGE_MIB = int(os.environ.get("CROSSFADE_TEST_LARGE_MIB", "128"))


def hazard(*names, engines=("mariadb", "mysql"), quick=True):
    """Names of tests/hazards' page (H1 ...) that the test is about."""

    def register(function):
        HAZARDS.append((function, names, engines, quick))
        return function

    return register


class Wrong(Exception):
    """The program did something else than it should have."""


def expect(condition, message):
    if not condition:
        raise Wrong(message)


class Scene:
    """A source database and a target database of one hazard, and the migrations between them."""

    number = 0
    lock = threading.Lock()

    def __init__(self, run, source, target, name):
        with Scene.lock:
            Scene.number += 1
            self.database = "h%d_%s" % (Scene.number, re.sub(r"\W", "_", name)[:30])
        self.run, self.source, self.target = run, source, target
        self.engine = source.engine
        self.moves = []
        self.databases = []
        self.own_servers = []
        self.target_database = self.database
        self.target_databases = [self.database]
        target.create_database(self.database)

    def spell(self, script):
        return script.replace("{{nopad_bin}}", {"mariadb": "utf8mb4_nopad_bin", "mysql": "utf8mb4_0900_bin"}[self.engine])

    def own_source(self, *options, **settings):
        """A source of this scene's own, where the shared one would be harmed."""
        self.source = self.run.start(servers.source_server(self.engine, *options, **settings))
        self.own_servers.append(self.source)
        return self.source

    def new_target_database(self):
        """What follows goes into an empty database of the same target."""
        self.target_databases.append("%s_%d" % (self.database, len(self.target_databases)))
        self.target_database = self.target_databases[-1]
        self.target.create_database(self.target_database)

    def own_target(self, *options):
        self.target = self.run.start(servers.Postgres(*options))
        self.own_servers.append(self.target)
        self.target.create_database(self.database)
        return self.target

    def schema(self, script, database=None):
        database = database or self.database
        if database not in self.databases:
            self.source.client("CREATE DATABASE %s CHARACTER SET utf8mb4" % database)
            self.databases.append(database)
        self.source.client(self.spell(script), database)

    def sql(self, script, database=None):
        return self.source.client(self.spell(script), database or self.database)

    def on_target(self, script):
        return self.target.client(script, self.target_database)

    def migration(self, tenant="acme", database=None, user=None, **settings):
        settings = {key.replace("__", "."): value for key, value in settings.items()}
        settings.setdefault("target.takeover_grace_ms", 1000)
        move = migration.Migration(self.run, "%s-%d" % (self.database.replace("_", "-"), len(self.moves)), self.source,
                                   database or self.database, self.target, self.target_database, tenant=tenant, settings=settings, user=user)
        move.tenant = tenant
        self.moves.append(move)
        return move

    def compare(self, move, **options):
        column = {"tenant_column": "tenant_id", "tenant_value": move.tenant} if move.tenant else {}
        report = compare.Comparison(self.source, move.database, self.target, move.target_database, directory=self.run.directory,
                                    **column, **options).run()
        expect(report.equal, "source and target differ: %s" % report)
        return report

    def catch_up_and_compare(self, move, **options):
        """For a program that runs: all that is committed now is applied, it stops in order, and all is equal."""
        move.wait_applied()
        status = move.stop()
        expect(status in (0, 2), "stopping ended with status %d\n%s" % (status, move.log_tail()))
        return self.compare(move, **options)

    def expect_exit(self, move, status, says, timeout_s=60):
        got = move.wait(timeout_s)
        text = move.log_tail(20000)
        expect(got == status, "exit status %d instead of %d\n%s" % (got, status, text[-4000:]))
        expect(re.search(says, text), "ended with %d as it should, but does not say '%s':\n%s" % (got, says, text[-4000:]))

    def gate(self, name):
        """A file that a failpoint waits for: (what to tell the failpoint, how to open it)."""
        path = os.path.join(self.run.directory, "%s-%s" % (self.database, name))

        def open_gate():
            with open(path, "w", encoding="utf-8"):
                pass

        return path, open_gate

    def close(self, good):
        for move in self.moves:
            if move.process:
                move.kill()
        for server in self.own_servers:
            server.kill()
        if good and not self.own_servers:
            for database in self.databases:
                self.source.client("DROP DATABASE " + database)
            for database in self.target_databases:
                self.target.client("DROP DATABASE %s WITH (FORCE)" % database)


def wait_until(condition, message, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise Wrong(message)
        time.sleep(0.05)


def peak_mib(pid):
    """Most memory that a process has had."""
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return next(int(line.split()[1]) // 1024 for line in file if line.startswith("VmHWM"))


class Background(threading.Thread):
    """Runs a function until stopped; its exception is raised by stop()."""

    def __init__(self, step, pause_s=0.0):
        super().__init__(daemon=True)
        self.step, self.pause_s = step, pause_s
        self.stopping = False
        self.failure = None
        self.steps = 0

    def run(self):
        try:
            while not self.stopping:
                self.step()
                self.steps += 1
                time.sleep(self.pause_s)
        except Exception as error:
            self.failure = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.stopping = True
        self.join(30)
        if self.failure and kind is None:
            raise self.failure
