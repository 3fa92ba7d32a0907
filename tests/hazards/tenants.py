"""Several customers in the same tables, findings of check, abort, and secrets."""

import json
import os
import time

import certificates
import compare
import servers
from copying import CHUNKED, FAMILY, numbers
from stage import Background, expect, hazard, wait_until

SHARED = """
CREATE TABLE node (id INT PRIMARY KEY, up INT, v INT, FOREIGN KEY (up) REFERENCES node (id) ON DELETE CASCADE);
CREATE TABLE ring_a (id INT PRIMARY KEY, b INT);
CREATE TABLE ring_b (id INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES ring_a (id));
ALTER TABLE ring_a ADD CONSTRAINT ring FOREIGN KEY (b) REFERENCES ring_b (id);
CREATE TABLE code (id INT PRIMARY KEY, c VARCHAR(10) COLLATE {{nopad_bin}} NOT NULL, UNIQUE KEY (c));
INSERT INTO node VALUES (1, NULL, 0), (2, 1, 0), (3, 3, 0), (4, 2, 0);
INSERT INTO ring_a VALUES (1, NULL), (2, NULL);
INSERT INTO ring_b VALUES (1, 2), (2, 1);
UPDATE ring_a SET b = id;
INSERT INTO code VALUES (1, 'x'), (2, 'X');
"""


@hazard("H7")
def second_tenant_comes_to_tables_that_stand(scene):
    """Same ids, same unique values, self references and a ring; the first tenant is followed all the while."""
    second = scene.database + "_2"
    scene.schema(FAMILY + SHARED)
    scene.schema(FAMILY + SHARED, second)
    scene.schema("ALTER TABLE code ADD COLUMN extra INT; UPDATE code SET extra = id; CREATE TABLE only_here (id INT PRIMARY KEY); INSERT INTO only_here VALUES (1)", second)
    first = scene.migration(tenant="first")
    first.start()
    first.wait_phase("following")
    cursor = scene.source.connect(scene.database, autocommit=True).cursor()
    with Background(lambda: cursor.execute("UPDATE node SET v = v + 1"), 0.01):
        other = scene.migration(tenant="second", database=second)
        other.start()
        other.wait_phase("following")
        scene.sql("DELETE FROM node WHERE id = 2; DELETE FROM parent WHERE id = 2; UPDATE code SET c = 'y' WHERE id = 1; INSERT INTO code (id, c) VALUES (3, 'x')", second)
    first.wait_applied()
    other.wait_applied()
    scene.compare(first)
    scene.compare(other)
    scene.catch_up_and_compare(first)
    scene.catch_up_and_compare(other)
    code, out, err = other.command("abort", "--yes")
    expect(code == 0, "abort ended with status %d\n%s%s" % (code, out, err))
    scene.compare(first)
    for table in ("node", "code", "parent", "child"):
        expect(scene.on_target("SELECT count(*) FROM %s WHERE tenant_id = 'second'" % table).strip() == "0", "rows of an aborted tenant are left in " + table)


@hazard("H7")
def extra_column_of_one_tenant(scene):
    """Added to the shared table, or refused where the configuration says so, with the statement that mends it."""
    second = scene.database + "_2"
    scene.schema("CREATE TABLE code (id INT PRIMARY KEY); INSERT INTO code VALUES (1)")
    scene.schema("CREATE TABLE code (id INT PRIMARY KEY, extra VARCHAR(5)); INSERT INTO code VALUES (1, 'e')", second)
    first = scene.migration(tenant="first")
    first.run_until_caught_up()
    careful = scene.migration(tenant="second", database=second, target__extra_columns="stop")
    code, out, _ = careful.command("check", "--json")
    fixes = [finding["fix"] for finding in json.loads(out) if finding["code"] == "CF1539"]
    expect(code == 1 and len(fixes) == 1, "check does not name the column: %d\n%s" % (code, out))
    scene.on_target("SET ROLE %s; %s" % (servers.MIGRATION_USER, fixes[0]))
    careful.run_until_caught_up()
    scene.compare(careful)
    scene.on_target("ALTER TABLE code DROP COLUMN extra")
    other = scene.migration(tenant="third", database=second)
    other.run_until_caught_up()
    scene.compare(other)
    expect(scene.on_target("SELECT count(*) FROM code WHERE tenant_id = 'first' AND extra IS NULL").strip() == "1", "the first tenant's row is touched")


