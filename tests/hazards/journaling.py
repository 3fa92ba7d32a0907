"""Hazards of the journal: what it gives out too early, and what it frees too early or never."""

import os
import time

import migration
from copying import met, numbers
from following import started
from losing import COUNTED
from stage import expect, hazard, wait_until

WIDE = ("CREATE TABLE wide (id INT PRIMARY KEY, filler VARBINARY(4096) NOT NULL); CREATE TABLE seed (id INT PRIMARY KEY);"
        + numbers("seed", "id", "i", 1000))
FILL = "REPLACE INTO wide SELECT id, CONCAT(%s) FROM seed" % ", ".join(["RANDOM_BYTES(1024)"] * 4)


@hazard("H24", quick=False)
def journal_is_freed_of_what_is_applied(scene):
    """More goes through the journal than its disk budget: capture must not stand still for ever."""
    move = started(scene, WIDE, journal__budget_mib=64)
    for _ in range(24):
        scene.sql(FILL)
    move.wait_applied()
    wait_until(lambda: not move.status()["journal"]["over_budget"], "the journal stays over its budget")
    scene.catch_up_and_compare(move)


@hazard("H24", quick=False)
def journal_is_full_while_it_is_copied(scene):
    """Nothing drains it during the copy: an error for a person, and not a wait without end; with a larger budget it goes on."""
    scene.schema(WIDE + "CREATE TABLE a_first (id INT PRIMARY KEY);" + numbers("a_first", "id", "i", 300))
    move = scene.migration(snapshot__mode="chunked", snapshot__chunk_rows=100, snapshot__readers=1, journal__budget_mib=64)
    path, open_gate = scene.gate("copy")
    move.start(failpoints="chunk.commit.after=wait:" + path, failpoint_log=path + ".log")
    wait_until(lambda: met(path + ".log", "chunk.commit.after"), "no chunk was copied")
    for _ in range(16):
        scene.sql(FILL)
    wait_until(lambda: "CF1741" in move.log_tail() or move.process.poll() is not None, "nobody says that the journal is full", 60)
    open_gate()
    scene.expect_exit(move, 3, "CF1741.*raise journal.budget_mib")
    move.settings["journal.budget_mib"] = 1024
    move.write()
    move.start()
    move.wait_phase("following")
    scene.catch_up_and_compare(move)


# About 104 MB in one transaction.
LARGE = "INSERT INTO wide SELECT s.id * 1000 + t.id, CONCAT(%s) FROM seed s JOIN seed t WHERE t.id <= 26" % ", ".join(["RANDOM_BYTES(1024)"] * 4)


def goes_on(scene, move, number):
    scene.sql("INSERT INTO seed VALUES (%d)" % number)
    wait_until(lambda: scene.on_target("SELECT 1 FROM seed WHERE id = %d" % number).strip() or move.process.poll() is not None,
               "it stands still: %s" % move.status()["journal"], 60)
    expect(move.process.poll() is None, "it ended\n" + move.log_tail())


@hazard("H24", engines=("mariadb",), quick=False)
def rows_that_were_taken_back_fill_the_journal(scene):
    """Half of a transaction larger than the budget, of which a crash leaves the files: there is nothing to apply that would make room."""
    scene.schema(WIDE)
    move = scene.migration(journal__budget_mib=64)
    move.run_until_caught_up()
    scene.sql(LARGE)
    move.start(failpoints="journal.part.after=crash@90")
    expect(move.wait() == migration.CRASH_STATUS, "it did not crash\n" + move.log_tail())
    move.start()
    goes_on(scene, move, 5000)
    scene.catch_up_and_compare(move)


@hazard("H24", "H18", engines=("mariadb",), quick=False)
def prepared_rows_fill_the_journal(scene):
    """An XA transaction larger than the budget: its commit stands behind it in the log, and must be read."""
    move = started(scene, WIDE, journal__budget_mib=64)
    scene.sql("XA START 'a'; %s; XA END 'a'; XA PREPARE 'a'; XA COMMIT 'a'" % LARGE)
    goes_on(scene, move, 5000)
    scene.catch_up_and_compare(move)


