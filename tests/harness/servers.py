"""Throw-away MariaDB, MySQL and PostgreSQL servers on loopback, in a temporary directory of this run.

    with servers.Run() as run:
        source = run.start(servers.MariaDb(binlog_row_metadata="FULL"))
        target = run.start(servers.Postgres())
        print(source.client("SELECT 1"))

Whatever happens to this process, kill -9 included, a guardian process ends the servers and removes the directory.
"""

import atexit
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
POSTGRES_BIN = "/usr/lib/postgresql/15/bin"
# Where Debian puts mariadbd, and what an ordinary user's path leaves out.
os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin"

# The user that a migration connects as, on each side; it has the rights that the documentation asks for, and no more.
MIGRATION_USER = "crossfade"
MIGRATION_PASSWORD = "cross'fade \\pw"


class ServerError(Exception):
    pass


class SqlError(Exception):
    """The server's own client returned an error; the text is the client's."""


# ---- the guardian -------------------------------------------------------------------------------------------------------

_GUARDIAN = r"""
import os, shutil, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
groups, directories = set(), []
for line in sys.stdin:
    verb, _, rest = line.rstrip("\n").partition(" ")
    if verb == "group": groups.add(int(rest))
    elif verb == "forget": groups.discard(int(rest))
    elif verb == "directory": directories.append(rest)
for group in groups:
    try: os.killpg(group, signal.SIGKILL)
    except OSError: pass
for attempt in range(50):
    for directory in directories: shutil.rmtree(directory, ignore_errors=True)
    if not any(os.path.exists(d) for d in directories): break
    time.sleep(0.1)
"""


class _Guardian:
    def __init__(self):
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _GUARDIAN], stdin=subprocess.PIPE, start_new_session=True, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def tell(self, line):
        with self._lock:
            try:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
            except (OSError, ValueError):
                pass

    def close(self):
        with self._lock:
            try:
                self._process.stdin.close()
            except OSError:
                pass
        self._process.wait()


def free_port():
    """A loopback port that nobody listens on, below the range from which client connections take theirs."""
    for _ in range(200):
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise ServerError("no free port on loopback")


def _account(*names):
    for name in names:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerError("none of the accounts exists: " + ", ".join(names))


# ---- the run: directory, templates, end ---------------------------------------------------------------------------------

class Run:
    """Owns the temporary directory and all processes of one test program. Threads may start servers at the same time."""

    def __init__(self, keep=False):
        self._guardian = _Guardian()
        # Paths of sockets are limited to 107 bytes, so the directory's name is short.
        self.directory = tempfile.mkdtemp(prefix="cf-")
        os.chmod(self.directory, 0o711)
        self.keep = keep
        if not keep:
            self._guardian.tell("directory " + self.directory)
        self.servers = []
        self._groups = set()
        self._lock = threading.Lock()
        self._template_locks = {}
        self._closed = False
        self._parent = os.getpid()
        atexit.register(self.close)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, self._on_signal)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _on_signal(self, number, _frame):
        # SystemExit unwinds the test; close() runs on the way out.
        raise SystemExit(128 + number)

    def start(self, server):
        server.prepare(self)
        server.start()
        return server

    def adopt(self, server):
        with self._lock:
            self.servers.append(server)

    def spawn(self, arguments, **options):
        """A process in a group of its own that dies, with its children, when this run ends."""
        options.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(arguments, start_new_session=True, **options)
        self._guardian.tell("group %d" % process.pid)
        with self._lock:
            self._groups.add(process.pid)
        return process

    def forget(self, process):
        """After the process was waited for: its group number may belong to somebody else from now on."""
        self._guardian.tell("forget %d" % process.pid)
        with self._lock:
            self._groups.discard(process.pid)

    def subdirectory(self, name):
        path = os.path.join(self.directory, name)
        number = 1
        while True:
            try:
                os.mkdir(path)
                return path
            except FileExistsError:
                number += 1
                path = os.path.join(self.directory, "%s%d" % (name, number))

    def template(self, server):
        """A freshly initialised data directory, made once for each kind of server."""
        with self._lock:
            lock = self._template_locks.setdefault(server.template_name(), threading.Lock())
        with lock:
            path = os.path.join(self.directory, "template-" + server.template_name())
            if not os.path.exists(path):
                server.initialize(path)
            return path

    def close(self):
        if self._closed or os.getpid() != self._parent:
            return
        self._closed = True
        atexit.unregister(self.close)
        for server in self.servers:
            try:
                server.kill()
            except Exception:
                pass
        for group in list(self._groups):
            try:
                os.killpg(group, signal.SIGKILL)
            except OSError:
                pass
        if self.keep:
            print("kept: " + self.directory, file=sys.stderr)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)
        self._guardian.close()


