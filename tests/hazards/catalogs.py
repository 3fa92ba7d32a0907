"""What the source or the target says about itself and the program refuses: the statement that the text names is run, and it passes."""

import json
import os
import re

import servers
from copying import numbers
from following import started
from losing import COUNTED, count
from refusals import change, command, refusal, refused
from stage import expect, hazard, wait_until


def findings(move, blocks=None):
    """{code: finding} as check says them."""
    code, out, err = move.command("check", "--json")
    expect(code in (0, 1), "check ended with status %d\n%s%s" % (code, out, err))
    return {finding["code"]: finding for finding in json.loads(out) if blocks is None or finding["blocks"] == blocks}


def finding(move, code, object_name, found, fix):
    got = findings(move).get(code)
    expect(got, "check does not say " + code)
    for part, wanted in (("object", object_name), ("found", found), ("fix", fix)):
        expect(re.search(wanted, got[part]), "%s: %s is not '%s' in %s" % (code, part, wanted, got))
    return got


# ---- the source ---------------------------------------------------------------------------------------------------------

@hazard("refusals")
def log_is_switched_off_meanwhile(scene):
    """The source is started again without its log: refused at once, and when it has one again nothing is missing."""
    source = scene.own_source()
    move = started(scene, COUNTED)
    count(scene)
    move.wait_applied()
    move.stop()
    source.stop()
    source.binlog = False
    source.options.append("--skip-log-bin")
    source.start()
    for code, arguments in (("CF1202", []), ("CF1131", ["--until", "caught-up"])):
        parts = refused(move, 3, code, *arguments)
        expect(parts["found"] == "log_bin = OFF" and "log_bin" in parts["fix"], str(parts))
    source.stop()
    source.binlog = True
    source.options.remove("--skip-log-bin")
    source.start()
    count(scene)
    move.start()
    scene.catch_up_and_compare(move)


@hazard("refusals", "H18", quick=False)
def prepared_for_longer_than_we_wait(scene):
    """An XA transaction of another coordinator, its name not one word, holds the start: the statement ends it."""
    scene.own_source()
    scene.schema("CREATE TABLE xa_rows (id INT PRIMARY KEY); INSERT INTO xa_rows VALUES (1)")
    connection = scene.source.connect(scene.database, autocommit=True)
    cursor = connection.cursor()
    for statement in ("XA START 'it''s', 'a branch', 7", "INSERT INTO xa_rows VALUES (2)", "XA END 'it''s', 'a branch', 7", "XA PREPARE 'it''s', 'a branch', 7"):
        cursor.execute(statement)
    connection.close()
    move = scene.migration()
    parts = refused(move, 3, "CF1722")
    expect(parts["found"] == "1 prepared", str(parts))
    scene.sql(re.match("XA COMMIT [^ ]+", parts["fix"])[0])
    move.run_until_caught_up()
    scene.compare(move)


@hazard("refusals", "H18", quick=False)
def prepared_behind_our_lock(scene):
    """No moment without a prepared transaction is found: the lock cannot be had, and while it is waited for one is prepared."""
    scene.own_source()
    scene.schema("CREATE TABLE xa_rows (id INT PRIMARY KEY); CREATE TABLE held (id INT PRIMARY KEY)")
    holder = scene.source.connect(scene.database, autocommit=True).cursor()
    holder.execute("LOCK TABLES held WRITE")
    branch = scene.source.connect(scene.database, autocommit=True).cursor()
    for statement in ("XA START 'x'", "INSERT INTO xa_rows VALUES (2)", "XA END 'x'"):
        branch.execute(statement)
    move = scene.migration()
    move.start()
    wait_until(lambda: "gave up" in move.log_tail(), "our lock met nobody")
    branch.execute("XA PREPARE 'x'")
    expect(move.wait(60) == 2, move.log_tail())
    parts = refusal(move.log_tail(), "CF1726")
    expect(parts["object"] == scene.database and "start again" in parts["fix"], str(parts))
    branch.execute("XA COMMIT 'x'")
    holder.execute("UNLOCK TABLES")
    move.run_until_caught_up()
    scene.compare(move)


def account(scene, name, rights):
    """An account of the source with these rights on all, and no others."""
    password = servers.MIGRATION_PASSWORD.replace("\\", "\\\\").replace("'", "''")
    scene.source.client("CREATE USER %s@'127.0.0.1' IDENTIFIED BY '%s'; GRANT %s ON *.* TO %s@'127.0.0.1'" % (name, password, rights, name))


@hazard("refusals", engines=("mysql",))
def prepared_transactions_may_not_be_listed(scene):
    scene.own_source()
    scene.schema(COUNTED)
    account(scene, "unseeing", "SELECT, REFERENCES, RELOAD, LOCK TABLES, SHOW VIEW, REPLICATION SLAVE, REPLICATION CLIENT")
    move = scene.migration(source__user="unseeing")
    parts = refused(move, 3, "CF1725")
    expect(parts["object"] == "unseeing" and parts["found"] == "no XA_RECOVER_ADMIN", str(parts))
    scene.source.client(parts["fix"])
    move.run_until_caught_up()
    scene.compare(move)


