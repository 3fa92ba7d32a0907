"""Hazards while following the log: order, cascades, doubt about commits, and what must stop."""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time

import servers
from copying import FAMILY, numbers
import stage
from stage import Background, expect, hazard, wait_until


def started(scene, script, **settings):
    scene.schema(script)
    move = scene.migration(**settings)
    move.start()
    move.wait_phase("following")
    return move


@hazard("H12")
def cascades_and_changes_of_what_they_reach(scene):
    """A storm of deletes, returns and key changes over three levels; batches must neither fold nor reorder them."""
    move = started(scene, """
        CREATE TABLE p (id INT PRIMARY KEY, v INT);
        CREATE TABLE c (id INT PRIMARY KEY, pid INT, v INT, FOREIGN KEY (pid) REFERENCES p (id) ON DELETE CASCADE ON UPDATE CASCADE);
        CREATE TABLE g (id INT PRIMARY KEY, cid INT, v INT, FOREIGN KEY (cid) REFERENCES c (id) ON DELETE CASCADE ON UPDATE CASCADE);
        CREATE TABLE s (id INT PRIMARY KEY, pid INT, boss INT, FOREIGN KEY (pid) REFERENCES p (id) ON DELETE SET NULL,
          FOREIGN KEY (boss) REFERENCES s (id) ON DELETE CASCADE);
        """)
    rng = random.Random(scene.database)
    statements = []
    for _ in range(600):
        i, j, k = rng.randint(1, 12), rng.randint(1, 30), rng.randint(1, 60)
        statements += rng.choice([
            ["DELETE FROM p WHERE id = %d" % i], ["INSERT IGNORE INTO p VALUES (%d, 0)" % i],
            ["INSERT IGNORE INTO c VALUES (%d, %d, 0)" % (j, i)], ["INSERT IGNORE INTO g VALUES (%d, %d, 0)" % (k, j)],
            ["UPDATE g SET v = v + 1 WHERE cid = %d" % j], ["UPDATE c SET v = v + 1, pid = %d WHERE id = %d AND EXISTS (SELECT 1 FROM p WHERE id = %d)" % (i, j, i)],
            ["UPDATE IGNORE p SET id = %d WHERE id = %d" % (i + 3, i)], ["UPDATE IGNORE c SET id = %d WHERE id = %d" % (j + 5, j)],
            ["DELETE FROM c WHERE id = %d" % j], ["INSERT IGNORE INTO s VALUES (%d, %d, NULL)" % (k, i)],
            ["INSERT IGNORE INTO s VALUES (%d, NULL, %d)" % (k, j)], ["DELETE FROM s WHERE id = %d" % k],
            ["BEGIN", "DELETE FROM p WHERE id = %d" % i, "INSERT IGNORE INTO p VALUES (%d, 7)" % i, "INSERT IGNORE INTO c VALUES (%d, %d, 7)" % (j, i), "COMMIT"]])
    scene.sql(";\n".join(statements))
    # And by themselves, where nothing else in the batch could show that something is wrong.
    for n in (900, 910):
        scene.sql("INSERT INTO p VALUES (%d, 0); INSERT INTO c VALUES (%d, %d, 0); INSERT INTO g VALUES (%d, %d, 0)" % ((n,) * 5))
    move.wait_applied()
    scene.sql("UPDATE p SET id = 901 WHERE id = 900; UPDATE c SET id = 901 WHERE id = 900; BEGIN; DELETE FROM p WHERE id = 910; INSERT INTO p VALUES (910, 7); COMMIT")
    scene.catch_up_and_compare(move)


@hazard("H13")
def unique_values_change_hands_in_one_batch(scene):
    move = started(scene, "CREATE TABLE u (id INT PRIMARY KEY, a INT, b VARCHAR(9) COLLATE {{nopad_bin}}, UNIQUE KEY (a), UNIQUE KEY (b, a));"
                   + numbers("u", "id, a, b", "i, i, 'x'", 40))
    rng = random.Random(scene.database)
    statements = []
    for n in range(500):
        i, j = rng.randint(1, 40), rng.randint(1, 40)
        statements += rng.choice([
            ["BEGIN", "UPDATE u SET a = NULL WHERE id = %d" % i, "UPDATE IGNORE u SET a = %d WHERE id = %d" % (i, j), "COMMIT"],
            ["UPDATE IGNORE u SET a = %d WHERE id = %d" % (j, i)], ["DELETE FROM u WHERE id = %d" % i],
            ["INSERT IGNORE INTO u VALUES (%d, %d, 'y')" % (i, j)], ["REPLACE INTO u VALUES (%d, %d, 'z')" % (i, j)],
            ["UPDATE IGNORE u SET id = %d WHERE id = %d" % (i, j)], ["UPDATE u SET b = 'q%d' WHERE id = %d" % (n % 7, i)]])
    scene.sql(";\n".join(statements))
    scene.catch_up_and_compare(move)


