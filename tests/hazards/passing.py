"""A pass of crossfade verify from its beginning to its end: what is kept of it, and what happens to one that is interrupted."""

import itertools
import json
import os
import re
import shutil
import subprocess
import threading
import time

import migration
import servers
import stage
from stage import expect, hazard
from verifying import verdict


def kept(move, name):
    with open(os.path.join(move.state_directory, "verify", name), encoding="utf-8") as file:
        return file.read()


def passes(move):
    return [json.loads(line) for line in kept(move, "passes.jsonl").splitlines()]


def verify(move, *arguments, failpoints="", **settings):
    """Beside us: the process."""
    if settings:
        move.settings.update({key.replace("__", "."): value for key, value in settings.items()})
        move.write()
    return subprocess.Popen([migration.program(), "verify", move.config, "--json"] + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=dict(move.environment, CROSSFADE_FAILPOINTS=failpoints), stdin=subprocess.DEVNULL, text=True)


@hazard("verify", engines=("mariadb",))
def results_are_kept(scene):
    """Killed at each durable write of it: the last result is whole all the time, and no pass is told of twice."""
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 0), (2, 0), (3, 0)")
    move = scene.migration(tenant="first")
    move.start()
    move.wait_phase("following")
    answer = verdict(move, 0)
    expect(json.loads(kept(move, "last.json")) == answer, kept(move, "last.json"))
    [line] = passes(move)
    expect(line == {"began_us": answer["began_us"], "ended_us": answer["ended_us"], "result": "equal", "differences": 0, "undecided": 0, "rows": 3,
                    "tables": 1, "from": answer["from"], "upto": answer["upto"]}, str(line))
    scene.on_target("UPDATE t SET v = 1 WHERE id = 2")
    for name in ("verify.replace.before", "verify.replace.after", "verify.append.before", "verify.append.after"):
        died = verify(move, failpoints=name + "=crash")
        out, err = died.communicate(timeout=60)
        expect(died.returncode == migration.CRASH_STATUS, "%s: status %d\n%s%s" % (name, died.returncode, out, err))
        expect(json.loads(kept(move, "last.json"))["result"] == ("equal" if name == "verify.replace.before" else "different"), name)
        passes(move)
        verdict(move, 1)
    began = [line["began_us"] for line in passes(move)]
    expect(len(set(began)) == len(began) and began == sorted(began), str(began))
    with open(os.path.join(move.state_directory, "verify", "passes.jsonl"), "a", encoding="utf-8") as file:
        file.write('{"began_us": 1')  # torn by a loss of power
    verdict(move, 1)
    expect(kept(move, "passes.jsonl").splitlines()[-2] == '{"began_us": 1' and json.loads(kept(move, "passes.jsonl").splitlines()[-1])["result"] == "different",
           kept(move, "passes.jsonl"))
    folder = os.path.join(move.state_directory, "verify")
    expect(os.stat(folder).st_mode & 0o777 == 0o700, oct(os.stat(folder).st_mode))
    os.rename(folder, folder + ".away")
    with open(folder, "w", encoding="utf-8"):
        pass
    code, out, err = move.command("verify")
    expect(code == 3 and "CF1784" in err and "fix:" in err, "status %d\n%s%s" % (code, out, err))
    os.remove(folder)
    verdict(move, 1)
    os.remove(os.path.join(folder, "last.json"))
    os.makedirs(os.path.join(folder, "last.json", "in the way"))
    code, out, err = move.command("verify")
    expect(code == 3 and "CF1784" in err and "verify: different" in out, "what was found is not shown: status %d\n%s%s" % (code, out, err))
    shutil.rmtree(os.path.join(folder, "last.json"))
    code, out, err = move.command("verify")
    expect(code == 1 and "goes on" in err and "2 of 2 chunks" not in err, "status %d\n%s%s" % (code, out, err))


def range_reads(scene):
    """Statements by which ranges of t were read on the source so far."""
    return int(scene.source.value("SELECT COUNT(*) FROM mysql.general_log WHERE command_type = 'Execute' "
                                  "AND argument LIKE '%%FROM `%s`.`t`%%' AND argument NOT LIKE '%% IN (%%' AND argument NOT LIKE '%%LIMIT 1'" % scene.database))