# ---- servers ------------------------------------------------------------------------------------------------------------

class Server:
    engine = ""
    start_timeout_s = 60

    def __init__(self, *options):
        self.options = list(options)
        self.run = None
        self.directory = None
        self.port = None
        self.process = None

    # -- for subclasses
    def template_name(self):
        return type(self).__name__.lower()

    def initialize(self, path):
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def client_command(self, database, user=None):
        raise NotImplementedError

    def account(self):
        raise NotImplementedError

    def environment(self):
        return dict(os.environ, LC_ALL="C.UTF-8")

    # -- life
    def prepare(self, run):
        self.run = run
        self.directory = run.subdirectory(self.engine)
        self.port = self.wanted_port or free_port()
        self.data = os.path.join(self.directory, "data")
        subprocess.run(["cp", "-a", "--reflink=auto", run.template(self), self.data], check=True)
        if os.getuid() == 0:
            os.chown(self.directory, self.account().pw_uid, self.account().pw_gid)
        run.adopt(self)

    def start(self):
        for attempt in range(3):
            log = open(os.path.join(self.directory, "log"), "ab")
            with log:
                self.process = self.run.spawn(self.command(), stdout=log, stderr=log, cwd="/", env=self.environment(),
                                              preexec_fn=self._become_account if self.drops_rights else None)
            if self._wait_until_it_answers():
                return self
            if "in use" not in self.log_tail(4000) or attempt == 2:
                break
            self.port = free_port()
        raise ServerError("%s did not start:\n%s" % (self.engine, self.log_tail(3000)))

    wanted_port = None  # for one that takes another's place

    # True: the program is started as its account. False: it is told the account and changes to it by itself.
    drops_rights = False

    def _become_account(self):
        if os.getuid() == 0:
            account = self.account()
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)

    def _wait_until_it_answers(self):
        deadline = time.monotonic() + self.start_timeout_s
        refusal = ""
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.run.forget(self.process)
                return False
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    pass
                self.client("SELECT 1")
                return True
            except (OSError, SqlError) as error:
                refusal = str(error)
                time.sleep(0.05)
        raise ServerError("%s does not answer after %d s: %s" % (self.engine, self.start_timeout_s, refusal))

    def log_tail(self, size=2000):
        try:
            with open(os.path.join(self.directory, "log"), "rb") as log:
                return log.read()[-size:].decode("utf-8", "replace")
        except OSError:
            return ""

    def stop(self, timeout_s=60):
        """In order, as an administrator would."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self.run.forget(self.process)

    stop_signal = signal.SIGTERM

    def kill(self):
        """kill -9, the whole group."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            pass
        self.process.wait()
        self.run.forget(self.process)

    def restart(self, hard=False):
        self.kill() if hard else self.stop()
        return self.start()

    # -- use
    def client(self, sql, database=None, user=None, timeout_s=600):
        """Runs SQL through the server's own client; returns what it prints (tab separated, no headings)."""
        done = subprocess.run(self.client_command(database, user), input=sql.encode("utf-8"), capture_output=True,
                              env=self.environment(), timeout=timeout_s)
        if done.returncode != 0:
            raise SqlError(done.stderr.decode("utf-8", "replace").strip())
        return done.stdout.decode("utf-8", "surrogateescape")

    def stream(self, sql, database):
        """Like client, but a running process whose stdout is read by the caller."""
        process = subprocess.Popen(self.client_command(database), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=self.environment())
        process.stdin.write(sql.encode("utf-8"))
        process.stdin.close()
        return process

    def rows(self, sql, database=None):
        return [line.split("\t") for line in self.client(sql, database).split("\n")[:-1]]

    def value(self, sql, database=None):
        return self.client(sql, database).rstrip("\n")

    def test_address(self):
        """The form in which unit tests are told of a server."""
        return "host=127.0.0.1 port=%d user=%s password= " % (self.port, self.superuser)


