"""Hazards of a source whose place is taken by its replica."""

import time

import copying
import forward
import migration
import pymysql
import servers
from losing import COUNTED
from stage import Background, expect, hazard, wait_until

REPLICATE = {
    "mariadb": "SET GLOBAL gtid_slave_pos = @@GLOBAL.gtid_binlog_pos; CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port},"
               " MASTER_USER = 'root', MASTER_PASSWORD = '', MASTER_USE_GTID = slave_pos; START SLAVE",
    "mysql": "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, SOURCE_USER = 'root',"
             " SOURCE_PASSWORD = '', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1; START REPLICA",
}
STOP = {"mariadb": "STOP SLAVE; RESET SLAVE ALL", "mysql": "STOP REPLICA; RESET REPLICA ALL"}


def replicate(replica, source):
    replica.client(REPLICATE[source.engine].format(port=source.port))


def promote(replica):
    replica.client(STOP[replica.engine])
    replica.client("SET GLOBAL read_only = 0")


def wait_replicated(replica, source):
    wait_until(lambda: replica.position() == source.position(), "the replica does not catch up: %s" % replica.engine, 60)


# Threads of the replica that still apply what it has received.
WAITING = {
    "mariadb": "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND = 'Slave_SQL' AND STATE NOT LIKE '%has read all relay log%'",
    "mysql": "SELECT COUNT(*) FROM performance_schema.replication_applier_status_by_worker WHERE APPLYING_TRANSACTION <> ''",
}


def follows_from(move, server):
    status = move.status()
    return status and migration.contains(server, status["apply"]["position"]["gtid"], server.position())


class Application:
    """Writes through the address, over and over; what was refused or broken off it simply tries again."""

    def __init__(self, port, database):
        self.port, self.database = port, database
        self.cursor = None
        self.done = 0

    def __call__(self):
        try:
            if self.cursor is None:
                connection = pymysql.connect(host="127.0.0.1", port=self.port, user="root", password="", database=self.database,
                                             autocommit=False, connect_timeout=5, read_timeout=20)
                self.cursor = connection.cursor()
            self.cursor.execute("UPDATE counter SET n = n + 1 WHERE id = %s", (self.done % 2 + 1,))
            self.cursor.execute("INSERT INTO keyless VALUES (%s)", (self.done % 3,))
            if self.done % 5 == 0:
                self.cursor.execute("DELETE FROM keyless WHERE v = 1 LIMIT 1")
            self.cursor.connection.commit()
            self.done += 1
        except (pymysql.err.MySQLError, OSError):
            self.cursor = None
            time.sleep(0.05)


def pair(scene):
    """A source, its replica, and a migration that follows the source through an address of its own."""
    source = scene.own_source("--server-id=11", *(["--log-slave-updates"] if scene.engine == "mariadb" else []))
    replica = scene.own_source("--server-id=12", *(["--log-slave-updates"] if scene.engine == "mariadb" else []))
    scene.source = source
    replicate(replica, source)
    replica.client("SET GLOBAL read_only = 1")
    scene.schema(COUNTED)
    address = forward.Forward(source.port)
    move = scene.migration(source__port=address.port)
    move.start()
    move.wait_phase("following")
    return source, replica, address, move


def goes_on(application, since):
    wait_until(lambda: application.done > since + 50, "the application does not go on", 60)


@hazard("H22", quick=False)
def source_and_replica_change_places(scene):
    """Switched over in order and back again, under load: followed by GTID, without loss or doubling, also over a restart."""
    old, new, address, move = pair(scene)
    application = Application(address.port, scene.database)
    with Background(application, 0.002):
        for _ in range(2):
            goes_on(application, application.done)
            old.client("SET GLOBAL read_only = 1" + ("; SET GLOBAL super_read_only = 1" if scene.engine == "mysql" else ""))
            before = application.done
            address.move(old.port)  # sessions that may still write, as those of root may on MariaDB, are ended
            address.move(1)
            time.sleep(0.3)
            wait_replicated(new, old)
            promote(new)
            if scene.engine == "mysql":
                old.client("SET GLOBAL super_read_only = 0")
            replicate(old, new)
            address.move(new.port)
            goes_on(application, before)
            scene.source = move.source = new
            old, new = new, old
        move.wait_applied(timeout_s=60)
        move.stop()
        goes_on(application, application.done)
        move.start()
        move.wait_phase("following")
        goes_on(application, application.done)
    expect(move.status()["apply"]["divergences"] == 0, "divergences were met")
    scene.catch_up_and_compare(move)
    address.close()


