"""Tables whose key has no number first: crossfade verify reads them page by page, and goes on where it was interrupted."""

import json
import os
import random

import migration
from passing import verify
from stage import Background, expect, hazard, peak_mib
from verifying import verdict

ROWS = 200000
# Words of many kinds, which the two sides do not sort alike; `n` finds them on either side.
WORDS = """
CREATE TABLE words (word VARCHAR(60) CHARACTER SET utf8mb4 COLLATE {{nopad_bin}}, part INT, n INT NOT NULL, v INT NOT NULL, note VARCHAR(200), PRIMARY KEY (word, part), KEY (n));
INSERT INTO words SELECT CONCAT(ELT(n %% 7 + 1, 'a', 'B', 'ä', 'Z', 'zebra ', '中', ''), CRC32(n DIV 2), '-', n DIV 2), n %% 2, n, 0, REPEAT('x', n %% 200)
  FROM (WITH RECURSIVE a(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM a WHERE i < 499), b(j) AS (SELECT 0 UNION ALL SELECT j + 1 FROM b WHERE j < %d)
        SELECT i + 500 * j AS n FROM a, b) numbers;
ANALYZE TABLE words;
"""


def pages_read(scene):
    """Rows asked for by each page of words that was read on the source so far."""
    return [int(row[0].rsplit(" ", 1)[1]) for row in scene.source.rows(
        "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log WHERE command_type = 'Execute' AND argument LIKE '%%FROM `%s`.`words` FORCE INDEX%%LIMIT %%'"
        " ORDER BY event_time" % scene.database)]


