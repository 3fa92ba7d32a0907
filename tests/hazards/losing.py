"""Hazards of what is lost: the state directory, the journal in it, the source's log, the source itself."""

import glob
import os
import re
import shutil
import urllib.request

import migration
from following import started
from stage import Background, expect, hazard, wait_until

COUNTED = "CREATE TABLE counter (id INT PRIMARY KEY, n INT NOT NULL); CREATE TABLE keyless (v INT); INSERT INTO counter VALUES (1, 0), (2, 0);"


def count(scene, times=20):
    """Each lost or doubled transaction shows in the counter and among the rows without key."""
    scene.sql("".join("UPDATE counter SET n = n + 1 WHERE id = %d; INSERT INTO keyless VALUES (1);" % (n % 2 + 1) for n in range(times)))


@hazard("H14")
def state_directory_is_lost(scene):
    """Plain run refuses; --rebuild-journal goes on from what the target holds."""
    move = started(scene, COUNTED)
    count(scene)
    move.wait_applied()
    move.stop()
    count(scene)
    shutil.rmtree(move.state_directory)
    move.start()
    scene.expect_exit(move, 4, "CF1720.*rebuild-journal")
    connection = scene.source.connect(scene.database, autocommit=True)
    cursor = connection.cursor()
    with Background(lambda: cursor.execute("UPDATE counter SET n = n + 1"), 0.01):
        move.start("--rebuild-journal")
        move.wait_phase("following")
    count(scene)
    move.wait_applied()
    move.stop()
    move.start()
    move.wait_phase("following")
    count(scene)
    scene.catch_up_and_compare(move)


@hazard("H14")
def state_directory_is_lost_before_anything_was_applied(scene):
    """There is no progress yet: the windows of the copied chunks, which the target holds, say where to go on."""
    scene.schema(COUNTED + "CREATE TABLE many (id INT PRIMARY KEY, n INT); INSERT INTO many VALUES " + ", ".join("(%d, 0)" % n for n in range(3000)))
    move = scene.migration(snapshot__mode="chunked", snapshot__chunk_rows=1000)
    connection = scene.source.connect(scene.database, autocommit=True)
    cursor = connection.cursor()
    with Background(lambda: cursor.execute("UPDATE many m, counter c SET m.n = m.n + 1, c.n = c.n + 1 WHERE m.id % 50 = 7"), 0.02):
        move.start(failpoints="apply.commit.before=crash")
        expect(move.wait(60) == migration.CRASH_STATUS, "nothing was applied\n" + move.log_tail())
    shutil.rmtree(move.state_directory)
    move.start("--rebuild-journal")
    move.wait_phase("following")
    count(scene)
    scene.catch_up_and_compare(move)


@hazard("H14")
def rebuilding_is_interrupted(scene):
    """At any of its writes; the next plain run, or the same command, goes on with it."""
    move = started(scene, COUNTED)
    for point, again in (("journal.create.after", ["--rebuild-journal"]), ("journal.record.after", ["--rebuild-journal"]),
                         ("journal.initialize.before", ["--rebuild-journal"]), ("journal.initialize.after", []), ("control.commit.before=crash@2", []),
                         ("control.commit.after=crash@2", [])):
        count(scene)
        move.wait_applied()
        move.stop()
        count(scene)
        shutil.rmtree(move.state_directory)
        move.start("--rebuild-journal", failpoints=point if "=" in point else point + "=crash")
        status = move.wait(30)
        expect(status == migration.CRASH_STATUS, "%s was not met: status %d\n%s" % (point, status, move.log_tail()))
        move.start(*again)
        move.wait_phase("following")
    scene.catch_up_and_compare(move)


@hazard("H14")
def rebuilding_is_refused(scene):
    """Over a journal that is whole; for a copy that was not complete; over a schema change that the log holds."""
    scene.own_source("--binlog-row-metadata=MINIMAL")  # columns without names: only the statement tells
    move = started(scene, COUNTED + "CREATE TABLE pair (id INT PRIMARY KEY, a INT, b INT); INSERT INTO pair VALUES (1, 10, 20);")
    count(scene)
    move.wait_applied()
    move.stop()
    count(scene)
    move.start("--rebuild-journal")
    scene.expect_exit(move, 4, "whole.*CF1760")
    move.start()
    move.wait_phase("following")
    move.wait_applied()
    move.stop()
    # The rows before the change would fit the shape after it.
    scene.sql("UPDATE pair SET a = 11")
    count(scene, 1000)  # so that capture, whose syncs are slow, is not at the change at once
    scene.sql("ALTER TABLE pair MODIFY a INT AFTER b; UPDATE pair SET b = 21")
    before = scene.on_target("SELECT id, a, b FROM pair")
    shutil.rmtree(move.state_directory)
    move.start("--rebuild-journal", failpoints="journal.sync.before=sleep:200")
    scene.expect_exit(move, 5, "CF1742")
    move.start()
    scene.expect_exit(move, 5, "CF1742")
    expect(scene.on_target("SELECT id, a, b FROM pair") == before, "rows were read with the shape that the table has now")

    scene.sql("CREATE DATABASE {0}_b; USE {0}_b; CREATE TABLE other (id INT PRIMARY KEY); INSERT INTO other VALUES (1)".format(scene.database))
    scene.databases.append(scene.database + "_b")
    half = scene.migration(database=scene.database + "_b", tenant="half")
    half.start(failpoints="chunk.commit.before=crash")
    expect(half.wait(60) == migration.CRASH_STATUS, "the copy was not interrupted\n" + half.log_tail())
    shutil.rmtree(half.state_directory)
    half.start("--rebuild-journal")
    scene.expect_exit(half, 4, "CF1761.*abort")
    expect(half.command("abort", "--yes")[0] == 0, "abort failed")
    half.start()
    half.wait_phase("following")
    half.stop()
    scene.compare(half)