@hazard("H7", "H15", quick=False)
def second_tenant_crashes_while_it_is_copied(scene):
    second = scene.database + "_2"
    rows = numbers("code", "id, c", "i + 10, CONCAT('c', i)", 400)
    scene.schema(SHARED + rows)
    scene.schema(SHARED + rows, second)
    scene.sql("ANALYZE LOCAL TABLE code, node", second)  # the copy is cut by the server's own estimates
    first = scene.migration(tenant="first", snapshot__chunk_rows=100)
    first.run_until_caught_up()
    for hit in (1, 3, 5):
        other = scene.migration(tenant="second%d" % hit, database=second, snapshot__chunk_rows=100)
        other.start(failpoints="chunk.commit.after=crash@%d" % hit)
        expect(other.wait(60) == 85, "did not die at the failpoint\n" + other.log_tail())
        scene.compare(first)
        scene.sql("DELETE FROM node WHERE id = 2; INSERT INTO node VALUES (2, 1, 5), (4, 2, 5)", second)
        other.run_until_caught_up()
        scene.compare(other)
        scene.compare(first)


@hazard("H7", "H1", "H3", "H15")
def second_tenant_comes_chunked(scene):
    """Without one state to load, its chunks go by staging tables; it dies at every few commits of the schema's steps."""
    second = scene.database + "_2"
    rows = numbers("code", "id, c", "i + 10, CONCAT('c', i)", 400) + "CREATE TABLE keyless (a INT); INSERT INTO keyless VALUES (1), (1), (2);"
    scene.schema(FAMILY + SHARED + rows)
    scene.schema(FAMILY + SHARED + rows, second)
    first = scene.migration(tenant="first")
    first.start()
    first.wait_phase("following")
    cursor = scene.source.connect(second, autocommit=True).cursor()
    step = {"n": 0}

    def write():
        step["n"] += 1
        n = step["n"]
        for statement in ("UPDATE code SET c = 'away' WHERE id = %d" % (11 + n % 400), "UPDATE code SET c = 'c%d' WHERE id = %d" % (n % 400 + 1, 11 + (n * 7) % 400),
                          "UPDATE code SET c = CONCAT('b', id) WHERE c = 'away'", "DELETE FROM parent WHERE id = 2", "INSERT INTO parent VALUES (2, 'again')",
                          "INSERT INTO child VALUES (%d, 2, '')" % (100 + n), "INSERT INTO keyless VALUES (%d)" % (n % 5), "UPDATE node SET v = v + 1",
                          "DELETE FROM node WHERE id = 2", "INSERT INTO node VALUES (2, 1, 5)", "INSERT INTO node VALUES (4, 2, 5)"):
            try:
                cursor.execute(statement)
            except Exception as error:
                expect(error.args[0] == 1062, str(error))  # a unique value that another row has just now

    other = scene.migration(tenant="second", database=second, **CHUNKED)
    with Background(write, 0.005):
        for attempt in range(60):
            other.start(failpoints="schema.commit.%s=crash@%d" % ("after" if attempt % 2 else "before", 4 + 3 * attempt))
            wait_until(lambda: other.process.poll() is not None or (other.status() or {}).get("phase") == "following", "neither died nor followed", 60)
            if other.process.poll() is None:
                break
            expect(other.process.returncode == 85, other.log_tail())
        expect(attempt > 3, "it did not die often enough to show anything")
    expect("staging" in other.log_tail(1 << 24), "no staging tables were used")
    expect(scene.on_target("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'crossfade_staging%'").strip() == "0", "staging tables are left")
    scene.catch_up_and_compare(other)
    scene.catch_up_and_compare(first)
    third = scene.migration(tenant="third", database=second, **CHUNKED)
    third.start(failpoints="chunk.commit.after=crash@3")
    expect(third.wait(60) == 85, "did not die at the failpoint\n" + third.log_tail())
    code, out, err = third.command("abort", "--yes")
    expect(code == 0, "abort ended with status %d\n%s%s" % (code, out, err))
    expect(scene.on_target("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'crossfade_staging%'").strip() == "0", "abort left staging tables")
    scene.compare(first)