@hazard("refusals", engines=("mysql",))
def without_gtid_and_lock_no_snapshot_has_a_place(scene):
    scene.own_source("--gtid-mode=OFF", "--enforce-gtid-consistency=OFF")
    scene.schema(COUNTED)
    account(scene, "lockless", "SELECT, REFERENCES, SHOW VIEW, REPLICATION SLAVE, REPLICATION CLIENT, XA_RECOVER_ADMIN")
    move = scene.migration(source__user="lockless", snapshot__mode="chunked")
    parts = refused(move, 3, "CF1603")
    expect((parts["object"], parts["found"]) == ("gtid_mode", "OFF"), str(parts))
    for mode in ("OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"):
        scene.source.client("SET GLOBAL enforce_gtid_consistency = ON; SET GLOBAL gtid_mode = " + mode)
    parts = refused(move, 3, "CF1727")
    expect((parts["object"], parts["found"]) == ("gtid_executed", "empty"), str(parts))
    count(scene)
    move.run_until_caught_up()
    scene.compare(move)


@hazard("refusals", engines=("mariadb",))
def table_that_the_source_cannot_open(scene):
    source = scene.own_source()
    scene.schema(COUNTED + "CREATE TABLE broken (id INT PRIMARY KEY)")
    with open(os.path.join(source.data, scene.database, "broken.frm"), "r+b") as file:
        file.write(b"not a table at all")
    scene.sql("FLUSH TABLES")
    move = scene.migration()
    parts = refusal(command(move, "check", move.config, status=5), "CF1115")
    expect(parts["object"] == scene.database + ".broken" and parts["found"], str(parts))
    scene.sql(re.search("DROP TABLE .*", parts["fix"])[0])
    move.run_until_caught_up()
    scene.compare(move)


@hazard("refusals")
def what_is_work_for_a_person(scene):
    """A view, a default and a computed column without counterpart, a key that is too long: named, and the migration works all the same."""
    scene.schema("CREATE TABLE work (id INT PRIMARY KEY, made VARCHAR(60) DEFAULT (CONCAT('x', UUID())), n INT, twice INT GENERATED ALWAYS AS (n * 2) STORED,"
                 " long_text VARCHAR(750) COLLATE {{nopad_bin}}, KEY wide (long_text)); CREATE VIEW seen AS SELECT id FROM work;"
                 "INSERT INTO work (id, n, long_text) VALUES (1, 1, 'a'), (2, 2, REPEAT('b', 700))")
    move = scene.migration()
    finding(move, "CF1715", "^view seen$", "not moved", "make it on the target")
    default = finding(move, "CF1535", r"^work\.made$", "uuid|UUID", "SET DEFAULT")
    finding(move, "CF1544", r"^work\.twice$", "n", "generated column on the target")
    long_key = finding(move, "CF1538", r"^work\.wide$", "up to 3000 bytes", r"ADD KEY \(column\(600\)\)")
    expect(not findings(move, blocks=True), "a notice blocks")
    scene.sql("ALTER TABLE work DROP KEY wide, " + re.search(r"ADD KEY .*", long_key["fix"])[0].replace("column(", "long_text("))
    expect("CF1538" not in findings(move), "the key is still too long")
    move.run_until_caught_up()
    scene.compare(move)
    scene.on_target(re.search("ALTER TABLE .* SET DEFAULT", default["fix"])[0] + " 'x' || gen_random_uuid()::text;"
                    "INSERT INTO work (tenant_id, id) VALUES ('other', 1)")
    expect(scene.on_target("SELECT length(made) FROM work WHERE tenant_id = 'other'").strip() == "37", "the default does not work")


# ---- the target ---------------------------------------------------------------------------------------------------------

@hazard("refusals")
def target_that_is_read_only(scene):
    scene.schema(COUNTED)
    scene.target.client("ALTER DATABASE %s SET default_transaction_read_only = on" % scene.target_database)
    move = scene.migration()
    parts = refusal(command(move, "check", move.config, status=3), "CF1503")
    expect(parts["found"] == "default_transaction_read_only = on" and parts["object"] == "127.0.0.1:%d" % scene.target.port, str(parts))
    expect(refused(move, 3, "CF1503") == parts, "run says something else than check")
    scene.on_target(parts["fix"])
    move.run_until_caught_up()
    scene.target.client("ALTER DATABASE %s RESET default_transaction_read_only" % scene.target_database)
    scene.compare(move)