class _MySqlFamily(Server):
    superuser = "root"

    def __init__(self, *options, binlog_row_metadata="FULL", binlog=True):
        super().__init__(*options)
        self.binlog_row_metadata = binlog_row_metadata
        self.binlog = binlog

    def account(self):
        return _account("mysql", "nobody")

    def _user_option(self):
        return ["--user=" + self.account().pw_name] if os.getuid() == 0 else []

    def _common_options(self):
        temporary = os.path.join(self.directory, "tmp")
        if not os.path.exists(temporary):
            os.mkdir(temporary)
            if os.getuid() == 0:
                os.chown(temporary, self.account().pw_uid, self.account().pw_gid)
        init = os.path.join(self.directory, "init.sql")
        with open(init, "w", encoding="utf-8") as file:
            file.write(self._users())
        os.chmod(init, 0o644)
        options = [
            "--datadir=" + self.data, "--socket=" + os.path.join(self.directory, "s"), "--port=%d" % self.port,
            "--tmpdir=" + temporary, "--bind-address=127.0.0.1", "--pid-file=" + os.path.join(self.directory, "pid"), "--init-file=" + init,
            "--server-id=1", "--skip-name-resolve", "--innodb-buffer-pool-size=128M",
            "--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", "--max-allowed-packet=64M", "--max-connections=200",
            # Neither UTC nor a whole hour: a value that passes through the session's time zone is seen.
            "--default-time-zone=+05:30", "--character-set-server=utf8mb4", "--innodb-lock-wait-timeout=20",
        ]
        if self.binlog:
            options += ["--log-bin=" + os.path.join(self.data, "binlog"), "--binlog-format=ROW", "--binlog-row-image=FULL",
                        "--binlog-row-metadata=" + self.binlog_row_metadata]
        return options + self._user_option()

    def _users(self):
        password = MIGRATION_PASSWORD.replace("\\", "\\\\").replace("'", "''")
        more = ", XA_RECOVER_ADMIN" if self.engine == "mysql" else ""
        # One statement a line: that is how an init file is read.
        return ("SET SESSION sql_log_bin=0;\n"
                "CREATE USER IF NOT EXISTS root@'127.0.0.1';\n"
                "GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;\n"
                "CREATE USER IF NOT EXISTS %s@'127.0.0.1' IDENTIFIED BY '%s';\n"
                "GRANT SELECT, REFERENCES, RELOAD, LOCK TABLES, SHOW VIEW, REPLICATION SLAVE, REPLICATION CLIENT%s ON *.* TO %s@'127.0.0.1';\n"
                % (MIGRATION_USER, password, more, MIGRATION_USER))

    def _client_options(self, user):
        return ["--no-defaults", "--host=127.0.0.1", "--port=%d" % self.port, "--protocol=tcp", "--user=" + (user or "root"),
                "--batch", "--skip-column-names", "--quick", "--default-character-set=utf8mb4"]

    def connect(self, database=None, **options):
        import pymysql
        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", password="", database=database,
                               charset="utf8mb4", **options)

    def databases(self):
        return [row[0] for row in self.rows("SHOW DATABASES")
                if row[0] not in ("information_schema", "mysql", "performance_schema", "sys")]


class MariaDb(_MySqlFamily):
    engine = "mariadb"

    def initialize(self, path):
        os.mkdir(path)
        if os.getuid() == 0:
            shutil.chown(path, self.account().pw_name, self.account().pw_gid)
        # Of its own: a server that starts beside it removes what it takes for leftovers of temporary tables.
        temporary = path + "-tmp"
        os.mkdir(temporary)
        os.chmod(temporary, 0o777)
        done = subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db",
             "--datadir=" + path, "--innodb-log-file-size=16M"] + self._user_option(),
            capture_output=True, cwd="/", env=dict(os.environ, TMPDIR=temporary))
        shutil.rmtree(temporary, ignore_errors=True)
        if done.returncode != 0:
            raise ServerError("mariadb-install-db: " + done.stdout.decode() + done.stderr.decode())

    def command(self):
        return ["mariadbd", "--no-defaults", "--gtid-strict-mode=1", "--innodb-log-file-size=32M",
                "--gtid-domain-id=0", "--max-recursive-iterations=1000000"] + self._common_options() + self.options

    def client_command(self, database, user=None):
        return ["mariadb"] + self._client_options(user) + ([database] if database else [])

    def position(self):
        return self.value("SELECT @@gtid_binlog_pos")