@hazard("H7", quick=False)
def migrations_begin_at_once(scene):
    """Each makes the helper schema, and tables of its own, on the same empty target."""
    databases = ["%s_%d" % (scene.database, n) for n in range(6)]
    for n, database in enumerate(databases):
        scene.schema("CREATE TABLE only_%d (id INT PRIMARY KEY, v INT, KEY (v)); INSERT INTO only_%d VALUES (1, 1)" % (n, n), database)
    for _ in range(2):
        scene.new_target_database()
        moves = [scene.migration(tenant=database, database=database) for database in databases]
        for move in moves:
            move.start()
        for move in moves:
            move.wait_phase("following")
        for move in moves:
            scene.catch_up_and_compare(move)


@hazard("H7", "H15", quick=False)
def staged_rows_move_once(scene):
    """It dies as soon as the rows of its staging tables are seen in the shared ones."""
    second = scene.database + "_2"
    for database in (scene.database, second):
        scene.schema(SHARED + "CREATE TABLE keyless (a INT); INSERT INTO keyless VALUES (1), (1), (2);", database)
    scene.migration(tenant="first").run_until_caught_up()
    other = scene.migration(tenant="second", database=second, **CHUNKED)
    other.start(failpoints="schema.commit.after=sleep:700")
    wait_until(lambda: scene.on_target("SELECT count(*) FROM keyless WHERE tenant_id = 'second'").strip() == "3", "the rows did not move", 60)
    other.kill()
    expect("staging" in other.log_tail(1 << 24), "no staging tables were used")
    other.start()
    other.wait_phase("following")
    scene.catch_up_and_compare(other)
    scene.compare(scene.moves[0])


@hazard("tenants")
def tenants_by_number_and_uuid(scene):
    scene.schema(FAMILY)
    for kind, value in (("bigint", "9223372036854775807"), ("uuid", "0b8e2e5e-2b9a-4c1b-9d0c-1f2e3d4c5b6a")):
        scene.target.create_database(scene.database)
        move = scene.migration(tenant=value, tenant__type=kind, tenant__column="customer")
        move.run_until_caught_up()
        report = compare.Comparison(scene.source, scene.database, scene.target, scene.database, tenant_column="customer", tenant_value=value).run()
        expect(report.equal, str(report))


@hazard("tenants")
def mode_none_has_no_tenant_column(scene):
    scene.schema(FAMILY + "CREATE TABLE keyless (a INT); INSERT INTO keyless VALUES (1), (1)")
    move = scene.migration(tenant=None)
    move.start()
    move.wait_phase("following")
    scene.sql("UPDATE parent SET id = 20 WHERE id = 2; DELETE FROM parent WHERE id = 1; INSERT INTO keyless VALUES (2)")
    scene.catch_up_and_compare(move)


@hazard("H8")
def foreign_keys_that_cannot_stand(scene):
    """Orphans in the source: refused, or followed without a foreign key that only seems to hold."""
    scene.schema(FAMILY + """
        CREATE TABLE orphan (id INT PRIMARY KEY, pid INT, FOREIGN KEY (pid) REFERENCES parent (id) ON DELETE CASCADE);
        SET foreign_key_checks = 0; INSERT INTO orphan VALUES (1, 999), (2, 2);""")
    move = scene.migration()
    move.start()
    deadline = time.monotonic() + 60
    while move.process.poll() is None and (move.status() or {}).get("phase") != "following":
        expect(time.monotonic() < deadline, "neither refused nor followed")
        time.sleep(0.1)
    if move.process.poll() is not None:
        expect(move.process.returncode in (1, 5) and "orphan" in move.log_tail(), move.log_tail())
        return
    expect(scene.on_target("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND NOT convalidated").strip() == "0", "a foreign key was never validated")
    scene.sql("DELETE FROM parent WHERE id = 2; DELETE FROM parent WHERE id = 1")
    scene.catch_up_and_compare(move)


@hazard("H8")
def set_null_beside_a_tenant_column(scene):
    """The action must leave the tenant column, which is part of the foreign key there, as it is."""
    scene.schema(FAMILY + """
        CREATE TABLE weak (id INT PRIMARY KEY, pid INT, FOREIGN KEY (pid) REFERENCES parent (id) ON DELETE SET NULL);
        INSERT INTO weak VALUES (1, 1), (2, 2), (3, 2);""")
    moves = [scene.migration(tenant=tenant) for tenant in ("first", "second")]
    for move in moves:
        move.start()
        move.wait_phase("following")
    scene.sql("DELETE FROM parent WHERE id = 2; UPDATE weak SET pid = 3 WHERE id = 3; DELETE FROM parent WHERE id = 1")
    for move in moves:
        scene.catch_up_and_compare(move)


