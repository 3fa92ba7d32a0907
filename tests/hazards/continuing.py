"""What the comparison beside a run must find without a full pass, and must not, over kills and a lost beginning of the journal."""

import json
import os
import time

import migration
from stage import Background, Wrong, expect, hazard, wait_until

from verifying import FILLED, Writer

FAST = {"verify__continuous": True}

TABLES = FILLED + """
CREATE TABLE words (word VARCHAR(30) COLLATE utf8mb4_bin PRIMARY KEY, v INT);
CREATE TABLE twice (a INT, b VARCHAR(10));
INSERT INTO twice VALUES (1, 'x'), (1, 'x'), (2, NULL);
CREATE TABLE priced (price DECIMAL(10,3), at DATETIME, v INT, PRIMARY KEY (price, at));
INSERT INTO priced VALUES (2.5, '2020-01-02 00:00:03', 0), (2, '2020-01-02 00:00:03', 0), (-0.25, '2020-01-02 00:00:03', 0);
CREATE TABLE hot (id INT PRIMARY KEY, n INT);
INSERT INTO hot VALUES (1, 0), (2, 0), (3, 0);
"""


def shown(move):
    move._still_running()
    status = move.status()
    return status["verify"] if status else {"full_began_us": 0, "checked_us": 0, "open": 0, "undecided": 0, "waiting": [], "checked_seq": 0}


def wait_shown(move, condition, message, timeout_s=60):
    last = {}

    def holds():
        last.update(shown(move))
        return condition(last)

    try:
        wait_until(holds, message, timeout_s)
    except Wrong as error:
        raise Wrong("%s: %s\n%s" % (error, last, move.log_tail()))


def wait_full_pass(move, after_us=0):
    move.wait_phase("following")
    wait_shown(move, lambda v: v["full_began_us"] > after_us, "no full pass has ended", 90)
    return shown(move)


def wait_checked(move):
    """Until all that is committed now is compared."""
    applied = move.wait_applied()["at_us"]
    wait_shown(move, lambda v: v["checked_us"] > applied, "touched rows are not compared")
    return shown(move)


def final(move, result=None):
    code, out, err = move.command("verify", "--final", "--json")
    expect(out.startswith("{"), "verify --final ended with status %d\n%s%s" % (code, out, err))
    answer = json.loads(out)
    expect(code == {"equal": 0, "different": 1, "undecided": 2}[answer["result"]], "status %d, %s" % (code, answer["result"]))
    if result:
        expect(answer["result"] == result, out)
    return answer


@hazard("continuous")
def touched_rows_give_no_false_alarm_and_hide_nothing(scene):
    """Under load for a while nothing may be called different; then a wrong row that is touched is found without a full pass, and its mending is seen."""
    scene.schema(TABLES)
    move = scene.migration(tenant="first", types__text_keys="exact", **FAST)
    move.start()
    full = wait_full_pass(move)
    writer = Writer(scene)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            expect(shown(move)["open"] == 0, "a false alarm: %s\n%s" % (shown(move), move.log_tail()))
            time.sleep(0.5)
        scene.on_target("UPDATE everything SET note = 'planted' WHERE id = 99")
        time.sleep(2.5)
        expect(shown(move)["open"] == 0, "nobody touched it: %s" % shown(move))
        scene.sql("UPDATE everything SET small = 5 WHERE id = 99")
        wait_shown(move, lambda v: v["open"] == 1, "not found")
        scene.on_target("UPDATE everything SET note = 'note 99' WHERE id = 99")
        wait_shown(move, lambda v: v["open"] == 0, "mended, and not seen")
    finally:
        writer.stop()
    log = move.log_tail(100000)
    expect(log.count("everything id=99: different") == 1 and log.count("everything id=99: equal again") == 1, log[-3000:])
    expect(log.count("different on the two sides") == 1, log[-3000:])
    wait_checked(move)
    answer = final(move, "equal")
    expect(shown(move)["full_began_us"] == full["full_began_us"], "another full pass was made")
    print("    final check: %s touched rows, check_ms %s" % (answer["touched_keys"], answer["check_ms"]))
    scene.catch_up_and_compare(move)


