"""Hazards of the first copy: what changes while it is read."""

import contextlib
import functools
import threading
import time

import servers
from stage import Background, Wrong, expect, hazard, wait_until

FAMILY = """
CREATE TABLE parent (id INT PRIMARY KEY, name VARCHAR(20));
CREATE TABLE child (id INT PRIMARY KEY, pid INT, note VARCHAR(20), FOREIGN KEY (pid) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE alone (id INT PRIMARY KEY, v INT);
INSERT INTO parent VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO child VALUES (4, 1, ''), (6, 2, ''), (7, 3, '');
"""

CHUNKED = {"snapshot__mode": "chunked", "snapshot__chunk_rows": 100, "snapshot__readers": 1}


def numbers(table, columns, expressions, count):
    return ("INSERT INTO %s (%s) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT %s FROM n;\n"
            % (table, columns, count, expressions))


def held_at(scene, move, failpoint, act):
    """Starts the program, which waits at each hit of a failpoint; acts once it stands there; lets it go on."""
    path, open_gate = scene.gate("gate")
    log = path + ".log"
    move.start(failpoints="%s=wait:%s" % (failpoint, path), failpoint_log=log)
    wait_until(lambda: met(log, failpoint) or _ended(move), failpoint + " was not met")
    act()
    open_gate()
    move.wait_phase("following")


def met(log, failpoint):
    try:
        with open(log, encoding="utf-8") as file:
            return failpoint in file.read().split()
    except FileNotFoundError:
        return False


def _ended(move):
    if move.process.poll() is not None:
        raise Wrong("the program ended with status %d\n%s" % (move.process.returncode, move.log_tail()))
    return False


@hazard("H1")
def parent_and_child_come_back_between_chunks(scene):
    """A parent is deleted and comes back, with a child, between the reads of both tables."""
    scene.schema(FAMILY)
    move = scene.migration(**CHUNKED)

    def act():
        scene.sql("DELETE FROM parent WHERE id = 2; INSERT INTO parent VALUES (2, 'again'); INSERT INTO child VALUES (5, 2, 'new');"
                  "UPDATE parent SET id = 30 WHERE id = 3; INSERT INTO alone VALUES (1, 1)")

    held_at(scene, move, "chunk.commit.after", act)
    scene.catch_up_and_compare(move)


@hazard("H1", "H15", quick=False)
def copy_group_is_read_again_after_a_crash(scene):
    """The program dies between the chunks of a copy group, and the source's rows change before it is back."""
    scene.schema(FAMILY + numbers("alone", "id, v", "i, i", 500))
    for hit in range(1, 20):
        scene.new_target_database()
        move = scene.migration(tenant="t%d" % hit, **CHUNKED)
        move.start(failpoints="chunk.commit.after=crash@%d" % hit)
        wait_until(lambda: move.process.poll() is not None or (move.status() or {}).get("phase") == "following", "neither died nor followed", 60)
        if move.process.poll() is None:
            break  # all chunks have had their turn: those of the group may come last
        expect(move.process.returncode == 85, "did not die at the failpoint\n" + move.log_tail())
        reborn = hit % 3 + 1
        scene.sql("DELETE FROM parent WHERE id = %d; INSERT INTO parent VALUES (%d, 'back'); INSERT INTO child VALUES (%d, %d, 'new');"
                  "UPDATE alone SET v = v + 1; DELETE FROM alone WHERE id %% 50 = %d" % (reborn, reborn, 100 + hit, reborn, hit))
        move.start()
        move.wait_phase("following")
        scene.sql("UPDATE child SET note = 'later'; DELETE FROM parent WHERE id = 2; INSERT INTO parent VALUES (2, 'b')")
        scene.catch_up_and_compare(move)