@hazard("H13")
def keys_that_ignore_case_are_a_finding(scene):
    """'a' and 'A' are one key on the source and two on the target."""
    scene.schema("CREATE TABLE folded (k VARCHAR(10) PRIMARY KEY, v INT); INSERT INTO folded VALUES ('a', 1)")
    move = scene.migration()
    code, out, err = move.command("check")
    expect(code == 1 and "folded" in out, "check ended with status %d and does not name the table\n%s%s" % (code, out, err))
    move.start()
    expect(move.wait(60) in (1, 3), "run did not refuse\n" + move.log_tail())
    move.settings["types.text_keys"] = "exact"
    move.write()
    move.start()
    move.wait_phase("following")
    scene.sql("UPDATE folded SET k = 'A' WHERE k = 'a'; INSERT INTO folded VALUES ('b', 2); UPDATE folded SET v = 3 WHERE k = 'B'; DELETE FROM folded WHERE k = 'a'")
    scene.catch_up_and_compare(move)


@hazard("check")
def check_says_what_is_missing(scene):
    """A source without row format or binary log, an account without rights: each named, with a fix."""
    scene.own_source(binlog=False) if scene.engine == "mariadb" else scene.own_source("--skip-log-bin", binlog=False)
    scene.schema(FAMILY)
    move = scene.migration()
    code, out, err = move.command("check")
    expect(code in (1, 3) and ("log_bin" in out + err or "log-bin" in out + err or "binary log" in out + err), "status %d\n%s%s" % (code, out, err))


@hazard("check")
def rights_that_the_target_account_lacks(scene):
    """Each is named with the statement that grants it; when these were run, and nothing else, the migration works."""
    scene.schema(FAMILY)
    first = scene.migration(tenant="first")
    first.run_until_caught_up()
    for fresh in (True, False):
        if fresh:
            scene.new_target_database()
            scene.target.client("ALTER DATABASE %s OWNER TO postgres; REVOKE ALL ON DATABASE %s FROM PUBLIC; GRANT CONNECT ON DATABASE %s TO PUBLIC"
                                % ((scene.target_database,) * 3))
        else:
            scene.target_database = scene.database
        user = "modest_%s_%d" % (scene.database, fresh)
        scene.target.client("CREATE ROLE %s LOGIN" % user)
        move = scene.migration(tenant="second", target__user=user)
        move.start()
        scene.expect_exit(move, 3, "permission denied.*fix: GRANT|CF1710.*GRANT")
        met = set()
        for _ in range(4):
            code, out, err = move.command("check", "--json")
            findings = [finding for finding in json.loads(out) if finding["code"].startswith("CF156")]
            met.update(finding["code"] for finding in findings)
            for finding in findings:
                scene.on_target(finding["fix"])
            if not findings:
                break
        expect(code == 0 and not findings, "status %d\n%s%s" % (code, out, err))
        expect(met == ({"CF1563", "CF1564", "CF1566"} if fresh else {"CF1563", "CF1564", "CF1565", "CF1566"}), "met were " + str(met))
        move.run_until_caught_up()
        scene.compare(move)


@hazard("check")
def what_stands_on_the_target_is_refused_and_mended(scene):
    """A rule, policies, a column that is too strict or of another type: nothing is applied until the statement that check names was run."""
    scene.schema("CREATE TABLE code (id INT PRIMARY KEY, a INT, b INT)")
    scene.schema("CREATE TABLE code (id INT PRIMARY KEY, a INT, b BIGINT); INSERT INTO code VALUES (1, NULL, 1)", scene.database + "_2")
    first = scene.migration(tenant="first")
    first.run_until_caught_up()
    scene.on_target("CREATE RULE silent AS ON INSERT TO code DO INSTEAD NOTHING; ALTER TABLE code ALTER COLUMN a SET NOT NULL;"
                    "ALTER TABLE code ENABLE ROW LEVEL SECURITY; ALTER TABLE code FORCE ROW LEVEL SECURITY")
    move = scene.migration(tenant="second", database=scene.database + "_2")
    move.start()
    scene.expect_exit(move, 1, "CF1561")
    # The role is the whole server's, and the mending statement stays with it.
    scene.on_target("ALTER ROLE %s NOBYPASSRLS" % servers.MIGRATION_USER)
    code, out, _ = move.command("check", "--json")
    blockers = {finding["code"]: finding["fix"] for finding in json.loads(out) if finding["blocks"]}
    expect(code == 1 and sorted(blockers) == ["CF1531", "CF1533", "CF1561", "CF1562"], "status %d, %s" % (code, blockers))
    for fix in blockers.values():
        scene.on_target(fix)
    move.run_until_caught_up()
    scene.compare(move)