@hazard("verify", engines=("mariadb",))
def a_killed_pass_goes_on(scene):
    """It reads no chunk again that was done, and its result holds what was found before and after the kill."""
    scene.own_source("--general-log", "--log-output=TABLE")
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t SELECT seq, seq FROM seq_1_to_4000; ANALYZE TABLE t")
    move = scene.migration(tenant="first", verify__chunk_rows=200, verify__readers=1)
    move.start()
    move.wait_phase("following")

    def killed(failpoints, *arguments):
        died = verify(move, *arguments, failpoints=failpoints)
        out, err = died.communicate(timeout=60)
        expect(died.returncode == migration.CRASH_STATUS, "status %d\n%s%s" % (died.returncode, out, err))
        return err

    def ends(resumed, *arguments):
        before = range_reads(scene)
        ended = verify(move, *arguments)
        out, err = ended.communicate(timeout=60)
        expect(ended.returncode == 1, "status %d\n%s%s" % (ended.returncode, out, err))
        answer = json.loads(out)
        expect(answer["resumed"] == resumed and ("goes on" in err) == (resumed > 0), "resumed %d\n%s" % (answer["resumed"], err))
        expect(answer["tables"][0]["source_rows"] == 4000, out)
        expect(not os.path.exists(os.path.join(move.state_directory, "verify", "pass.jsonl")), "left behind")
        return answer, range_reads(scene) - before

    scene.on_target("UPDATE t SET v = -1 WHERE id = 5")
    whole, reads = ends(0)
    chunks = whole["tables"][0]["chunks"]
    expect(chunks >= 15 and reads == chunks + 1, "%d chunks, %d reads" % (chunks, reads))
    killed("verify.note.after=crash@6")  # the first line is of the pass itself
    expect("goes on" in killed("verify.note.before=crash@5"), "does not say that it goes on")  # it was gone on with, and three chunks done
    with open(os.path.join(move.state_directory, "verify", "pass.jsonl"), "a", encoding="utf-8") as file:
        file.write('{"table": 0, "chunk": 1')  # torn by a loss of power
    scene.on_target("UPDATE t SET v = -1 WHERE id = 3990; DELETE FROM t WHERE id = 3995")
    answer, reads = ends(2)
    expect([(d["key"], d["kind"]) for d in sorted(answer["tables"][0]["differences"], key=lambda d: d["key"])] ==
           [("id=3990", "different"), ("id=3995", "missing"), ("id=5", "different")], str(answer))
    expect(answer["tables"][0]["chunks"] == chunks and reads == chunks - 8 + 1, "%d chunks, %d reads after 8 were done" % (chunks, reads))
    expect(ends(0)[0]["differences"] == 3, "a new pass")
    killed("verify.note.after=crash@6")
    _, reads = ends(0, "--restart")
    expect(reads >= chunks, "only %d reads" % reads)
    killed("verify.note.after=crash@6")
    move.settings["verify.chunk_rows"] = 500
    move.write()
    expect(ends(0)[0]["tables"][0]["chunks"] < chunks, "the chunks of another plan")