@hazard("H2")
def readers_see_one_state(scene):
    """Consistent mode with several readers, while money moves between two tables."""
    scene.schema("CREATE TABLE left_side (id INT PRIMARY KEY, v BIGINT); CREATE TABLE right_side (id INT PRIMARY KEY, v BIGINT);"
                 "CREATE TABLE moved (n INT AUTO_INCREMENT PRIMARY KEY);"
                 + numbers("left_side", "id, v", "i, 1000", 2000) + numbers("right_side", "id, v", "i, 1000", 2000))
    connection = scene.source.connect(scene.database, autocommit=False)
    cursor = connection.cursor()
    state = {"n": 0}

    def transfer():
        state["n"] += 1
        cursor.execute("UPDATE left_side SET v = v - 1 WHERE id = %s", (state["n"] * 7 % 2000 + 1,))
        cursor.execute("UPDATE right_side SET v = v + 1 WHERE id = %s", (state["n"] * 11 % 2000 + 1,))
        connection.commit()

    def insert(cursor):
        cursor.execute("INSERT INTO moved VALUES ()")  # what cannot be applied twice

    move = scene.migration(snapshot__readers=4, snapshot__chunk_rows=100)
    with Background(transfer, 0.001):
        with contextlib.ExitStack() as writers:
            for _ in range(4):  # each waits behind the lock, and is through as soon as it is gone
                writers.enter_context(Background(functools.partial(insert, scene.source.connect(scene.database, autocommit=True).cursor())))
            move.start()
            move.wait_phase("catching up", "following")
        # They write as fast as the source can, which a slow machine, or a build with a sanitizer, may never catch up with.
        move.wait_phase("following")
        time.sleep(0.5)
    scene.catch_up_and_compare(move)
    expect(scene.on_target("SELECT (SELECT sum(v) FROM left_side) + (SELECT sum(v) FROM right_side)").strip() == "4000000", "money was lost")


@hazard("H3")
def unique_value_moves_between_chunks(scene):
    """A unique value leaves a row that is copied and comes to one that is not; a key moves over as well."""
    scene.schema("CREATE TABLE swap (id INT PRIMARY KEY, u INT, w VARCHAR(20) COLLATE {{nopad_bin}}, UNIQUE KEY (u), UNIQUE KEY (w));"
                 + numbers("swap", "id, u, w", "i, i, CONCAT('w', i)", 450))
    move = scene.migration(**CHUNKED)

    def act():
        scene.sql("UPDATE swap SET u = 9999 WHERE id = 1; UPDATE swap SET u = 1 WHERE id = 440;"
                  "UPDATE swap SET w = 'free' WHERE id = 2; UPDATE swap SET w = 'w2' WHERE id = 430;"
                  "UPDATE swap SET id = 700 WHERE id = 3; UPDATE swap SET id = 3 WHERE id = 420; DELETE FROM swap WHERE id = 410;"
                  "INSERT INTO swap VALUES (0, 410, 'w410')")

    held_at(scene, move, "chunk.commit.after", act)
    scene.catch_up_and_compare(move)


@hazard("H3")
def child_and_parent_are_born_between_chunks(scene):
    """Foreign keys without action cannot be validated before the windows are closed."""
    scene.schema("CREATE TABLE b_parent (id INT PRIMARY KEY); CREATE TABLE a_child (id INT PRIMARY KEY, pid INT, FOREIGN KEY (pid)"
                 " REFERENCES b_parent (id));" + numbers("b_parent", "id", "i", 300) + numbers("a_child", "id, pid", "i, i", 300))
    for point in ("chunk.commit.before", "chunk.commit.after"):
        scene.new_target_database()
        move = scene.migration(tenant=point, **CHUNKED)

        def act():
            # Where the parents were read first, and where the children were.
            scene.sql("INSERT INTO b_parent VALUES (-7); INSERT INTO a_child VALUES (3000, -7); DELETE FROM a_child WHERE id = 5; DELETE FROM b_parent WHERE id = 5;"
                      "INSERT INTO b_parent VALUES (1000); INSERT INTO a_child VALUES (2000, 1000), (0, 1000);"
                      "DELETE FROM a_child WHERE pid = 299; DELETE FROM b_parent WHERE id = 299;"
                      "INSERT INTO b_parent VALUES (5000); INSERT INTO a_child VALUES (5000, 5000); DELETE FROM a_child WHERE id = 5000;"
                      "DELETE FROM b_parent WHERE id = 5000")

        held_at(scene, move, point, act)
        scene.catch_up_and_compare(move)
        scene.sql("DELETE FROM a_child WHERE pid IN (-7, 1000); DELETE FROM b_parent WHERE id IN (-7, 1000);"
                  "INSERT INTO b_parent VALUES (5); INSERT INTO a_child VALUES (5, 5);"
                  "INSERT INTO b_parent VALUES (299); INSERT INTO a_child VALUES (299, 299)")