@hazard("check")
def good_migration_passes_check(scene):
    scene.schema(FAMILY)
    move = scene.migration()
    code, out, err = move.command("check")
    expect(code == 0, "status %d\n%s%s" % (code, out, err))
    expect(scene.on_target("SELECT count(*) FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')").strip() == "0",
           "check changed the target")


@hazard("secrets")
def passwords_are_never_shown(scene):
    scene.schema(FAMILY)
    move = scene.migration(log__level="debug")
    texts = []
    for command in (["check"], ["status"], ["status", "--json"]):
        texts += move.command(*command)[1:]
    move.run_until_caught_up()
    move.environment["CROSSFADE_TEST_PASSWORD"] = "wrong-" + servers.MIGRATION_PASSWORD
    move.start()
    expect(move.wait(60) in (2, 3), "a wrong password ended with\n" + move.log_tail())
    texts.append(move.log_tail(10**7))
    for directory, _, files in os.walk(move.directory):
        for name in files:
            with open(os.path.join(directory, name), "rb") as file:
                texts.append(file.read().decode("utf-8", "replace"))
    for text in texts:
        expect("fade \\pw" not in text, "the password is shown:\n" + text[:2000])
    expect(os.stat(move.state_directory).st_mode & 0o077 == 0, "the state directory can be read by others")


@hazard("tenants")
def another_tenant_value_is_refused(scene):
    """A copied file, or a slip of the pen: rows would go to another tenant, and abort would take that one's rows away."""
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)")
    ours, theirs = scene.migration(tenant="acme"), scene.migration(tenant="beta")
    ours.run_until_caught_up()
    theirs.run_until_caught_up()
    ours.settings["tenant.value"] = "beta"
    ours.write()
    scene.sql("INSERT INTO t VALUES (2)")
    ours.start("--until", "caught-up")
    scene.expect_exit(ours, 3, "begun for tenant 'acme', not for 'beta'.*CF1559.*fix: set tenant.value")
    code, _, err = ours.command("abort", "--yes")
    expect(code == 3 and "CF1559" in err, "abort ended with status %d\n%s" % (code, err))
    rows = scene.on_target("SELECT tenant_id || id FROM t ORDER BY 1").split()
    expect(rows == ["acme1", "beta1"], "rows were changed: %s" % rows)
    ours.settings["tenant.value"] = "acme"
    ours.write()
    ours.run_until_caught_up()
    theirs.run_until_caught_up()
    scene.compare(ours)
    scene.compare(theirs)


@hazard("tenants", "check")
def a_table_that_is_left_out_later_is_refused(scene):
    """Its changes would be passed by, and be missing for good when it is taken in again."""
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE u (id INT PRIMARY KEY); CREATE TABLE x (id INT PRIMARY KEY)")
    move = scene.migration(tables__exclude=["x"])
    move.run_until_caught_up()
    move.settings["tables.exclude"] = ["x", "u"]
    move.write()
    scene.sql("INSERT INTO u VALUES (1)")
    move.start("--until", "caught-up")
    scene.expect_exit(move, 3, "table u belongs to this migration.*CF1729.*fix: put .tables. back")
    move.settings["tables.exclude"] = ["x"]
    move.write()
    move.run_until_caught_up()
    expect(scene.on_target("SELECT id FROM u").split() == ["1"], "the row is not there")
    move.start()
    move.wait_phase("following")
    scene.sql("RENAME TABLE x TO y; INSERT INTO y VALUES (1)")
    scene.expect_exit(move, 5, "table y.*CF1742")