@hazard("refusals", "H8")
def table_is_dropped_before_its_keys_are_made(scene):
    """By hand, on the target, while the migration stands still: never made anew without its rows."""
    scene.schema("CREATE TABLE parent (id INT PRIMARY KEY); CREATE TABLE child (id INT PRIMARY KEY, pid INT, FOREIGN KEY (pid) REFERENCES parent (id));"
                 "INSERT INTO parent VALUES (1); SET foreign_key_checks = 0; INSERT INTO child VALUES (1, 1), (2, 9)")
    move = scene.migration()
    move.start()
    expect(move.wait(60) == 5, "an orphan was taken\n" + move.log_tail())
    scene.sql("DELETE FROM child WHERE id = 2")
    scene.on_target("DROP TABLE child")
    parts = refused(move, 5, "CF1547")
    expect(parts["object"] == '"public"."child"' and parts["found"] == "no table" and "'crossfade abort'" in parts["fix"], str(parts))
    command(move, "abort", move.config, "--yes", status=0)
    move.run_until_caught_up()
    scene.compare(move)


@hazard("refusals", "H7")
def right_is_taken_away_during_the_copy(scene):
    """Into tables whose keys stand: what may not be switched off is never fired instead."""
    role = "fading_" + scene.database
    scene.target.client("CREATE ROLE {0} LOGIN; GRANT SET ON PARAMETER session_replication_role TO {0}; ALTER DATABASE {1} OWNER TO {0}".format(role, scene.target_database))
    scene.schema("CREATE TABLE parent (id INT PRIMARY KEY); CREATE TABLE child (id INT PRIMARY KEY, pid INT, FOREIGN KEY (pid) REFERENCES parent (id));"
                 + numbers("parent", "id", "i", 300) + numbers("child", "id, pid", "i, i", 300))
    first = scene.migration(tenant="first", target__user=role)
    first.run_until_caught_up()
    for mode in ("consistent", "chunked"):
        move = scene.migration(tenant=mode, target__user=role, snapshot__mode=mode, snapshot__chunk_rows=100)
        move.start(failpoints="chunk.commit.after=crash")
        expect(move.wait(60) == 85, "did not die at the failpoint\n" + move.log_tail())
        scene.target.client("REVOKE SET ON PARAMETER session_replication_role FROM " + role)
        parts = refused(move, 3, "CF1554")
        expect(parts["fix"] == "GRANT SET ON PARAMETER session_replication_role TO " + role, str(parts))
        scene.on_target(parts["fix"])
        move.run_until_caught_up()
        scene.compare(move)


@hazard("refusals", "H7")
def stricter_key_on_the_target(scene):
    """Named before a row breaks it; one that is looked at only at the commit stops exactly there."""
    move = started(scene, "CREATE TABLE u (id INT PRIMARY KEY, v INT); INSERT INTO u VALUES (1, 1)")
    move.wait_applied()
    move.stop()
    scene.on_target("CREATE UNIQUE INDEX strict ON u (v)")
    notice = finding(move, "CF1546", "u", r"unique index strict \(v\)", "DROP INDEX")
    scene.on_target(re.search("DROP INDEX [^;]+", notice["fix"])[0])
    expect("CF1546" not in findings(move), "the index is still named")

    scene.on_target("ALTER TABLE u ADD CONSTRAINT late UNIQUE (v) DEFERRABLE INITIALLY DEFERRED")
    notice = finding(move, "CF1546", "u", r"unique index late \(v\)", "DROP CONSTRAINT")
    scene.sql("INSERT INTO u VALUES (2, 2); INSERT INTO u VALUES (3, 1); INSERT INTO u VALUES (4, 4)")
    parts = refused(move, 5, "CF1574")
    expect("late" in move.log_tail() and "DROP CONSTRAINT" in parts["fix"], "%s\n%s" % (parts, move.log_tail()))
    expect(scene.on_target("SELECT id FROM u ORDER BY id").split() == ["1", "2"], "it did not stop behind everything before it")
    scene.on_target(re.search("ALTER TABLE .* DROP CONSTRAINT .*", notice["fix"])[0])
    move.start()
    scene.catch_up_and_compare(move)


@hazard("refusals", quick=False)
def journal_is_full_during_the_copy(scene):
    """Nothing drains it then: refused, and with a larger budget the same command goes on."""
    scene.schema("CREATE TABLE big (id INT PRIMARY KEY, b LONGBLOB); CREATE TABLE many (id INT PRIMARY KEY);" + numbers("many", "id", "i", 999) + "ANALYZE LOCAL TABLE many")
    move = scene.migration(snapshot__mode="chunked", snapshot__chunk_rows=100, snapshot__readers=1, journal__budget_mib=64)
    move.start(failpoints="chunk.commit.before=sleep:3000")
    move.wait_phase("copying")
    cursor = scene.source.connect(scene.database, autocommit=True).cursor()
    for n in range(80):
        cursor.execute("INSERT INTO big VALUES (%s, %s)", (n, os.urandom(1 << 20)))
    expect(move.wait(60) == 3, move.log_tail())
    parts = refusal(move.log_tail(), "CF1741")
    expect(parts["object"] == "journal.budget_mib" and re.fullmatch(r"\d{8,} bytes in the journal", parts["found"]), str(parts))
    change(move, journal__budget_mib=1024)
    move.run_until_caught_up()
    scene.compare(move)