@hazard("H4", engines=("mariadb",))
def commit_is_in_the_log_and_not_yet_visible(scene):
    """Semi-synchronous replication without a replica: for seconds a commit is logged that nobody can see."""
    source = scene.own_source("--rpl-semi-sync-master-enabled=ON", "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
                              "--rpl-semi-sync-master-wait-no-slave=ON", "--rpl-semi-sync-master-timeout=1")
    scene.schema("CREATE TABLE seen (id INT PRIMARY KEY, v INT); INSERT INTO seen VALUES (1, 1);"
                 + numbers("seen", "id, v", "i + 10, i", 590) + "ANALYZE LOCAL TABLE seen")
    for mode in ("consistent", "chunked"):
        move = scene.migration(tenant=mode, snapshot__mode=mode, snapshot__chunk_rows=100, snapshot__readers=1)
        source.client("SET GLOBAL rpl_semi_sync_master_enabled = OFF; SET GLOBAL rpl_semi_sync_master_timeout = 4000;"
                      "SET GLOBAL rpl_semi_sync_master_enabled = ON")
        connection = source.connect(scene.database, autocommit=True)

        def commit():
            connection.cursor().execute("UPDATE seen SET v = v + 1000 WHERE id IN (1, 600)")

        def act():
            before = source.value("SELECT v FROM seen WHERE id = 600", scene.database)
            Background(commit, 1000).start()
            time.sleep(0.3)
            expect(source.value("SELECT v FROM seen WHERE id = 600", scene.database) == before, "the commit does not wait, so nothing is tested")

        if mode == "chunked":
            held_at(scene, move, "chunk.commit.after", act)  # for the chunks that are left to read
        else:
            act()
            move.start()
            move.wait_phase("following")
        source.client("SET GLOBAL rpl_semi_sync_master_enabled = OFF")
        scene.catch_up_and_compare(move)


@hazard("H9", "H19", quick=False)
def truncate_while_it_is_copied(scene):
    """The state that the readers see has no such rows any more. It may stop, and then goes on when started again; rows that come after
    the TRUNCATE must stay."""
    scene.schema("CREATE TABLE a_first (id INT PRIMARY KEY); CREATE TABLE emptied (id INT PRIMARY KEY, v INT);"
                 + numbers("a_first", "id", "i", 450) + numbers("emptied", "id, v", "i, i", 450))
    for mode, script in (("consistent", "TRUNCATE emptied; INSERT INTO emptied VALUES (5, 5), (440, 440)"),
                         ("chunked", "TRUNCATE emptied; INSERT INTO emptied VALUES (6, 6), (440, 440)"),
                         ("chunked", "TRUNCATE a_first; INSERT INTO a_first VALUES (7)")):
        move = scene.migration(tenant="t%d" % len(scene.moves), snapshot__mode=mode, snapshot__readers=1, snapshot__chunk_rows=100)
        path, open_gate = scene.gate("gate%d" % len(scene.moves))
        move.start(failpoints="chunk.commit.after=wait:" + path, failpoint_log=path + ".log")
        wait_until(lambda: met(path + ".log", "chunk.commit.after") or _ended(move), "not met")
        # It waits for a read that is under way, which waits for the gate.
        truncation = threading.Thread(target=scene.sql, args=(script,))
        truncation.start()
        time.sleep(0.5)
        open_gate()
        truncation.join()
        for _ in range(3):
            wait_until(lambda: move.process.poll() is not None or (move.status() or {}).get("phase") == "following", "neither stopped nor followed")
            if move.process.poll() is None:
                break
            expect(move.process.returncode == 5, "ended with status %d\n%s" % (move.process.returncode, move.log_tail()))
            move.start()
        scene.catch_up_and_compare(move)