@hazard("continuous", "report")
def a_report_does_not_call_equal_what_continuous_comparison_knows_to_differ(scene):
    """A pass that found all rows equal, then a row that differs and is touched: what is signed must say so."""
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY, v INT, w INT); INSERT INTO t VALUES (1, 0, 0), (2, 0, 0), (3, 0, 0)")
    move = scene.migration(tenant="first", **FAST)
    move.start()
    wait_full_pass(move)

    def report():
        code, out, err = move.command("report", "--json", "-")
        expect(code == 0, err)
        return json.loads(out)

    code, out, err = move.command("verify")
    expect(code == 0, "%s%s" % (out, err))
    data = report()
    expect(data["continuous"]["open"] == 0 and data["continuous"]["full_pass"]["result"] == "equal", str(data["continuous"]))
    expect(data["verdict"] == "equal", "%s %s" % (data["verdict"], data["remarks"]))
    scene.on_target("UPDATE t SET v = 7 WHERE id = 2")
    scene.sql("UPDATE t SET w = 1")
    wait_shown(move, lambda v: v["open"] == 1, "not found")
    time.sleep(1.5)
    data = report()
    expect(data["verdict"] == "different" and data["continuous"]["open"] == 1, "%s %s" % (data["verdict"], data["continuous"]))
    expect(any("1 row differs" in remark for remark in data["remarks"]) and "1 row is" in data["sentence"], "%s %s" % (data["sentence"], data["remarks"]))
    code, out, err = move.command("report", "--html", "-")
    expect("Continuous comparison" in out and "Rows that differ" in out, "no section of it")
    move.stop()


@hazard("continuous")
def the_final_check_names_what_is_wrong(scene):
    """A wrong row that was touched last is named by the final check alone, also while the process that follows is gone."""
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY, v INT, w INT); INSERT INTO t VALUES (1, 0, 0), (2, 0, 0), (3, 0, 0);"
                 "CREATE TABLE empty_one (id INT PRIMARY KEY)")
    move = scene.migration(tenant="first")
    move.start()
    move.wait_phase("following")
    code, out, err = move.command("verify", "--final")
    expect(code == 4 and "CF1787" in err, "status %d\n%s%s" % (code, out, err))
    move.stop()
    move.settings["verify.continuous"] = True
    move.write()
    move.start()
    wait_full_pass(move)
    final(move, "equal")
    scene.on_target("UPDATE t SET v = 7 WHERE id = 2")
    final(move, "equal")  # as far as it looks: touched rows
    scene.sql("UPDATE t SET w = 1")
    move.wait_applied()
    answer = final(move, "different")
    expect(answer["different"] == 1 and answer["reasons"] == ["t id=2: different"], json.dumps(answer))
    with open(move.state_directory + "/audit.jsonl", encoding="utf-8") as file:
        last = [record for record in map(json.loads, file) if record["action"] == "verify final"][-1]["details"]
    expect((last["result"], last["position"], last["check_ms"]) == ("different", answer["position"], answer["check_ms"]), str(last))
    wait_checked(move)
    expect(shown(move)["open"] == 1, str(shown(move)))
    move.stop()
    answer = final(move, "different")
    expect(answer["reasons"] == ["t id=2: different"], json.dumps(answer))
    scene.on_target("UPDATE t SET v = 0 WHERE id = 2")
    final(move, "equal")
    scene.sql("UPDATE t SET w = 2 WHERE id = 3")
    code, out, _ = move.command("verify", "--final", "--within", "1")
    expect(code == 1 and "captured" in out, "status %d\n%s" % (code, out))  # with what was known last