@hazard("H11")
def triggers_of_the_source_count_once(scene):
    """The effects of a trigger are in the log; a trigger on the target must not add its own."""
    move = started(scene, """
        CREATE TABLE t (id INT PRIMARY KEY, v INT);
        CREATE TABLE audit (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(20));
        CREATE TRIGGER t_i AFTER INSERT ON t FOR EACH ROW INSERT INTO audit (what) VALUES (CONCAT('new ', NEW.id));
        CREATE TRIGGER t_u BEFORE UPDATE ON t FOR EACH ROW SET NEW.v = NEW.v + 1000;
        INSERT INTO t VALUES (1, 1);""")
    scene.sql("INSERT INTO t VALUES (2, 2); UPDATE t SET v = 5 WHERE id = 1")
    scene.catch_up_and_compare(move)


@hazard("H11")
def trigger_on_the_target(scene):
    """It must not fire for applied rows: refused, until it is disabled, or made so that it lets our rows pass."""
    move = started(scene, "CREATE TABLE t (id INT PRIMARY KEY, v INT); CREATE TABLE audit (id INT PRIMARY KEY); INSERT INTO t VALUES (1, 1)")
    move.wait_applied()
    move.stop()
    make = "CREATE TRIGGER fires AFTER INSERT ON t FOR EACH ROW %s EXECUTE FUNCTION fire();"
    scene.on_target("CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit (tenant_id, id) VALUES ('acme', NEW.id);"
                    " RETURN NEW; END $$; " + make % "")
    scene.sql("INSERT INTO t VALUES (2, 2)")
    move.start()
    scene.expect_exit(move, 1, "CF1560.*trigger fires")
    expect(scene.on_target("SELECT count(*) FROM audit").strip() == "0", "the trigger fired")
    code, out, _ = move.command("check")
    expect(code == 1 and "CF1560" in out, "check does not name the trigger: %d\n%s" % (code, out))
    fix = re.search(r"WHEN \(.*?'on'\)", out)
    expect(fix, out)
    scene.on_target("DROP TRIGGER fires ON t; " + make % fix.group(0))
    move.start()
    move.wait_applied()
    scene.on_target("INSERT INTO t (tenant_id, id, v) VALUES ('other', 7, 7)")
    expect(scene.on_target("SELECT id FROM audit").split() == ["7"], "the trigger does not fire for its own application")
    scene.on_target("DELETE FROM audit; DROP TRIGGER fires ON t; " + make % "" + "ALTER TABLE t DISABLE TRIGGER fires")
    scene.sql("INSERT INTO t VALUES (3, 3)")
    scene.catch_up_and_compare(move)


@hazard("H20", quick=False)
def connections_are_cut_under_load(scene):
    """Sessions on both sides are ended over and over, above all while they commit."""
    move = started(scene, "CREATE TABLE n (id INT AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL); CREATE TABLE keyless (v INT);")
    connection = scene.source.connect(scene.database, autocommit=True)
    cursor = connection.cursor()
    administrator = scene.source.connect(autocommit=True).cursor()
    rng = random.Random(scene.database)

    def write():
        cursor.execute("INSERT INTO n (v) VALUES (1), (2), (3)")
        cursor.execute("UPDATE n SET v = v + 1 ORDER BY id DESC LIMIT 20")
        cursor.execute("INSERT INTO keyless VALUES (1)")
        cursor.execute("DELETE FROM n ORDER BY id LIMIT 2")

    def cut():
        scene.target.client("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '%s' AND datname = '%s'"
                            % (servers.MIGRATION_USER, scene.database))
        time.sleep(rng.random() * 0.4)
        if rng.random() < 0.4:
            administrator.execute("SELECT id FROM information_schema.processlist WHERE user = %s", (servers.MIGRATION_USER,))
            for identity, in administrator.fetchall():
                try:
                    administrator.execute("KILL %s", (identity,))
                except Exception:
                    pass  # it has ended by itself

    with Background(write), Background(cut, 0.2):
        time.sleep(8)
    move.wait_applied(timeout_s=180)
    expect(move.status()["apply"]["divergences"] == 0, "divergences were met")
    scene.catch_up_and_compare(move)