@hazard("H14")
def rebuilding_needs_the_log(scene):
    """The source purged what the target has not applied: refused, and the target is as it was."""
    source = scene.own_source()
    move = started(scene, COUNTED)
    count(scene)
    move.wait_applied()
    move.stop()
    before = scene.on_target("SELECT * FROM counter ORDER BY id")
    count(scene)
    scene.sql("FLUSH BINARY LOGS")
    count(scene)
    source.restart()
    source.client("PURGE BINARY LOGS TO '%s'" % source.rows("SHOW BINARY LOGS")[-1][0])
    shutil.rmtree(move.state_directory)
    move.start("--rebuild-journal")
    expect(move.wait(60) in (3, 6) and "CF1203" in move.log_tail(), move.log_tail())
    expect(scene.on_target("SELECT * FROM counter ORDER BY id") == before, "the target was changed")


@hazard("H22", quick=False)
def log_is_about_to_be_purged(scene):
    """Capture stands still, and the source will soon purge what it needs: said in time, and taken back when it is read."""
    source = scene.own_source()
    source.client("SET GLOBAL binlog_expire_logs_seconds = 40")
    scene.schema(COUNTED)
    move = scene.migration(http__listen="127.0.0.1:0")
    path, open_gate = scene.gate("capture")
    expect("CF1148" in move.command("check")[1], "check does not say that the log is kept too short")
    move.start(failpoints="journal.sync.before=wait:" + path)
    move.wait_phase("following")
    expect(move.status()["warnings"] == [], "warned too early: %s" % move.status()["warnings"])
    count(scene)
    scene.sql("FLUSH BINARY LOGS")
    wait_until(lambda: move.status()["warnings"], "not warned", 40)
    status = move.status()
    expect(re.search("purge binlog.0+1.*SET GLOBAL binlog_expire_logs_seconds = .*CF1770", status["warnings"][0]), status["warnings"][0])
    expect(0 < status["retention"]["left_s"] <= 20 and status["retention"]["kept_s"] == 40, "retention is %s" % status["retention"])
    expect("CF1770" in move.command("status")[1] and "CF1770" in move.log_tail(), "neither in status nor in the log")
    with urllib.request.urlopen("http://%s/metrics" % status["http"], timeout=10) as answer:
        metrics = answer.read().decode()
    expect(re.search(r'crossfade_source_log_left_seconds{[^}]*} \d', metrics) and re.search(r'crossfade_warnings{[^}]*} 1', metrics), metrics)
    open_gate()
    wait_until(lambda: not move.status()["warnings"], "the warning stays")
    scene.catch_up_and_compare(move)
    wait_until(lambda: "no process has run" in move.command("status")[1], "status of a stopped migration does not warn", 40)


def flip(path):
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))


def follows(move):
    status = move.status()
    return status and status["pid"] == move.process.pid and status["phase"] == "following"


@hazard("H14")
def journal_is_damaged(scene):
    """One bit of a file of the journal is turned. Either it does no harm, or the error names the command that mends it."""
    move = started(scene, COUNTED + "CREATE TABLE filler (id INT PRIMARY KEY, t MEDIUMTEXT);", journal__keep_s=3600)
    for damaged in ("*.sst", "MANIFEST-*", "*.log", "CURRENT"):
        # What RocksDB's own log holds is in its files after another start.
        scene.sql("REPLACE INTO filler VALUES (1, REPEAT(UUID(), 3000))")
        count(scene)
        move.wait_applied()
        move.stop()
        move.start()
        move.wait_phase("following")
        count(scene)
        move.wait_applied()
        move.kill()
        count(scene)
        paths = glob.glob(os.path.join(move.state_directory, "journal", damaged))
        expect(paths, "the journal has no " + damaged)
        for path in paths:
            flip(path)
        move.start()
        wait_until(lambda: move.process.poll() is not None or follows(move), "neither ended nor follows")
        if move.process.poll() is None:
            move.wait_applied()
            expect(damaged == "*.log", "nobody noticed that %s is damaged" % damaged)
        else:
            scene.expect_exit(move, 6, "rebuild-journal")
            point = {"*.sst": "rebuild.set_aside.before", "MANIFEST-*": "rebuild.set_aside.after"}.get(damaged)
            if point:
                move.start("--rebuild-journal", failpoints=point + "=crash")
                expect(move.wait(60) == migration.CRASH_STATUS, point + " was not met\n" + move.log_tail())
            move.start("--rebuild-journal")
            wait_until(lambda: follows(move), "does not follow")
            expect(os.path.isdir(os.path.join(move.state_directory, "journal.damaged")), "the damaged journal was not kept")
    count(scene)
    scene.catch_up_and_compare(move)
