"""One migration as a test sees it: a TOML file, a state directory, and the real program."""

import json
import os
import signal
import subprocess
import time

import servers

# Status with which the program dies at a failpoint.
CRASH_STATUS = 85

FOLLOWING = "following"


class MigrationError(Exception):
    pass


def program():
    path = os.path.abspath(os.environ.get("CROSSFADE_PROGRAM") or os.path.join(servers.REPOSITORY, "build", "tools", "crossfade", "crossfade"))
    if not os.path.exists(path):
        raise SystemExit("there is no program %s: build it (./tools/test.sh does), or name it in CROSSFADE_PROGRAM" % path)
    return path


def _toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join("%s = %s" % (key, _toml(item)) for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


class Migration:
    """`settings` are {"snapshot.mode": "chunked", ...} on top of what is needed to reach the servers."""

    def __init__(self, run, name, source, database, target, target_database, tenant=None, settings=None, user=None):
        self.run, self.name = run, name
        self.source, self.database, self.target, self.target_database = source, database, target, target_database
        self.directory = run.subdirectory("m-" + name)
        self.state_directory = os.path.join(self.directory, "state")
        self.config = os.path.join(self.directory, name + ".toml")
        self.log = os.path.join(self.directory, "log")
        self.process = None
        user = user or servers.MIGRATION_USER
        self.environment = dict(os.environ, CROSSFADE_TEST_PASSWORD=servers.MIGRATION_PASSWORD)
        self.settings = {
            "name": name, "state_dir": self.state_directory,
            "source.engine": source.engine, "source.host": "127.0.0.1", "source.port": source.port, "source.user": user,
            "source.password_env": "CROSSFADE_TEST_PASSWORD", "source.database": database, "source.tls": "off",
            "target.engine": "postgres", "target.host": "127.0.0.1", "target.port": target.port, "target.user": user,
            "target.password_env": "CROSSFADE_TEST_PASSWORD", "target.database": target_database, "target.tls": "off",
        }
        if tenant is None:
            self.settings["tenant.mode"] = "none"
        else:
            self.settings.update({"tenant.mode": "column", "tenant.value": tenant})
        self.settings.update(settings or {})
        self.write()

    def write(self):
        sections = {}
        for key, value in self.settings.items():
            section, _, name = key.rpartition(".")
            sections.setdefault(section, []).append("%s = %s" % (name, _toml(value)))
        with open(self.config, "w", encoding="utf-8") as file:
            for section in sorted(sections):
                if section:
                    file.write("\n[%s]\n" % section)
                file.write("\n".join(sections[section]) + "\n")

    # -- the program
    def start(self, *arguments, failpoints=None, failpoint_log=None, terminal=None):
        environment = dict(self.environment)
        if failpoints:
            environment["CROSSFADE_FAILPOINTS"] = failpoints
        if failpoint_log:
            environment["CROSSFADE_FAILPOINT_LOG"] = failpoint_log
        progress = [] if terminal else ["--no-progress"]
        with open(self.log, "ab") as log:
            self.process = self.run.spawn([program(), "run", self.config] + progress + list(arguments),
                                          stdout=terminal or log, stderr=log, env=environment, cwd="/")
        return self.process

    def wait(self, timeout_s=120):
        """The exit status; kills the program and complains if it does not end."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise MigrationError("%s did not end within %d s\n%s" % (self.name, timeout_s, self.log_tail()))
        self.run.forget(self.process)
        return status

    def run_until_caught_up(self, *arguments, timeout_s=120, **options):
        self.start("--until", "caught-up", *arguments, **options)
        status = self.wait(timeout_s)
        if status != 0:
            raise MigrationError("%s: run --until caught-up ended with status %d\n%s" % (self.name, status, self.log_tail()))

    def kill(self):
        """kill -9"""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            pass
        self.process.wait()
        self.run.forget(self.process)

    def stop(self, timeout_s=30):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def command(self, *arguments, timeout_s=120):
        """Another command on this migration's file: (exit status, stdout, stderr)."""
        done = subprocess.run([program(), arguments[0], self.config] + list(arguments[1:]), capture_output=True,
                              env=self.environment, stdin=subprocess.DEVNULL, timeout=timeout_s)
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")

    def status(self):
        """The status as the program prints it, or None when it has none yet."""
        code, out, _ = self.command("status", "--json")
        try:
            return json.loads(out) if code in (0, 1, 5, 6) else None
        except ValueError:
            return None

    def log_tail(self, size=4000):
        try:
            with open(self.log, "rb") as log:
                return log.read()[-size:].decode("utf-8", "replace")
        except OSError:
            return ""

    # -- waiting
    def wait_phase(self, *phases, timeout_s=120):
        deadline = time.monotonic() + timeout_s
        status = None
        while time.monotonic() < deadline:
            self._still_running()
            status = self.status()
            if status and status["phase"] in phases:
                return status
            time.sleep(0.1)
        raise MigrationError("%s did not reach %s within %d s; it says %s\n%s" % (
            self.name, phases, timeout_s, status and (status["phase"], status["capture"], status["apply"]), self.log_tail()))

    def wait_applied(self, position=None, timeout_s=120):
        """Until the running program has applied all of `position` (default: where the source stands now)."""
        position = position if position is not None else self.source.position()
        deadline = time.monotonic() + timeout_s
        status = None
        while time.monotonic() < deadline:
            self._still_running()
            status = self.status()
            if status and status["phase"] == FOLLOWING and contains(self.source, status["apply"]["position"]["gtid"], position):
                return status
            time.sleep(0.1)
        raise MigrationError("%s did not apply %s within %d s; it says %s\n%s" % (
            self.name, position, timeout_s, status and (status["phase"], status["apply"]), self.log_tail()))

    def _still_running(self):
        code = self.process.poll()
        if code is not None:
            self.run.forget(self.process)
            raise MigrationError("%s ended with status %d\n%s" % (self.name, code, self.log_tail()))


def contains(source, applied, position):
    """`applied` holds all of `position`. Asked of the server where sets are not simply numbers."""
    if source.engine == "mysql":
        return source.value("SELECT GTID_SUBSET('%s', '%s')" % (position, applied.replace("\n", ""))) == "1"
    have = {}
    for gtid in applied.split(","):
        if gtid:
            domain, _, number = gtid.split("-")
            have[domain] = max(have.get(domain, 0), int(number))
    return all(have.get(gtid.split("-")[0], 0) >= int(gtid.split("-")[2]) for gtid in position.split(",") if gtid)