@hazard("tenants", "check")
def a_table_that_is_taken_in_later_is_refused(scene):
    """Its rows of before were never copied, and its changes were passed by."""
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE x (id INT PRIMARY KEY); INSERT INTO x VALUES (1)")
    move = scene.migration(tables__exclude=["x"])
    move.run_until_caught_up()
    move.settings["tables.exclude"] = []
    move.write()
    for statement in ("INSERT INTO t VALUES (1)", "INSERT INTO x VALUES (2)"):
        scene.sql(statement)
        move.start("--until", "caught-up")
        scene.expect_exit(move, 3, "table x does not belong to this migration.*CF1718.*fix: leave it out: add .x. to exclude")
    move.settings["tables.exclude"] = ["x"]
    move.write()
    move.run_until_caught_up()
    expect(scene.on_target("SELECT id FROM t").split() == ["1"], "the row is not there")
    # One that comes later stops it where it comes, and may be left out then.
    scene.sql("CREATE TABLE z (id INT PRIMARY KEY); INSERT INTO z VALUES (1); INSERT INTO t VALUES (2)")
    move.start("--until", "caught-up")
    move.wait(60)
    expect(move.process.returncode in (3, 5), "the new table was passed by\n" + move.log_tail())
    move.settings["tables.exclude"] = ["x", "z"]
    move.write()
    move.run_until_caught_up()
    expect(scene.on_target("SELECT id FROM t ORDER BY id").split() == ["1", "2"], "the row is not there")


@hazard("abort")
def abort_leaves_nothing(scene):
    scene.schema(FAMILY + SHARED)
    move = scene.migration()
    move.start()
    move.wait_phase("following")
    code, out, err = move.command("abort", "--yes")
    expect(code == 4, "abort beside a running program ended with status %d\n%s%s" % (code, out, err))
    move.stop()
    code, out, err = move.command("abort", "--yes")
    expect(code == 0, "abort ended with status %d\n%s%s" % (code, out, err))
    left = scene.on_target("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'").split()
    expect(left == [], "tables are left: %s" % left)
    move.start()
    move.wait_phase("following")
    scene.catch_up_and_compare(move)


@hazard("tls", "secrets")
def tls_asked_for_is_tls_proven(scene):
    """Verified on both sides; another authority is refused, and so is a server that would talk in clear."""
    directory = scene.run.subdirectory("certificates")
    authority = certificates.Authority(directory)
    stranger = certificates.Authority(directory, "another authority")
    plain_source, plain_target = scene.source, scene.target
    certificate, key = authority.server("source", servers.source_server(scene.engine).account())
    scene.own_source("--ssl-ca=" + authority.path, "--ssl-cert=" + certificate, "--ssl-key=" + key)
    certificate, key = authority.server("target", servers.Postgres().account())
    scene.own_target("-c", "ssl=on", "-c", "ssl_cert_file=" + certificate, "-c", "ssl_key_file=" + key)
    scene.target.client("ALTER SYSTEM SET log_connections = on")
    scene.schema(FAMILY)
    scene.sql("ALTER USER %s@'127.0.0.1' REQUIRE SSL" % servers.MIGRATION_USER)
    verified = dict(source__tls="verify", source__tls_ca=authority.path, target__tls="verify", target__tls_ca=authority.path)
    move = scene.migration(**verified)
    move.start()
    move.wait_phase("following")
    clear = scene.target.value("SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = '%s' AND NOT ssl"
                               % servers.MIGRATION_USER)
    expect(clear == "0", "%s connections to the target are in clear" % clear)
    scene.sql("INSERT INTO parent VALUES (9, 'tls')")
    scene.catch_up_and_compare(move)
    for change in ({"source__tls_ca": stranger.path}, {"target__tls_ca": stranger.path}):
        other = scene.migration(tenant="other", **dict(verified, **change))
        other.start()
        status = other.wait(60)
        expect(status in (2, 3), "a certificate of another authority: status %d\n%s" % (status, other.log_tail()))
    secure = scene.migration(tenant="required", source__tls="required", target__tls="required")
    secure.run_until_caught_up()
    scene.compare(secure)
    if scene.engine == "mariadb":
        scene.source = plain_source
        clear = scene.migration(tenant="clear", database="mysql", **dict(verified, source__tls="required"))
        clear.start()
        status = clear.wait(60)
        expect(status in (2, 3) and "TLS" in clear.log_tail(), "a source without TLS: status %d\n%s" % (status, clear.log_tail()))
        scene.source = scene.own_servers[0]
    scene.target = plain_target
    clear = scene.migration(tenant="clear", **verified)
    clear.start()
    status = clear.wait(60)
    expect(status in (2, 3), "a target without TLS: status %d\n%s" % (status, clear.log_tail()))
    scene.target = scene.own_servers[1]