def begin(scene, rows, **settings):
    scene.own_source("--general-log", "--log-output=TABLE")
    scene.schema(WORDS % (rows // 500 - 1))
    move = scene.migration(tenant="first", verify__readers=1, types__text_keys="exact", **settings)
    move.start()
    move.wait_phase("following")
    return move


def killed(move, failpoints):
    died = verify(move, failpoints=failpoints)
    out, err = died.communicate(timeout=120)
    expect(died.returncode == migration.CRASH_STATUS, "status %d\n%s%s" % (died.returncode, out, err))


def found(table):
    return sorted((d["kind"], d["key"].split("part=")[-1], [c["column"] for c in d["columns"]] if d["kind"] == "different" else None) for d in table["differences"])


@hazard("verify", quick=False)
def a_large_table_with_a_text_key_is_compared_page_by_page(scene):
    """While rows of it are changed, removed and added all the time: what is wrong is found, and nothing else, in short reads and little memory; killed in the middle, it goes on."""
    move = begin(scene, ROWS)
    scene.on_target("UPDATE words SET v = -1 WHERE n = 150001; DELETE FROM words WHERE n = 150002; UPDATE words SET part = 7 WHERE n = 150004;"
                    "INSERT INTO words VALUES ('first', 'only here', 3, -1, 0, NULL); UPDATE words SET tenant_id = 'second' WHERE n = 150006")
    connection = scene.source.connect(scene.database, autocommit=True)
    cursor = connection.cursor()
    numbers = random.Random(5)

    def write():
        n = numbers.randrange(150000)
        cursor.execute("UPDATE words SET v = v + 1 WHERE n BETWEEN %s AND %s", (n, min(n + 20, 149999)))
        cursor.execute("DELETE FROM words WHERE n = %s", (n,))
        cursor.execute("INSERT INTO words VALUES (UUID(), 0, %s, 0, 'new')", (n,))
        cursor.execute("UPDATE words SET word = CONCAT(word, 'x') WHERE n = %s", (numbers.randrange(150000),))

    with Background(write, 0.01):
        killed(move, "verify.replace.after=crash@2")
        killed(move, "verify.note.after=crash@12")
        before = len(pages_read(scene))
        process = verify(move)
        peak = 0
        while process.poll() is None:
            try:
                peak = max(peak, peak_mib(process.pid))
            except (StopIteration, OSError):
                break
            try:
                process.wait(0.02)
            except Exception:
                pass
        out, err = process.communicate(timeout=120)
        reads = len(pages_read(scene)) - before
    expect(process.returncode == 1 and "goes on" in err, "status %d\n%s%s" % (process.returncode, out[:2000], err))
    answer = json.loads(out)
    table = answer["tables"][0]
    expect([kind for kind, _, _ in found(table)] == ["different", "extra", "extra", "missing", "missing", "missing"] and table["undecided"] == 0, out[:4000])
    expect(abs(table["source_rows"] - ROWS) < ROWS / 20 and abs(table["target_rows"] - ROWS) < ROWS / 20, out[:300])
    expect(8 <= reads <= 30, "%d pages" % reads)
    expect(peak < 200, "%d MiB" % peak)
    print("pages: %d rows, %d pages after the kill, %d MiB" % (table["source_rows"], reads, peak), flush=True)
    move.wait_applied()
    quiet = verdict(move, 1)["tables"][0]
    expect(found(quiet) == found(table), json.dumps(quiet)[:3000])
    expect(quiet["source_rows"] == int(scene.source.value("SELECT COUNT(*) FROM %s.words" % scene.database)), "rows of the source")
    expect(quiet["target_rows"] == int(scene.on_target("SELECT COUNT(*) FROM words WHERE tenant_id = 'first'")), "rows of the target")


@hazard("verify")
def a_killed_pass_goes_on_within_a_table(scene):
    """No page is read again that was done, on either side, wherever the program is killed; each row counts once."""
    move = begin(scene, 20000, verify__chunk_rows=1000)
    scene.on_target("UPDATE words SET v = -1 WHERE n IN (17, 9001); DELETE FROM words WHERE n = 18; INSERT INTO words VALUES ('first', 'only here', 3, -1, 0, NULL)")
    whole = verdict(move, 1)["tables"][0]
    first = pages_read(scene)
    # Once for the sums, and once more for the rows of those that differ.
    expect(first == [500, 2000, 8000, 10000] * 2 and len(whole["differences"]) == 4, "%s, %s" % (first, json.dumps(whole)[:2000]))
    deaths = [("verify.replace.after=crash@1", [500]), ("verify.replace.before=crash@1", [500]), ("verify.replace.after=crash@1", [500]),
              ("verify.note.after=crash@2", [500, 2000, 8000, 10000]),  # the end of the sums, from row 1000 on: one page was not kept
              ("verify.note.after=crash@3", [500, 2000]), ("verify.note.before=crash@2", [500]),
              ("verify.note.after=crash@5", [500, 2000, 8000, 10000]),  # the end of the source's rows, from row 2500 on
              ("verify.note.after=crash@2", [])]  # among the target's
    for failpoints, pages in deaths:
        before = len(pages_read(scene))
        killed(move, failpoints)
        expect(pages_read(scene)[before:] == pages, "%s: %s" % (failpoints, pages_read(scene)[before:]))
    folder = os.path.join(move.state_directory, "verify")
    with open(os.path.join(folder, "pass.jsonl"), "a", encoding="utf-8") as file:
        file.write('{"table": 0, "chunk": 0, "side": "sou')  # torn by a loss of power
    before = len(pages_read(scene))
    answer = verdict(move, 1)
    table = answer["tables"][0]
    expect(answer["resumed"] == len(deaths), json.dumps(answer)[:300])
    expect((table["source_rows"], table["target_rows"]) == (20000, 20000) and found(table) == found(whole), json.dumps(table)[:2000])
    expect(len(pages_read(scene)) == before, "the source's pages were all done")
    expect(sorted(os.listdir(folder)) == ["last.json", "passes.jsonl"], str(os.listdir(folder)))
    # The sums of a pass that is given up are none of the next.
    killed(move, "verify.replace.after=crash@1")
    scene.on_target("UPDATE words SET v = 0 WHERE tenant_id = 'first' AND n IN (17, 9001)")
    code, out, err = move.command("verify", "--restart", "--json")
    expect(code == 1 and "goes on" not in err and len(json.loads(out)["tables"][0]["differences"]) == 2, "status %d\n%s%s" % (code, out, err))