@hazard("verify", engines=("mariadb",))
def a_comparison_shows_where_it_is_and_yields(scene):
    """On standard error, beside the result. It waits while it is paused, and while the source is under load, and then goes on."""
    scene.own_source()
    scene.source.client("GRANT PROCESS ON *.* TO '%s'@'127.0.0.1'" % servers.MIGRATION_USER)
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t SELECT seq, seq FROM seq_1_to_8000; ANALYZE TABLE t")
    move = scene.migration(tenant="first", verify__chunk_rows=200)
    move.start()
    move.wait_phase("following")
    scene.on_target("UPDATE t SET v = -1 WHERE id = 5")
    slow = verify(move, verify__max_rows_per_second=1600)
    out, err = slow.communicate(timeout=60)
    expect(slow.returncode == 1 and json.loads(out)["differences"] == 1, "status %d\n%s" % (slow.returncode, err))
    shown = re.findall(r"verify: (\d+) of about (\d+) rows, 0/1 tables, (\d+) rows/s, (\d+) s left, 1 differences", err)
    expect(shown and int(shown[0][0]) > 500 and 6000 < int(shown[0][1]) < 10000 and 500 < int(shown[0][2]) < 3000, "progress: %s" % err)
    silent = verify(move, "--no-progress")
    expect("rows/s" not in silent.communicate(timeout=60)[1], "progress although it was told not to")
    move.command("pause")
    paused = verify(move, verify__max_rows_per_second=0)
    time.sleep(3)
    expect(paused.poll() is None, "it ended although it was paused")
    code, out, err = move.command("resume")
    expect(code == 0, out + err)
    out, err = paused.communicate(timeout=60)
    expect(paused.returncode == 1 and "waits: paused by the operator" in err, "status %d\n%s" % (paused.returncode, err))
    loads = [scene.source.connect(autocommit=True) for _ in range(8)]
    threads = [threading.Thread(target=lambda c: c.cursor().execute("SELECT SLEEP(4)"), args=(connection,)) for connection in loads]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    begun = time.monotonic()
    yielding = verify(move, snapshot__source_max_threads_running=7)
    out, err = yielding.communicate(timeout=60)
    took = time.monotonic() - begun
    for thread in threads:
        thread.join()
    expect(yielding.returncode == 1 and took > 3 and "waits: the source is under load" in err,
           "%.1f s, status %d\n%s" % (took, yielding.returncode, err))


@hazard("verify")
def a_comparison_that_waits_holds_nothing_on_the_source(scene):
    """Neither between chunks nor between pages: what the source must keep for our snapshot would be the load that we wait for."""
    scene.own_source()
    numbers = "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 900) SELECT %s FROM s"
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY, v INT); CREATE TABLE w (id VARCHAR(20) COLLATE {{nopad_bin}} PRIMARY KEY, v INT);"
                 "INSERT INTO t " + numbers % "i, i" + "; INSERT INTO w " + numbers % "CONCAT('w', i), i" + ";"
                 "INSERT INTO t SELECT id + 1000, v FROM t; INSERT INTO t SELECT id + 2000, v FROM t; INSERT INTO w SELECT CONCAT('x', id), v FROM w;"
                 "INSERT INTO w SELECT CONCAT('y', id), v FROM w; ANALYZE TABLE t; ANALYZE TABLE w")
    for without in ("t", "w"):
        scene.new_target_database()
        move = scene.migration(tenant=without, tables__exclude=[without], verify__chunk_rows=100, verify__max_rows_per_second=600, verify__readers=1)
        move.start()
        move.wait_phase("following")
        scene.on_target("UPDATE %s SET v = -1 WHERE v = 7" % ("w" if without == "t" else "t"))  # is looked at again, too
        beside = verify(move)
        time.sleep(1.5)
        move.command("pause")
        stage.wait_until(lambda: open_transactions(scene) == 0, "it waits, and holds a snapshot", 15)
        time.sleep(1)
        expect(open_transactions(scene) == 0 and beside.poll() is None, "a snapshot while it is paused")
        move.command("resume")
        out, err = beside.communicate(timeout=90)
        expect(beside.returncode == 1 and json.loads(out)["differences"] == 4, "status %d\n%s%s" % (beside.returncode, out, err))
        move.stop()


@hazard("verify", engines=("mariadb",))
def a_load_that_comes_within_a_chunk_finds_no_snapshot_held_for_it(scene):
    """The chunk that is being read is read to its end; what waits for the source's load, however long that lasts, waits before the next one."""
    scene.own_source()
    scene.source.client("GRANT PROCESS ON *.* TO '%s'@'127.0.0.1'" % servers.MIGRATION_USER)
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t SELECT seq, seq FROM seq_1_to_6000; CREATE TABLE u LIKE t; INSERT INTO u SELECT * FROM t")
    move = scene.migration(tenant="first", verify__readers=1, verify__max_rows_per_second=3000, snapshot__source_max_threads_running=7)
    move.start()
    move.wait_phase("following")
    beside = verify(move)
    stage.wait_until(lambda: open_transactions(scene) == 1, "it reads nothing", 20)
    loads = [scene.source.connect(autocommit=True) for _ in range(9)]
    threads = [threading.Thread(target=lambda c: c.cursor().execute("SELECT SLEEP(15)"), args=(connection,)) for connection in loads]
    for thread in threads:
        thread.start()
    time.sleep(6)
    for _ in range(5):
        expect(open_transactions(scene) == 0 and beside.poll() is None, "a snapshot is held while it waits, or it does not wait")
        time.sleep(0.5)
    out, err = beside.communicate(timeout=60)
    for thread in threads:
        thread.join()
    expect(beside.returncode == 0 and "waits: the source is under load" in err, "status %d\n%s%s" % (beside.returncode, out, err))