def mysql_root():
    """Where fetch-mysql.sh put MySQL, or None."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    root = os.path.join(cache, "crossfade", "mysql")
    return root if os.path.exists(os.path.join(root, "complete")) else None


class MySql(_MySqlFamily):
    engine = "mysql"

    def _program(self, name):
        root = mysql_root()
        if root is None:
            raise ServerError("MySQL is not there: run tools/servers/fetch-mysql.sh")
        return os.path.join(root, "bin", name)

    def account(self):
        # The server loads plugins after it has changed its user, so that user must be able to reach them.
        path = mysql_root() or "/"
        while path != "/":
            if not os.stat(path).st_mode & 0o001:
                return pwd.getpwuid(os.getuid())
            path = os.path.dirname(path)
        return super().account()

    def initialize(self, path):
        os.mkdir(path)
        if os.getuid() == 0:
            shutil.chown(path, self.account().pw_name, self.account().pw_gid)
        done = subprocess.run(
            [self._program("mysqld"), "--initialize-insecure", "--datadir=" + path, "--innodb-redo-log-capacity=32M",
             "--skip-log-bin"] + self._user_option(), capture_output=True, cwd="/")
        if done.returncode != 0:
            raise ServerError("mysqld --initialize: " + done.stdout.decode() + done.stderr.decode())
        # Each copy gets a server identity of its own.
        os.unlink(os.path.join(path, "auto.cnf"))

    def command(self):
        return [self._program("mysqld"), "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--mysqlx=OFF",
                "--innodb-redo-log-capacity=32M", "--cte-max-recursion-depth=1000000"] + self._common_options() + self.options

    def client_command(self, database, user=None):
        return [self._program("mysql")] + self._client_options(user) + ([database] if database else [])

    def position(self):
        return self.value("SELECT @@GLOBAL.gtid_executed").replace("\\n", "").replace("\n", "")


class Postgres(Server):
    engine = "postgres"
    superuser = "postgres"
    drops_rights = True
    stop_signal = signal.SIGINT  # fast shutdown

    def account(self):
        return _account("postgres", "nobody")

    def environment(self):
        return dict(os.environ, LC_ALL="C.UTF-8", PGPASSWORD="")

    def initialize(self, path):
        if os.getuid() == 0:
            os.mkdir(path)
            shutil.chown(path, self.account().pw_name, self.account().pw_gid)
        done = subprocess.run(
            [os.path.join(POSTGRES_BIN, "initdb"), "-D", path, "-U", "postgres", "-A", "trust", "-E", "UTF8",
             "--locale=C.UTF-8", "--no-sync"], capture_output=True, cwd="/", preexec_fn=self._become_account)
        if done.returncode != 0:
            raise ServerError("initdb: " + done.stdout.decode() + done.stderr.decode())
        with open(os.path.join(path, "pg_hba.conf"), "w", encoding="utf-8") as file:
            file.write("local all all trust\nhost all %s 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
                       % MIGRATION_USER)

    def command(self):
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.directory,
            "fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB", "max_connections": 200, "jit": "off",
            "max_wal_size": "1GB", "timezone": "America/New_York", "log_min_messages": "warning",
            "log_statement": "none", "max_prepared_transactions": 10,
        }
        command = [os.path.join(POSTGRES_BIN, "postgres"), "-D", self.data]
        for name, value in settings.items():
            command += ["-c", "%s=%s" % (name, value)]
        return command + self.options

    def start(self):
        super().start()
        password = MIGRATION_PASSWORD.replace("'", "''")
        self.client(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{0}') THEN CREATE ROLE {0} LOGIN; END IF; END $$;"
            "ALTER ROLE {0} PASSWORD '{1}'; GRANT SET ON PARAMETER session_replication_role TO {0};".format(
                MIGRATION_USER, password))
        return self

    def create_database(self, name):
        """An empty database, owned by the migration's user."""
        self.client("DROP DATABASE IF EXISTS %s WITH (FORCE);\nCREATE DATABASE %s OWNER %s;\n" % (name, name, MIGRATION_USER))

    def client_command(self, database, user=None):
        # Not /usr/bin/psql, a Perl script that takes 50 ms to find this one.
        return [os.path.join(POSTGRES_BIN, "psql"), "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
                "-U", user or "postgres", "-d", database or "postgres"]

    def connect(self, database="postgres"):
        import psycopg2
        return psycopg2.connect(host="127.0.0.1", port=self.port, user="postgres", dbname=database)

    def test_address(self):
        return super().test_address() + "dbname=postgres"


def source_server(engine, *options, **settings):
    return {"mariadb": MariaDb, "mysql": MySql}[engine](*options, **settings)


def main():
    """Starts the named servers, runs a command with their addresses in the environment, ends them.

    servers.py [mariadb] [mysql] [postgres] [--keep] -- COMMAND ...
    """
    arguments = sys.argv[1:]
    if "--" not in arguments:
        print(main.__doc__, file=sys.stderr)
        return 3
    cut = arguments.index("--")
    wanted, command = arguments[:cut], arguments[cut + 1:]
    kinds = {"mariadb": MariaDb, "mysql": MySql, "postgres": Postgres}
    with Run(keep="--keep" in wanted) as run:
        environment = dict(os.environ)
        threads, failures = [], []
        for name in wanted:
            if name == "--keep":
                continue

            def start(name=name):
                try:
                    environment["CROSSFADE_TEST_" + name.upper()] = run.start(kinds[name]()).test_address()
                except Exception as error:
                    failures.append("%s: %s" % (name, error))

            threads.append(threading.Thread(target=start))
            threads[-1].start()
        for thread in threads:
            thread.join()
        if failures:
            print("\n".join(failures), file=sys.stderr)
            return 2
        return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