@hazard("H20", quick=False)
def servers_are_killed_under_load(scene):
    """kill -9 of target and source; both come back on the same port."""
    scene.own_source("--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1")
    scene.own_target("-c", "fsync=on", "-c", "full_page_writes=on")
    move = started(scene, "CREATE TABLE n (id INT AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL); CREATE TABLE keyless (v INT);")
    for victim in (scene.target, scene.source, scene.target):
        connection = scene.source.connect(scene.database, autocommit=True)
        cursor = connection.cursor()

        def write():
            cursor.execute("INSERT INTO n (v) VALUES (1), (2), (3)")
            cursor.execute("INSERT INTO keyless VALUES (1)")
            cursor.execute("UPDATE n SET v = v + 1 ORDER BY id DESC LIMIT 20")

        writer = Background(write)
        writer.start()
        time.sleep(1.5)
        if victim is scene.source:
            writer.stopping = True
            time.sleep(0.1)
        victim.restart(hard=True)
        time.sleep(1)
        writer.stopping = True
        writer.join(10)
    move.wait_applied(timeout_s=180)
    scene.catch_up_and_compare(move)


@hazard("H20")
def second_process_is_refused(scene):
    """Two programs for one migration, with the same and with another state directory."""
    move = started(scene, "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)", target__takeover_grace_ms=3000)
    other = scene.migration(target__takeover_grace_ms=3000, name=move.name)
    other.start()
    scene.expect_exit(other, 4, "process %d" % move.process.pid)
    same = scene.migration(target__takeover_grace_ms=3000, name=move.name, state_dir=move.state_directory)
    same.start()
    scene.expect_exit(same, 4, "process|in use")
    scene.sql("INSERT INTO t VALUES (2)")
    scene.catch_up_and_compare(move)


@hazard("H20")
def stopped_process_comes_back_after_it_was_replaced(scene):
    """Its virtual machine stands still; another takes over; the first must commit nothing any more."""
    move = started(scene, "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT); CREATE TABLE keyless (v INT);", target__takeover_grace_ms=1500)
    os.killpg(move.process.pid, signal.SIGSTOP)
    scene.sql("INSERT INTO keyless VALUES (1), (1)")  # nothing on the target refuses them a second time
    heir_state = os.path.join(scene.run.directory, scene.database + "-heir")
    shutil.copytree(move.state_directory, heir_state)
    heir = scene.migration(name=move.name, state_dir=heir_state, target__takeover_grace_ms=1500)
    heir.start()
    try:
        heir.wait_phase("following")
        scene.sql("INSERT INTO keyless VALUES (3); INSERT INTO t (v) VALUES (3)")
        heir.wait_applied()
        # Its heart would tell it at once. What it applies must not depend on who is faster.
        held = scene.target.connect(scene.target_database)
        held.cursor().execute("LOCK TABLE crossfade.heartbeat")
    finally:
        os.killpg(move.process.pid, signal.SIGCONT)
    time.sleep(4)
    held.close()
    scene.expect_exit(move, 4, "CF1502|epoch|taken over")
    scene.sql("INSERT INTO t (v) VALUES (4); INSERT INTO keyless VALUES (4)")
    scene.catch_up_and_compare(heir)


@hazard("H19")
def schema_change_is_not_guessed(scene):
    """Rows written before it are applied, then the migration stops and says what changed, or follows the change."""
    move = started(scene, "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1)")
    scene.sql("INSERT INTO t VALUES (2, 2); ALTER TABLE t ADD COLUMN w INT DEFAULT 5; INSERT INTO t VALUES (3, 3, 3)")
    wait_until(lambda: move.process.poll() is not None or scene.on_target("SELECT count(*) FROM t WHERE id = 3").strip() == "1", "neither stopped nor followed")
    if move.process.poll() is None:
        scene.catch_up_and_compare(move)
    else:
        scene.expect_exit(move, 5, r"ALTER TABLE|schema|column")
        expect(scene.on_target("SELECT count(*) FROM t").strip() == "2", "what came before the change is not all applied")