def late_in_its_log(scene):
    """A source that writes its fifth log file, and its replica."""
    old = scene.own_source("--server-id=11", "--log-slave-updates")
    other = scene.own_source("--server-id=12", "--log-slave-updates")
    scene.source = old
    old.client("FLUSH BINARY LOGS; FLUSH BINARY LOGS; FLUSH BINARY LOGS; FLUSH BINARY LOGS")
    scene.schema(COUNTED)
    replicate(other, old)
    return old, other


@hazard("H22", engines=("mariadb",), quick=False)
def a_server_built_anew_takes_its_old_place(scene):
    """Fail-over, and back to a server built anew under the old name, whose log begins again at its first file: the copy's places in the old log say nothing of it."""
    old, other = late_in_its_log(scene)
    move = scene.migration(journal__keep_s=0)
    move.run_until_caught_up()
    wait_replicated(other, old)
    old.kill()
    promote(other)
    follow(scene, move, other)
    other.client("UPDATE counter SET n = n + 1", scene.database)
    move.run_until_caught_up()

    again = built_anew(scene, old, other, "UPDATE counter SET n = n + 1")
    move.run_until_caught_up()
    other.kill()
    follow(scene, move, again)
    again.client("INSERT INTO keyless VALUES (776)", scene.database)
    move.run_until_caught_up(timeout_s=30)  # it does not wait for a place that this log is far from
    again.client("INSERT INTO keyless VALUES (777); INSERT INTO counter VALUES (50, 50);" + "FLUSH BINARY LOGS;" * 6 + "INSERT INTO keyless VALUES (778)", scene.database)
    move.run_until_caught_up(timeout_s=30)  # nor passes by what lies in front of it
    scene.compare(move)


@hazard("H22", engines=("mariadb",), quick=False)
def a_server_built_anew_comes_within_the_windows(scene):
    """While the copy's places are still compared, a server with the old one's name and another log is refused; by way of the other one it goes on."""
    old, other = late_in_its_log(scene)
    move = scene.migration()
    tables, open_tables = scene.gate("tables")
    apply, _ = scene.gate("apply")
    move.start(failpoints="schema.commit.after=wait:%s,apply.commit.before=wait:%s" % (tables, apply), failpoint_log=tables + ".log")
    wait_until(lambda: copying.met(tables + ".log", "schema.commit.after"), "no tables are made")
    old.client("UPDATE counter SET n = n + 1; INSERT INTO keyless VALUES (775)", scene.database)  # in the copy, and in the log that is read
    open_tables()
    wait_until(lambda: copying.met(tables + ".log", "apply.commit.before"), "nothing is applied")
    move.kill()
    wait_replicated(other, old)
    old.kill()
    promote(other)
    follow(scene, move, other)
    other.client("UPDATE counter SET n = n + 1", scene.database)
    move.start(failpoints="apply.commit.before=wait:%s" % apply)
    again = built_anew(scene, old, other, "UPDATE counter SET n = n + 2; INSERT INTO keyless VALUES (775)")
    wait_until(lambda: captured(move, other), "capture does not follow the replica")
    move.kill()
    follow(scene, move, again)
    move.start("--until", "caught-up")
    scene.expect_exit(move, 3, "another server of that name.*CF1216.*fix: connect to 12@.*:%d" % other.port)
    follow(scene, move, other)
    move.run_until_caught_up()
    follow(scene, move, again)
    again.client("INSERT INTO keyless VALUES (776);" + "FLUSH BINARY LOGS;" * 6 + "INSERT INTO keyless VALUES (777)", scene.database)
    move.run_until_caught_up()
    scene.compare(move)