@hazard("continuous")
def a_wrong_cascade_is_found_without_a_full_pass(scene):
    """The children of a parent that was changed are looked at on both sides, and the tables whose rows cannot be told as a whole."""
    scene.schema("CREATE TABLE parent (id INT PRIMARY KEY, code VARCHAR(20) COLLATE utf8mb4_bin NOT NULL UNIQUE);"
                 "CREATE TABLE child (id INT PRIMARY KEY, code VARCHAR(20) COLLATE utf8mb4_bin, v INT, UNIQUE (code),"
                 "  FOREIGN KEY (code) REFERENCES parent (code) ON UPDATE CASCADE ON DELETE CASCADE);"
                 "CREATE TABLE grandchild (id INT PRIMARY KEY, code VARCHAR(20) COLLATE utf8mb4_bin, v INT,"
                 "  FOREIGN KEY (code) REFERENCES child (code) ON UPDATE CASCADE ON DELETE CASCADE);"
                 "CREATE TABLE loose (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE SET NULL);"
                 "INSERT INTO parent VALUES (1, 'a'), (2, 'b'), (3, 'c'); INSERT INTO child VALUES (1, 'a', 0), (2, 'b', 0);"
                 "INSERT INTO grandchild VALUES (1, 'a', 0), (2, 'b', 0); INSERT INTO loose VALUES (1, 1), (2, 2), (3, 3)")
    move = scene.migration(tenant="first", types__text_keys="exact", **FAST)
    move.start()
    full = wait_full_pass(move)
    scene.on_target("UPDATE child SET v = 5 WHERE id = 1; UPDATE grandchild SET v = 5 WHERE id = 2")
    time.sleep(1.5)
    expect(shown(move)["open"] == 0, "nobody touched their parents: %s" % shown(move))
    if scene.engine == "mysql":  # logs the children's rows, which apply then makes as they should be
        scene.sql("UPDATE parent SET code = 'A' WHERE id = 1; UPDATE parent SET code = 'B' WHERE id = 2")
        wait_checked(move)
        expect(scene.on_target("SELECT count(*) FROM child JOIN grandchild USING (code) WHERE child.v + grandchild.v > 0").strip() == "0", "the rows in the log were not written")
    else:
        scene.sql("UPDATE parent SET code = 'A' WHERE id = 1")
        wait_shown(move, lambda v: v["open"] == 1, "the child was not found")
        scene.sql("UPDATE parent SET code = 'B' WHERE id = 2")
        wait_shown(move, lambda v: v["open"] == 2, "the grandchild was not found")
        log = move.log_tail(20000)
        expect("child id=1: different" in log and "grandchild id=2: different" in log, log)
    scene.on_target("UPDATE child SET v = 0; UPDATE grandchild SET v = 0")
    wait_shown(move, lambda v: v["open"] == 0, "mended, and not seen")
    scene.on_target("UPDATE loose SET parent = NULL WHERE id = 2")
    scene.sql("DELETE FROM parent WHERE id = 3")
    wait_shown(move, lambda v: v["open"] == 1 and not v["waiting"], "the table of the row that was set to NULL was not compared")
    expect(shown(move)["full_began_us"] == full["full_began_us"], "a full pass was made")
    answer = final(move, "different")
    expect(answer["reasons"] == ["loose id=2: different"], json.dumps(answer))


@hazard("continuous", "crash")
def no_touched_row_is_forgotten_by_a_kill(scene):
    """Killed around the note of what is compared: the row that was touched before is found by the next process, without a full pass."""
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY, v INT, w INT); INSERT INTO t VALUES (1, 0, 0), (2, 0, 0), (3, 0, 0)")
    move = scene.migration(tenant="first", journal__keep_s=0, **FAST)
    move.start()
    full = wait_full_pass(move)
    for number, failpoint in enumerate(("verify.checked.before", "verify.checked.after", None)):
        wait_checked(move)
        move.stop()
        row = number + 1
        scene.on_target("UPDATE t SET v = 7 WHERE id = %d" % row)
        scene.sql("UPDATE t SET w = w + 1 WHERE id = %d" % row)
        move.start(failpoints=failpoint and failpoint + "=crash")
        if failpoint:
            move.wait()
        else:
            move.wait_applied()
            move.kill()
        move.start()
        wait_shown(move, lambda v: v["open"] == 1 and v["checked_us"] > 0, "%s: not found" % failpoint)
        expect(shown(move)["full_began_us"] == full["full_began_us"], "another full pass was made")
        scene.on_target("UPDATE t SET v = 0 WHERE id = %d" % row)
        wait_shown(move, lambda v: v["open"] == 0, "mended, and not seen")


@hazard("continuous")
def a_journal_without_the_touched_rows_begins_anew(scene):
    """Followed for a while without comparing, and trimmed: the last full pass no longer counts, and another finds what was touched meanwhile."""
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY, v INT, w INT); INSERT INTO t VALUES (1, 0, 0), (2, 0, 0), (3, 0, 0)")
    move = scene.migration(tenant="first", journal__keep_s=0, **FAST)
    move.start()
    full = wait_full_pass(move)
    move.stop()
    move.settings["verify.continuous"] = False
    move.write()
    move.start()
    scene.on_target("UPDATE t SET v = 7 WHERE id = 2")
    for _ in range(5):
        scene.sql("UPDATE t SET w = w + 1")
        move.wait_applied()
        time.sleep(0.6)
    move.stop()
    move.settings["verify.continuous"] = True
    move.write()
    answer = final(move)
    expect(answer["result"] == "undecided" and "no pass" in answer["reasons"][0], json.dumps(answer))
    move.start()
    wait_full_pass(move, full["full_began_us"])
    expect("does not count any more" in move.log_tail(20000), move.log_tail())
    wait_shown(move, lambda v: v["open"] == 1, "not found")
    expect(final(move, "different")["reasons"] == ["t id=2: different"], "another row")