@hazard("H19")
def what_was_read_before_a_schema_change_waits_for_a_slow_target(scene):
    """The change is read while the target still keeps us waiting: what was written before it is applied all the same, then the migration stops."""
    move = started(scene, "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1)")
    with contextlib.closing(scene.target.connect(scene.target_database)) as held:
        held.cursor().execute("LOCK TABLE t")
        scene.sql("INSERT INTO t VALUES (2, 2); INSERT INTO t VALUES (3, 3); ALTER TABLE t ADD COLUMN w INT DEFAULT 5; INSERT INTO t VALUES (4, 4, 4)")
        wait_until(lambda: "CF1742" in move.log_tail(3000), "the change is not said while the target keeps us waiting")
    scene.expect_exit(move, 5, "CF1742")
    expect(scene.on_target("SELECT count(*) FROM t").strip() == "3", "what came before the change is not all applied")


@hazard("H19", quick=False)
def a_stop_while_what_was_read_is_applied_is_a_stop(scene):
    """Told to stop while the target keeps us waiting before a schema change: it stops as told. The next run applies the rest, and says what changed."""
    move = started(scene, "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1)")
    with contextlib.closing(scene.target.connect(scene.target_database)) as held:
        held.cursor().execute("LOCK TABLE t")
        scene.sql("INSERT INTO t VALUES (2, 2); ALTER TABLE t ADD COLUMN w INT DEFAULT 5")
        wait_until(lambda: "CF1742" in move.log_tail(3000), "the change is not said while the target keeps us waiting")
        os.kill(move.process.pid, signal.SIGTERM)
        expect(move.wait() == 0, "a stop is not told by its status\n" + move.log_tail())
    move.start()
    scene.expect_exit(move, 5, "CF1742")
    expect(scene.on_target("SELECT count(*) FROM t").strip() == "2", "what came before the change is not all applied")


@hazard("H19")
def columns_change_places(scene):
    """The rows do not show it, where the log names no columns: only the statement tells."""
    scene.own_source("--binlog-row-metadata=MINIMAL")
    move = started(scene, "CREATE TABLE pair (id INT PRIMARY KEY, a INT, b INT); INSERT INTO pair VALUES (1, 10, 20)")
    scene.sql("UPDATE pair SET a = 11; ALTER TABLE pair MODIFY a INT AFTER b; INSERT INTO pair (id, a, b) VALUES (2, 12, 22)")
    scene.expect_exit(move, 5, "ALTER TABLE pair.*CF1742|CF1742.*ALTER TABLE pair")
    expect(scene.on_target("SELECT id, a, b FROM pair").split() in (["1", "11", "20"], ["1", "10", "20"]), "rows were read with the shape of before")


def older_copy_comes_back(scene, source, script):
    """The server's data directory is put back as it was before `script`."""
    source.stop()
    subprocess.run(["cp", "-a", source.data, source.data + "-old"], check=True)
    source.start()
    scene.sql(script)
    scene.moves[0].wait_applied(timeout_s=60)
    source.kill()
    shutil.rmtree(source.data)
    os.rename(source.data + "-old", source.data)


@hazard("H22")
def source_that_lost_transactions(scene):
    """What we have applied is not in the source's log any more."""
    source = scene.own_source()
    move = started(scene, "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1)")
    older_copy_comes_back(scene, source, "INSERT INTO t VALUES (2, 2); INSERT INTO t VALUES (3, 3)")
    source.start()
    scene.expect_exit(move, 6, "lost|contain|not in|has not|ahead")


@hazard("H22")
def source_used_a_position_again(scene):
    """What we have applied was lost, and its GTID stands for something else now."""
    source = scene.own_source()
    move = started(scene, "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1)")
    older_copy_comes_back(scene, source, "INSERT INTO t VALUES (2, 2)")
    time.sleep(1.1)  # files are told apart by the second in which they were begun
    move.kill()
    source.start()
    scene.sql("INSERT INTO t VALUES (3, 3); INSERT INTO t VALUES (4, 4)")
    move.start()
    scene.expect_exit(move, 6, "lost|contain|not in|has not|other")


@hazard("H22")
def log_is_purged_while_we_are_away(scene):
    source = scene.own_source()
    move = started(scene, "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1)")
    move.wait_applied()
    move.stop()
    scene.sql("INSERT INTO t VALUES (2, 2); FLUSH BINARY LOGS; INSERT INTO t VALUES (3, 3); FLUSH BINARY LOGS; INSERT INTO t VALUES (4, 4)")
    source.restart()  # ends the server's side of our connection, which would hold the file
    last = source.rows("SHOW BINARY LOGS")[-1][0]
    source.client("PURGE BINARY LOGS TO '%s'" % last)
    expect(len(source.rows("SHOW BINARY LOGS")) == 1, "the server kept its logs, so nothing is tested")
    move.start()
    status = move.wait(60)
    expect(status in (3, 6) and "purged" in move.log_tail(), "ended with status %d\n%s" % (status, move.log_tail()))