def open_transactions(scene):
    time.sleep(0.15)  # InnoDB answers from what it showed last to whoever asks again within a tenth of a second
    return int(scene.source.value("SELECT COUNT(*) FROM information_schema.innodb_trx JOIN information_schema.processlist ON id = trx_mysql_thread_id WHERE user = '%s'"
                                  % servers.MIGRATION_USER))


def whole(scene, table):
    return int(scene.source.value("SELECT COUNT(*) FROM mysql.general_log WHERE command_type = 'Execute' AND argument LIKE '%%FROM `%s`.`%s`'"
                                  % (scene.database, table)))


@hazard("verify", engines=("mariadb",), quick=False)
def a_table_read_in_one_piece_is_compared_in_few_reads(scene):
    """Its key is a text, and a tenth of its rows is written all the time: both sides are read a few times, nothing is undecided, and what is wrong is found."""
    scene.own_source("--general-log", "--log-output=TABLE")
    scene.schema("CREATE TABLE words (w VARCHAR(60) COLLATE utf8mb4_bin PRIMARY KEY, n INT, v INT, KEY (n));"
                 "INSERT INTO words SELECT SHA1(seq), seq, 0 FROM seq_1_to_100000; ANALYZE TABLE words")
    move = scene.migration(tenant="first", types__text_keys="exact")
    move.start()
    move.wait_phase("following")
    scene.on_target("UPDATE words SET v = -1 WHERE n = 77777; DELETE FROM words WHERE n = 88888; INSERT INTO words VALUES ('first', 'extra', 0, 0)")
    connection = scene.source.connect(scene.database, autocommit=True)
    cursor = connection.cursor()
    round_ = itertools.count()

    def write():
        cursor.execute("UPDATE words SET v = v + 1 WHERE n BETWEEN %s AND %s", (lambda n: (n, n + 199))(next(round_) % 50 * 200))

    with stage.Background(write):
        before = whole(scene, "words")
        answer = verdict(move, 1)["tables"][0]
        reads = whole(scene, "words") - before
    expect((answer["different"], answer["missing"], answer["extra"], answer["undecided"]) == (1, 1, 1, 0), json.dumps(answer)[:2000])
    expect(answer["source_rows"] == 100000 and reads <= 4, "%d reads" % reads)


@hazard("verify", engines=("mariadb",), quick=False)
def large_rows_that_differ_take_little_memory(scene):
    """30 rows of 20 MiB, all different: less than 200 MiB and three times the largest row."""
    scene.own_source("--max-allowed-packet=256M", "--innodb-log-file-size=512M")
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY, doc LONGTEXT)")
    scene.schema("INSERT INTO t SELECT seq, REPEAT(CONCAT(seq, 'abcdefghij'), 1700000) FROM seq_1_to_30")
    move = scene.migration(tenant="first")
    move.start()
    move.wait_phase("following")
    scene.on_target("UPDATE t SET doc = 'x' || substr(doc, 2)")
    largest = int(scene.on_target("SELECT max(length(doc)) >> 20 FROM t"))
    process = verify(move)
    peak = 0
    with open("/proc/%d/status" % process.pid, encoding="ascii") as status:
        while process.poll() is None:
            status.seek(0)
            peak = max([peak] + [int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM")])
            time.sleep(0.02)
    out, err = process.communicate()
    expect(process.returncode == 1 and json.loads(out)["tables"][0]["different"] == 30, "status %d\n%s\n%s" % (process.returncode, out[:1000], err))
    expect(len(out) < 100000, "%d bytes are shown" % len(out))
    expect(largest >= 18 and peak < 200 + 3 * largest, "%d MiB for rows of %d MiB" % (peak, largest))
    print("large rows: %d MiB for rows of %d MiB" % (peak, largest), flush=True)