def captured(move, server):
    status = move.status()
    return status and migration.contains(server, status["capture"]["position"]["gtid"], server.position())


def built_anew(scene, old, other, state):
    """A server under the old one's host, port and number, with `state` on top of the tables as they began, and a log that begins now; it replaces the other one."""
    again = servers.source_server("mariadb", "--server-id=11", "--log-slave-updates")
    again.wanted_port = old.port
    scene.own_servers.append(scene.run.start(again))
    begin = other.position()
    again.client("SET sql_log_bin = 0; CREATE DATABASE {0}; USE {0}; {1} {2}".format(scene.database, COUNTED, state))
    again.client(REPLICATE["mariadb"].format(port=other.port).replace("@@GLOBAL.gtid_binlog_pos", "'%s'" % begin))
    other.client("UPDATE counter SET n = n + 1", scene.database)
    wait_replicated(again, other)
    promote(again)
    return again


def follow(scene, move, source):
    scene.source = move.source = source
    move.settings["source.port"] = source.port
    move.write()


@hazard("H22", quick=False)
def source_dies_and_its_replica_has_all(scene):
    """The source is killed; the replica has all that we applied, and takes its place."""
    source, replica, address, move = pair(scene)
    application = Application(address.port, scene.database)
    with Background(application, 0.002):
        goes_on(application, application.done)
    wait_replicated(replica, source)
    move.wait_applied()
    source.kill()
    promote(replica)
    scene.source = move.source = replica
    with Background(application, 0.002):
        address.move(replica.port)
        goes_on(application, application.done)
    scene.catch_up_and_compare(move)
    address.close()


@hazard("H22", quick=False)
def source_dies_under_load(scene):
    """Whether the replica has received all that we read before is chance: then it is followed exactly, else refused."""
    source, replica, address, move = pair(scene)
    application = Application(address.port, scene.database)
    with Background(application, 0.001):
        goes_on(application, application.done)
        source.kill()
        address.move(1)
        wait_until(lambda: replica.value(WAITING[scene.engine]) == "0", "the replica goes on applying", 30)
        promote(replica)
        address.move(replica.port)
        goes_on(application, application.done)
    scene.source = move.source = replica
    tail = move.status()["capture"]["position"]["gtid"]
    wait_until(lambda: move.process.poll() is not None or follows_from(move, replica), "neither follows nor ends", 60)
    if move.process.poll() is None:
        scene.catch_up_and_compare(move)
    else:
        scene.expect_exit(move, 6, "CF1204")
        expect(not migration.contains(replica, replica.position(), tail) or scene.engine == "mariadb", "refused, though the replica has all of " + tail)
    address.close()


@hazard("H22", quick=False)
def promoted_replica_lacks_what_was_applied(scene):
    """It never received the last transactions, which are on the target: refused, also when it has written others since."""
    source, replica, address, move = pair(scene)
    application = Application(address.port, scene.database)
    with Background(application, 0.002):
        goes_on(application, application.done)
    wait_replicated(replica, source)
    replica.client({"mariadb": "STOP SLAVE", "mysql": "STOP REPLICA"}[scene.engine])
    scene.sql("UPDATE counter SET n = n + 1000; INSERT INTO keyless VALUES (77)")
    move.wait_applied()
    source.kill()
    promote(replica)
    before = scene.on_target("SELECT * FROM counter ORDER BY id")
    replica.client("UPDATE counter SET n = n + 1; UPDATE counter SET n = n + 1; INSERT INTO keyless VALUES (78), (79)", scene.database)
    address.move(replica.port)
    scene.expect_exit(move, 6, "lost transactions that were read.*CF1204")
    move.start()
    scene.expect_exit(move, 6, "CF1204")
    expect(scene.on_target("SELECT * FROM counter ORDER BY id") == before, "the target was changed")
    address.close()