@hazard("H16")
def table_without_key_changes_while_it_is_copied(scene):
    scene.schema("CREATE TABLE keyless (a INT, b VARCHAR(10)); CREATE TABLE a_first (id INT PRIMARY KEY);"
                 + numbers("keyless", "a, b", "i % 20, 'same'", 400) + numbers("a_first", "id", "i", 300))
    cursor = scene.source.connect(scene.database, autocommit=True).cursor()

    def write():
        cursor.execute("INSERT INTO keyless VALUES (4, 'same')")
        cursor.execute("DELETE FROM keyless WHERE a = 4 LIMIT 1")

    for mode in ("consistent", "chunked"):
        move = scene.migration(tenant=mode, snapshot__mode=mode, snapshot__chunk_rows=100, snapshot__readers=1)
        with Background(write):  # also while a snapshot is opened
            held_at(scene, move, "chunk.commit.before",
                    lambda: scene.sql("INSERT INTO keyless VALUES (1, 'same'), (1, 'same'); DELETE FROM keyless WHERE a = 2 LIMIT 3;"
                                      "UPDATE keyless SET b = 'new' WHERE a = 3 LIMIT 5"))
        scene.catch_up_and_compare(move)


@hazard("H15", "H16", quick=False)
def chunks_are_not_doubled_by_a_crash(scene):
    """It dies when a chunk is on the target, or all but committed: mark and rows are there together, or neither."""
    scene.schema("CREATE TABLE keyless (a INT, b VARCHAR(10)); CREATE TABLE keyed (id INT PRIMARY KEY, v INT);"
                 + numbers("keyless", "a, b", "i % 20, 'same'", 300) + numbers("keyed", "id, v", "i, i", 450))
    scene.sql("ANALYZE LOCAL TABLE keyless, keyed")  # the copy is cut by the server's own estimates
    for hit, point in ((1, "after"), (2, "after"), (3, "after"), (4, "after"), (5, "before"), (6, "before")):
        move = scene.migration(tenant="t%d" % hit, snapshot__chunk_rows=100, snapshot__readers=2)
        move.start(failpoints="chunk.commit.%s=crash@%d" % (point, hit if point == "after" else hit - 3))
        expect(move.wait(60) == 85, "did not die at the failpoint\n" + move.log_tail())
        scene.sql("DELETE FROM keyed WHERE id = %d; DELETE FROM keyless WHERE a = %d; UPDATE keyed SET v = v + 1 WHERE id %% 7 = 0" % (hit, hit))
        move.start()
        move.wait_phase("following")
        scene.catch_up_and_compare(move)


@hazard("H18")
def prepared_before_the_start(scene):
    """An XA transaction is prepared before we start and committed afterwards: in neither the copy nor a careless log range."""
    scene.own_source()  # a prepared transaction anywhere on a server holds every start
    scene.schema("CREATE TABLE xa_rows (id INT PRIMARY KEY, v INT); INSERT INTO xa_rows VALUES (1, 1), (2, 2)")
    connection = scene.source.connect(scene.database, autocommit=True)
    cursor = connection.cursor()
    name = "'%s'" % scene.database
    for statement in ("XA START " + name, "INSERT INTO xa_rows VALUES (10, 10)", "UPDATE xa_rows SET v = 9 WHERE id = 1", "XA END " + name,
                      "XA PREPARE " + name):
        cursor.execute(statement)
    connection.close()
    move = scene.migration()
    move.start()
    time.sleep(2)
    if move.process.poll() is not None:
        expect(move.process.returncode in (1, 2, 4), "ended with status %d\n%s" % (move.process.returncode, move.log_tail()))
        expect("XA" in move.log_tail(), "does not say why it ended:\n" + move.log_tail())
    scene.sql("XA COMMIT " + name)
    if move.process.poll() is not None:
        move.start()
    move.wait_phase("following")
    scene.sql("INSERT INTO xa_rows VALUES (11, 11)")
    scene.catch_up_and_compare(move)


@hazard("H18")
def prepared_across_a_crash(scene):
    """Prepared while we follow, we die, it is committed or rolled back, we come back."""
    scene.own_source()  # a prepared transaction anywhere on a server holds every start
    scene.schema("CREATE TABLE xa_rows (id INT PRIMARY KEY, v INT); INSERT INTO xa_rows VALUES (1, 1), (2, 2)")
    move = scene.migration()
    move.start()
    move.wait_phase("following")
    for number, verb in ((10, "COMMIT"), (20, "ROLLBACK")):
        connection = scene.source.connect(scene.database, autocommit=True)
        cursor = connection.cursor()
        for statement in ("XA START 'x%d%s'", "INSERT INTO xa_rows VALUES (%d, 0) /* %s */", "XA END 'x%d%s'", "XA PREPARE 'x%d%s'"):
            cursor.execute(statement % (number, scene.database))
        connection.close()
        scene.sql("INSERT INTO xa_rows VALUES (%d, 1)" % (number + 1))
        wait_until(lambda: scene.on_target("SELECT count(*) FROM xa_rows WHERE id = %d" % (number + 1)).strip() == "1", "not followed")
        expect(scene.on_target("SELECT count(*) FROM xa_rows WHERE id = %d" % number).strip() == "0", "a prepared row was applied")
        move.kill()
        scene.sql("XA %s 'x%d%s'" % (verb, number, scene.database))
        move.start()
        move.wait_phase("following")
    scene.catch_up_and_compare(move)