def digests(scene):
    """What each side holds of `large`, by its own functions; the rows are too many to fetch."""
    source = scene.sql("SET SESSION group_concat_max_len = 1 << 30; SELECT COUNT(*), SHA2(GROUP_CONCAT(SHA2(filler, 256) ORDER BY id), 256) FROM large")
    target = scene.on_target("SELECT count(*) || E'\\t' || encode(sha256(string_agg(encode(sha256(filler), 'hex'), ',' ORDER BY id)::bytea), 'hex') FROM large")
    return source.split(), target.split()


@hazard("H24", quick=False)
def transaction_larger_than_every_buffer(scene):
    """Its parts reach the journal before its end, memory does not grow with it, and a crash in between must not leave half of it."""
    row_bytes, wanted = 4096, stage.LARGE_MIB << 20
    scene.own_source()
    move = started(scene, "CREATE TABLE large (id INT PRIMARY KEY, filler VARBINARY(4096) NOT NULL); CREATE TABLE seed (id INT PRIMARY KEY);"
                   + numbers("seed", "id", "i", 1024))
    random_kib = "RANDOM_BYTES(1024)"
    scene.sql("INSERT INTO large SELECT (a.id - 1) * 1024 + b.id, CONCAT(%s) FROM seed a JOIN seed b WHERE a.id <= %d"
              % (", ".join([random_kib] * 4), wanted // row_bytes // 1024))
    move.wait_applied(timeout_s=60 + stage.LARGE_MIB)
    source, target = digests(scene)
    expect(source == target, "source and target differ: %s and %s" % (source, target))
    peak = stage.peak_mib(move.process.pid)
    print("%s: a transaction of %d MiB was followed in %d MiB of memory" % (scene.engine, stage.LARGE_MIB, peak), flush=True)
    expect(peak < 300, "a transaction of %d MiB took %d MiB of memory" % (stage.LARGE_MIB, peak))
    move.kill()
    move.start(failpoints="journal.part.after=crash@2")
    scene.sql("UPDATE large SET filler = CONCAT('y', SUBSTR(filler, 2)) WHERE id <= 10240; DELETE FROM large WHERE id % 3 = 0 AND id <= 20480")
    move.wait(120)
    move.start()
    move.wait_phase("following")
    move.wait_applied()
    source, target = digests(scene)
    expect(source == target, "source and target differ after a crash: %s and %s" % (source, target))
    status = move.stop()
    expect(status == 0, "stopping ended with status %d\n%s" % (status, move.log_tail()))


@hazard("H9")
def rows_written_without_foreign_key_checks(scene):
    """Parents that were deleted, came back or were emptied without their children: what the source did not cascade stays on the target."""
    move = started(scene, FAMILY + "CREATE TABLE emptied (id INT PRIMARY KEY); CREATE TABLE kept (id INT PRIMARY KEY, eid INT,"
                   " FOREIGN KEY (eid) REFERENCES emptied (id) ON DELETE CASCADE); INSERT INTO emptied VALUES (1), (2); INSERT INTO kept VALUES (1, 1), (2, 2);")
    scene.sql("SET foreign_key_checks = 0; DELETE FROM parent WHERE id = 2; INSERT INTO parent VALUES (2, 'back')")
    scene.sql("SET foreign_key_checks = 0; BEGIN; UPDATE parent SET id = 30 WHERE id = 3; UPDATE parent SET id = 3 WHERE id = 30; COMMIT")
    scene.sql("SET foreign_key_checks = 0; TRUNCATE emptied; INSERT INTO emptied VALUES (1), (2)")
    scene.sql("DELETE FROM parent WHERE id = 1")  # with checks: its children go too
    scene.catch_up_and_compare(move)
    expect(scene.on_target("SELECT id FROM child ORDER BY id").split() == ["6", "7"], "the children are not those that should be left")


@hazard("H10", engines=("mysql",))
def cascades_that_are_in_the_log(scene):
    """MySQL 9.6 and later log what foreign keys did, children first: met by the target's own foreign keys, and no divergence."""
    move = started(scene, FAMILY + """
        CREATE TABLE keyed (pid INT NOT NULL, n INT NOT NULL, v INT, PRIMARY KEY (pid, n), FOREIGN KEY (pid) REFERENCES parent (id) ON UPDATE CASCADE ON DELETE CASCADE);
        CREATE TABLE keyless (pid INT, v INT, FOREIGN KEY (pid) REFERENCES parent (id) ON DELETE SET NULL ON UPDATE CASCADE);
        CREATE TABLE grand (id INT PRIMARY KEY, cid INT, FOREIGN KEY (cid) REFERENCES child (id) ON DELETE CASCADE);
        INSERT INTO keyed VALUES (1, 1, 0), (2, 1, 0), (2, 2, 0), (3, 1, 0); INSERT INTO keyless VALUES (1, 1), (2, 2), (2, 2), (3, 3);
        INSERT INTO grand VALUES (1, 4), (2, 6), (3, 7);""")
    for statements in ("UPDATE parent SET id = 20 WHERE id = 2", "DELETE FROM parent WHERE id = 20", "UPDATE parent SET id = id + 100",
                       "BEGIN; INSERT INTO parent VALUES (5, 'e'); INSERT INTO child VALUES (50, 5, ''); UPDATE parent SET id = 6 WHERE id = 5;"
                       "UPDATE child SET note = 'x' WHERE pid = 6; DELETE FROM parent WHERE id = 6; INSERT INTO child VALUES (50, 101, 'again'); COMMIT",
                       "DELETE FROM parent WHERE id = 101; INSERT INTO parent VALUES (101, 'back'); INSERT INTO child VALUES (4, 101, 'back')"):
        scene.sql(statements)
    move.wait_applied()
    expect(move.status()["apply"]["divergences"] == 0, "divergences were met")
    scene.catch_up_and_compare(move)


@hazard("statement format")
def statement_in_the_log_stops(scene):
    """DML that is logged as a statement cannot be followed: it stops, and does not pass it by."""
    move = started(scene, "CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1)")
    scene.sql("SET SESSION binlog_format = 'STATEMENT'; UPDATE t SET v = 2 WHERE id = 1")
    scene.expect_exit(move, 5, "statement|STATEMENT")


@hazard("divergence")
def divergence_stops_and_is_repaired_when_asked(scene):
    move = started(scene, "CREATE TABLE t (id INT PRIMARY KEY, v INT);" + numbers("t", "id, v", "i, i", 10))
    scene.on_target("DELETE FROM t WHERE id = 3; INSERT INTO t (tenant_id, id, v) VALUES ('acme', 20, 0)")
    scene.sql("UPDATE t SET v = 100 WHERE id = 3")
    scene.expect_exit(move, 5, "t.*3|diverge")
    move.settings["apply.on_divergence"] = "repair"
    move.write()
    move.start()
    move.wait_phase("following")
    scene.sql("INSERT INTO t VALUES (20, 20)")
    move.wait_applied()
    expect(move.status()["apply"]["divergences"] >= 1, "the divergence is not counted")
    scene.catch_up_and_compare(move)


@hazard("divergence", "H1")
def a_repaired_key_does_not_cascade_its_children_away(scene):
    """The new key is taken on the target: to delete the old row and write the new one would delete the children that should follow."""
    move = started(scene, "CREATE TABLE p (id INT PRIMARY KEY, v INT); CREATE TABLE c (id INT PRIMARY KEY, pid INT, FOREIGN KEY (pid) REFERENCES p (id)"
                   " ON DELETE CASCADE ON UPDATE CASCADE); INSERT INTO p VALUES (1, 1), (2, 2); INSERT INTO c VALUES (10, 1), (11, 1), (12, 2)",
                   apply__on_divergence="repair")
    scene.on_target("INSERT INTO p (tenant_id, id, v) VALUES ('acme', 5, 0)")
    scene.sql("UPDATE p SET id = 5 WHERE id = 1")
    scene.expect_exit(move, 5, "rows refer to this one by what changes")
    expect(scene.on_target("SELECT count(*) FROM c").strip() == "3", "children are gone")
    scene.on_target("DELETE FROM p WHERE id = 5")
    move.start()
    move.wait_phase("following")
    scene.catch_up_and_compare(move)


@hazard("logs", quick=False)
def log_rotates_and_source_restarts(scene):
    source = scene.own_source("--max-binlog-size=4096")
    move = started(scene, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(300)); INSERT INTO t VALUES (0, '')")
    for n in range(1, 60):
        scene.sql("INSERT INTO t VALUES (%d, REPEAT('x', 300)); UPDATE t SET v = '%d' WHERE id = %d" % (n, n, n // 2))
        if n % 25 == 0:
            scene.sql("FLUSH BINARY LOGS")
            source.restart()
    scene.catch_up_and_compare(move)