@hazard("continuous")
def tables_that_cannot_be_told_by_rows_are_compared_as_a_whole(scene):
    """No key, and TRUNCATE: they wait for a pass of their own, and the final check makes it itself."""
    scene.schema("CREATE TABLE twice (a INT, b VARCHAR(10)); INSERT INTO twice VALUES (1, 'x'), (1, 'x'), (2, NULL);"
                 "CREATE TABLE emptied (id INT PRIMARY KEY, v INT); INSERT INTO emptied VALUES (1, 1), (2, 2)")
    move = scene.migration(tenant="first", **FAST)
    move.start()
    full = wait_full_pass(move)
    scene.sql("INSERT INTO twice VALUES (3, 'y'); TRUNCATE TABLE emptied; INSERT INTO emptied VALUES (3, 3)")
    wait_checked(move)
    wait_shown(move, lambda v: not v["waiting"], "not compared")
    with Background(lambda: scene.sql("INSERT INTO twice VALUES (4, 'z')"), 0.3):
        time.sleep(2)
    wait_checked(move)
    move.stop()
    scene.on_target("INSERT INTO twice VALUES ('first', 9, 'planted')")
    answer = final(move, "different")
    expect(answer["reasons"][0] == "twice a=9, b='planted': different" and answer["tables_compared"] == ["twice"], json.dumps(answer))
    scene.on_target("DELETE FROM twice WHERE b = 'planted'")
    answer = final(move, "equal")
    expect(answer["tables_compared"] == ["twice"] and answer["full_pass"]["began_us"] == full["full_began_us"], json.dumps(answer))


@hazard("continuous", engines=("mariadb",))
def a_key_handed_on_hides_a_grandchild_that_cannot_be_found(scene):
    """Below a child whose key an action changed: a table without a key, and one whose rows are set to NULL. What is wrong there must not be called equal."""
    scene.own_source()  # nobody else writes to it while 'run' is stopped
    scene.schema("CREATE TABLE p (id INT PRIMARY KEY); CREATE TABLE c (pid INT PRIMARY KEY, v INT, FOREIGN KEY (pid) REFERENCES p (id) ON UPDATE CASCADE);"
                 "CREATE TABLE g (cpid INT, v INT, KEY (cpid), FOREIGN KEY (cpid) REFERENCES c (pid) ON UPDATE CASCADE);"
                 "CREATE TABLE s (id INT PRIMARY KEY, cpid INT, FOREIGN KEY (cpid) REFERENCES c (pid) ON UPDATE SET NULL);"
                 "INSERT INTO p VALUES (1), (2), (3); INSERT INTO c VALUES (1, 0), (2, 0), (3, 0); INSERT INTO g VALUES (1, 0), (2, 0); INSERT INTO s VALUES (1, 1), (2, 3)")
    move = scene.migration(tenant=None, **FAST)  # beside a tenant column SET NULL is refused
    move.start()
    full = wait_full_pass(move)
    scene.on_target("UPDATE g SET v = 9 WHERE cpid = 2; UPDATE s SET id = 9 WHERE id = 2")  # rows that no log will name
    scene.sql("UPDATE p SET id = 20 WHERE id = 2; UPDATE p SET id = 30 WHERE id = 3")
    wait_checked(move)
    move.stop()
    answer = final(move, "different")
    expect(sorted(answer["tables_compared"]) == ["g", "s"], json.dumps(answer))
    text = "\n".join(answer["reasons"])
    expect("g cpid=20, v=9: different" in text and "s id=2: different" in text and "s id=9: different" in text, text)
    scene.on_target("UPDATE g SET v = 0; UPDATE s SET id = 2 WHERE id = 9")
    expect(final(move, "equal")["full_pass"]["began_us"] == full["full_began_us"], "a full pass was made")