@hazard("H2")
def no_right_to_lock(scene):
    """Without RELOAD and LOCK TABLES the copy is chunked by itself, also of copy groups and tables without a key, which on a
    busy MySQL need BACKUP_ADMIN (docs/privileges.md)."""
    scene.schema(FAMILY + "CREATE TABLE keyless (a INT);" + numbers("keyless", "a", "i % 9", 300) + numbers("alone", "id, v", "i, i", 500))
    scene.source.client(
        "CREATE USER IF NOT EXISTS modest@'127.0.0.1' IDENTIFIED BY '%s'; GRANT SELECT, REFERENCES, REPLICATION SLAVE,"
        " REPLICATION CLIENT%s ON *.* TO modest@'127.0.0.1'" % (
            servers.MIGRATION_PASSWORD.replace("\\", "\\\\").replace("'", "''"), ", XA_RECOVER_ADMIN, BACKUP_ADMIN" if scene.engine == "mysql" else ""))
    connection = scene.source.connect(scene.database, autocommit=True)
    cursor = connection.cursor()
    move = scene.migration(source__user="modest", snapshot__chunk_rows=100)
    with Background(lambda: cursor.execute("UPDATE alone SET v = v + 1 ORDER BY RAND() LIMIT 3"), 0.01):
        move.start()
        move.wait_phase("following")
    scene.catch_up_and_compare(move)


@hazard("H18", quick=False)
def prepared_while_the_start_is_chosen(scene):
    """XA transactions come and go all the time; none may be prepared before the start and committed behind it."""
    scene.own_source()
    scene.schema("CREATE TABLE xa_rows (id INT AUTO_INCREMENT PRIMARY KEY, v INT)")
    cursor = scene.source.connect(scene.database, autocommit=True).cursor()

    def write():
        for statement in ("XA START 'x'", "INSERT INTO xa_rows (v) VALUES (1)", "XA END 'x'", "XA PREPARE 'x'"):
            cursor.execute(statement)
        time.sleep(0.01)
        cursor.execute("XA COMMIT 'x'")

    with Background(write, 0.01):
        for number in range(12):
            move = scene.migration(tenant="t%d" % number)
            move.start()
            move.wait_phase("following")
            scene.moves[-1].kill()
    for move in scene.moves[-2:]:
        move.start()
        move.wait_phase("following")
        scene.catch_up_and_compare(move)


@hazard("H2")
def hot_row_and_our_lock_wait_for_each_other(scene):
    """One waits for a row of another, who waits behind our lock, which waits for the first: nobody may stand still for long."""
    scene.own_source()
    scene.schema("CREATE TABLE hot (id INT PRIMARY KEY, v INT); INSERT INTO hot VALUES (1, 0), (2, 0)")
    holder = scene.source.connect(scene.database).cursor()
    waiter = scene.source.connect(scene.database).cursor()
    holder.execute("UPDATE hot SET v = v + 1 WHERE id = 1")
    waiting = threading.Thread(target=lambda: (waiter.execute("UPDATE hot SET v = v + 1 WHERE id = 1"), waiter.connection.commit()))
    waiting.start()
    move = scene.migration()
    move.start()
    longest = 0
    for _ in range(500):
        begun = time.monotonic()
        holder.execute("UPDATE hot SET v = v + 1 WHERE id = 2")
        longest = max(longest, time.monotonic() - begun)
        if "gave up" in move.log_tail():
            break
        time.sleep(0.02)
    expect("gave up" in move.log_tail(), "our lock met nobody:\n" + move.log_tail())
    holder.connection.commit()
    waiting.join(20)
    expect(longest < 1, "the application stood still for %.1f s" % longest)
    move.wait_phase("following")
    scene.catch_up_and_compare(move)