@hazard("H24", engines=("mariadb",), quick=False)
def the_journal_is_full_before_the_last_window_is_read(scene):
    """Apply waits for capture to reach the copy's end, so capture must not wait for apply to make room."""
    scene.schema(WIDE + "CREATE TABLE a_first (id INT PRIMARY KEY);" + numbers("a_first", "id", "i", 300))
    move = scene.migration(snapshot__mode="chunked", snapshot__chunk_rows=100, snapshot__readers=1, journal__budget_mib=64)
    capture, open_capture = scene.gate("capture")
    copy, open_copy = scene.gate("copy")
    move.start(failpoints="chunk.commit.after=wait:%s,journal.sync.before=wait:%s" % (copy, capture), failpoint_log=copy + ".log")
    wait_until(lambda: met(copy + ".log", "chunk.commit.after"), "no chunk was copied", 60)
    for _ in range(16):
        scene.sql(FILL)
    open_copy()
    wait_until(lambda: "copied" in scene.on_target("SELECT facts FROM crossfade.migration"), "the copy did not end", 60)
    open_capture()
    goes_on(scene, move, 5000)
    scene.catch_up_and_compare(move)


@hazard("H6", quick=False)
def what_is_not_synced_is_not_applied(scene):
    """A number that a loss of power could hand out again never reaches the target. Each sync of the journal takes 1.5 seconds."""
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY)")
    move = scene.migration()
    move.start(failpoints="journal.sync.before=sleep:1500")
    move.wait_phase("following")
    for number in range(3):
        time.sleep(3.5)  # capture has synced all, and reads
        begun = time.monotonic()
        scene.sql("INSERT INTO t VALUES (%d)" % number)
        wait_until(lambda: scene.on_target("SELECT count(*) FROM t WHERE id = %d" % number).strip() == "1", "not followed")
        took = time.monotonic() - begun
        expect(took >= 1.5, "on the target after %.1f s, before the journal's sync can have ended" % took)
    scene.catch_up_and_compare(move)


@hazard("H6", quick=False)
def target_forgets_what_it_acknowledged(scene):
    """It commits asynchronously and loses power: the journal must still have what came after the last durable commit."""
    # What is not flushed at once is in the server's memory, which dies with it.
    scene.own_target("-c", "fsync=on", "-c", "wal_writer_delay=10s", "-c", "wal_writer_flush_after=1GB")
    move = started(scene, COUNTED, target__synchronous_commit=False, journal__keep_s=0)
    forgotten = 0
    for turn in range(12):
        if turn >= 3 and forgotten > 0:  # on a busy machine each of ours comes long enough after the last durable one to be durable, too
            break
        held = scene.target.connect(scene.target_database)
        held.cursor().execute("SELECT 1 FROM crossfade.heartbeat FOR UPDATE")  # each beat is a durable commit, and takes others along
        scene.sql("UPDATE counter SET n = n + 1; INSERT INTO keyless VALUES (1)")
        wait_until(lambda: scene.on_target("SELECT n FROM counter WHERE id = 1") == scene.sql("SELECT n FROM counter WHERE id = 1"), "not followed")
        for _ in range(3):
            scene.sql("UPDATE counter SET n = n + 1; INSERT INTO keyless VALUES (2)")
        before = move.wait_applied()["apply"]["seq"]
        time.sleep(1.2)  # for longer than a pin waits
        scene.target.restart(hard=True)
        held.close()
        forgotten += int(scene.on_target("SELECT max(low) FROM crossfade.progress WHERE worker >= 0")) < before
        scene.sql("UPDATE counter SET n = n + 1")  # apply meets the lost connection when it has something to do
        wait_until(lambda: scene.on_target("SELECT n FROM counter WHERE id = 1") == scene.sql("SELECT n FROM counter WHERE id = 1"), "what was forgotten is not applied again")
    expect(forgotten > 0, "the target forgot nothing, so nothing is tested")
    scene.catch_up_and_compare(move)


@hazard("H24", engines=("mariadb",))
def half_of_a_transaction_that_the_source_forgot(scene):
    """We die in the midst of a large transaction, whose end was not on the source's disk when that died too. Another one takes its number."""
    source = scene.own_source()
    move = started(scene, WIDE)
    move.wait_applied()
    file, size = source.rows("SHOW MASTER STATUS")[0][:2]
    move.kill()
    move.start(failpoints="journal.part.after=crash@2")
    scene.sql(FILL)
    expect(move.wait(60) == migration.CRASH_STATUS, "its parts were not written ahead\n" + move.log_tail())
    source.kill()
    os.truncate(os.path.join(source.data, file), int(size))
    source.start()
    scene.sql("SET sql_log_bin = 0; DELETE FROM wide; SET sql_log_bin = 1; INSERT INTO wide VALUES (1, 'small'), (2, 'small')")
    move.start()
    move.wait_phase("following")
    scene.catch_up_and_compare(move)