@hazard("continuous", engines=("mariadb",), quick=False)
def a_final_check_keeps_to_its_time(scene):
    """Far more rows were touched than can be compared in the time allowed: it ends in time and says how far it is; with more time it says that all is equal."""
    scene.own_source()
    scene.schema("CREATE TABLE t (id INT PRIMARY KEY, v INT, w INT); INSERT INTO t SELECT seq, 0, 0 FROM seq_1_to_150000")
    move = scene.migration(tenant="first", journal__keep_s=3600, **FAST)
    move.start()
    full = wait_full_pass(move)
    move.stop()
    move.settings["verify.continuous"] = False
    move.write()
    move.start()
    for begin in range(0, 150000, 15000):
        scene.sql("UPDATE t SET w = 1 WHERE id > %d AND id <= %d" % (begin, begin + 15000))
    move.wait_applied()
    began = time.monotonic()
    code, out, err = move.command("verify", "--final", "--within", "1", "--json")
    took = time.monotonic() - began
    expect(code == 2, "status %d\n%s%s" % (code, out, err))
    answer = json.loads(out)
    expect("touched rows are compared up to seq" in answer["reasons"][0] and 0 < answer["touched_keys"] < 150000, json.dumps(answer))
    expect(took < 4 and answer["check_ms"] < 2000, "it took %.1f s\n%s" % (took, out))
    code, out, err = move.command("verify", "--final", "--within", "300", "--json", timeout_s=320)
    expect(code == 0 and json.loads(out)["full_pass"]["began_us"] == full["full_began_us"], "status %d\n%s%s" % (code, out, err))


# Several chunks of each, of which the larger table's come first.
NUMBERS = "INSERT INTO {0} SELECT n, 0 FROM (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {1}) SELECT n FROM s) AS numbers; ANALYZE TABLE {0};"
PASSED = "CREATE TABLE a (id INT PRIMARY KEY, v INT); CREATE TABLE b (id INT PRIMARY KEY, v INT);" + NUMBERS.format("a", 500) + NUMBERS.format("b", 300)


def background_notes(move):
    try:
        with open(os.path.join(move.state_directory, "verify", "background.jsonl"), encoding="utf-8") as file:
            return [json.loads(line) for line in file.read().splitlines()]
    except (FileNotFoundError, ValueError):
        return []


@hazard("continuous", "crash")
def a_full_pass_beside_the_run_goes_on_after_a_kill(scene):
    """What the first process found is not forgotten, and what it compared is not compared again."""
    scene.schema(PASSED)
    move = scene.migration(tenant="first", verify__chunk_rows=100)
    move.run_until_caught_up()
    scene.on_target("UPDATE a SET v = 7 WHERE id = 5")
    move.settings["verify.continuous"] = True
    move.write()
    for _ in range(2):
        move.start(failpoints="verify.note.after=crash@4")
        expect(move.wait() == migration.CRASH_STATUS, "did not die at the failpoint\n" + move.log_tail())
    move.start()
    found = wait_full_pass(move)
    expect(found["full_result"] == "different" and found["open"] == 1 and found["full_rows"] == 800, str(found))
    wait_shown(move, lambda v: not v["waiting"], "the table in which a row differs is not looked at once more")
    log = move.log_tail(100000)
    expect(log.count("a full pass over 2 tables begins") == 1 and log.count("goes on: ") == 2, log[-3000:])
    expect(not background_notes(move), "notes of a pass that has ended")
    expect(final(move, "different")["different"] == 1, "not named")
    scene.on_target("UPDATE a SET v = 0 WHERE id = 5")
    wait_shown(move, lambda v: v["open"] == 0, "mended, and not seen")


@hazard("continuous", "crash", quick=False)
def what_waits_for_a_pass_is_not_forgotten_by_one_that_goes_on(scene):
    """A table that was emptied behind the place where the pass was, before the kill: the pass that goes on did not look at it."""
    scene.schema(PASSED)
    move = scene.migration(tenant="first", verify__chunk_rows=100, verify__max_rows_per_second=150, **FAST)
    move.start()
    wait_until(lambda: sum(note.get("table") == 0 for note in background_notes(move)) == 5, "the first table is not compared")
    scene.sql("TRUNCATE TABLE a")
    wait_shown(move, lambda v: v["waiting"] == ["a"], "the table that was emptied does not wait")
    move.kill()
    scene.on_target("INSERT INTO a (tenant_id, id, v) VALUES ('first', 9, 9)")
    move.settings["verify.max_rows_per_second"] = 0
    move.write()
    move.start()
    wait_full_pass(move)
    expect("goes on: " in move.log_tail(100000), move.log_tail())
    wait_shown(move, lambda v: v["open"] == 1, "the row is not found")
