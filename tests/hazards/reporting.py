"""What crossfade report must say, and must never do."""

import hashlib
import html.parser
import json
import os
import signal
import subprocess
import time

import migration
import servers
from stage import expect, hazard, wait_until

VOID = {"meta", "br"}


class Page(html.parser.HTMLParser):
    """Every element closed, nothing that runs, nothing from elsewhere."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.text, self.elements = [], [], set()
        self.feed(text)
        self.close()
        expect(not self.open, "not closed: %s" % self.open)
        self.words = " ".join("".join(self.text).split())

    def handle_starttag(self, tag, attributes):
        self.elements.add(tag)
        for name, value in attributes:
            expect(name not in ("src", "srcset", "action", "data") and not name.startswith("on"), "<%s %s=%r>" % (tag, name, value))
            expect(name != "href" or value.startswith("#"), "<%s %s=%r>" % (tag, name, value))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.add(tag)

    def handle_endtag(self, tag):
        expect(self.open and self.open[-1] == tag, "</%s> within %s" % (tag, self.open))
        self.open.pop()

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] == "style":
            expect("url(" not in data and "@import" not in data, "a style from elsewhere")


def verify(move, wanted):
    """Compares, and keeps what was found where the report looks for it."""
    code, out, err = move.command("verify", "--json")
    answer = json.loads(out)
    expect(answer["result"] == wanted, "%s instead of %s\n%s%s" % (answer["result"], wanted, out, err))
    kept = os.path.join(move.state_directory, "verify", "last.json")
    if not os.path.exists(kept) or json.load(open(kept, encoding="utf-8"))["ended_us"] != answer["ended_us"]:
        os.makedirs(os.path.dirname(kept), mode=0o700, exist_ok=True)
        with open(kept, "w", encoding="utf-8") as file:
            file.write(out)
    return answer


def report(move, *arguments, name="r", status=0):
    """(HTML, JSON) as written; both are read by everybody who may."""
    paths = [os.path.join(move.directory, name + ending) for ending in (".html", ".json")]
    code, out, err = move.command("report", "--html", paths[0], "--json", paths[1], "--force", *arguments)
    expect(code == status, "report ended with status %d\n%s%s" % (code, out, err))
    with open(paths[0], encoding="utf-8") as page, open(paths[1], encoding="utf-8") as data:
        texts = page.read(), data.read()
    for text in texts:
        expect(servers.MIGRATION_PASSWORD not in text, "the password is in the report")
    expect(hashlib.sha256(texts[1].encode()).hexdigest() in texts[0], "the page names another digest than that of the JSON")
    page = Page(texts[0])
    expect("script" not in page.elements and "http" not in texts[0].replace("http.listen", ""), "the page is not self-contained")
    return page, json.loads(texts[1])


SCHEMA = """
CREATE TABLE parents (id INT AUTO_INCREMENT PRIMARY KEY, code INT NOT NULL UNIQUE);
CREATE TABLE children (id INT PRIMARY KEY, parent INT, note TEXT, KEY by_note (note(20)), CONSTRAINT of_parent FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE);
CREATE TABLE `<script>alert('x')</script>` (id INT PRIMARY KEY, `<b>` VARCHAR(50));
CREATE TABLE nokey (a INT);
CREATE TABLE kept_out (id INT PRIMARY KEY);
CREATE VIEW seen AS SELECT id FROM parents;
INSERT INTO parents (code) VALUES (1), (2), (3), (4);
INSERT INTO children SELECT id, id, 'x' FROM parents;
INSERT INTO `<script>alert('x')</script>` VALUES (1, '</td><img src=x>'), (2, NULL);
INSERT INTO nokey VALUES (1), (1), (2);
"""


@hazard("report")
def a_report_holds_what_the_servers_hold(scene):
    """Counts, objects, positions, lag, differences: each against what the servers say themselves."""
    scene.schema(SCHEMA)
    move = scene.migration(tenant="<first>", tables__exclude=["kept_out"])
    move.start()
    move.wait_phase("following")
    page, data = report(move)
    expect(data["verdict"] == "not_verified" and data["verification"] is None, data["verdict"])
    scene.sql("INSERT INTO parents (code) SELECT code + 10 FROM parents; DELETE FROM parents WHERE id = 1; INSERT INTO nokey VALUES (7)")
    move.wait_applied()
    time.sleep(2.5)  # the history has a sample each second
    verify(move, "equal")
    page, data = report(move)
    expect(data["verdict"] == "equal" and "Equal" in page.words, "%s: %s" % (data["verdict"], data["remarks"]))
    compared = {t["table"]: (t["source_rows"], t["target_rows"], t["result"]) for t in data["verification"]["tables"]}
    moved = {t["source"]: t for t in data["tables"]}
    expect(set(moved) == set(compared) == {"parents", "children", "<script>alert('x')</script>", "nokey"}, sorted(moved))
    for table, found in compared.items():
        source = int(scene.source.value("SELECT COUNT(*) FROM %s.`%s`" % (scene.database, table)))
        target = int(scene.on_target("SELECT count(*) FROM \"%s\" WHERE tenant_id = '<first>'" % table))
        expect(found == (source, target, "equal"), "%s: %s, not %s" % (table, found, (source, target)))
    expect({name: t["copied_rows"] for name, t in moved.items()} ==
           {"parents": 4, "children": 4, "<script>alert('x')</script>": 2, "nokey": 3}, str(moved))
    expect(data["copy"]["rows"] == 13 and data["copy"]["began_us"] <= data["copy"]["ended_us"], str(data["copy"]))
    expect(data["excluded_tables"] == ["kept_out"] and data["not_moved"] == ["view seen"], str(data["excluded_tables"]))
    expect(moved["nokey"]["identity"] == "all columns" and moved["parents"]["identity"] == "id", str(moved))
    foreign = [o for o in data["objects"] if o["kind"] == "foreign key"]
    expect(len(foreign) == 1 and "ON DELETE CASCADE" in foreign[0]["definition"] and foreign[0]["valid"], str(foreign))
    wanted = int(scene.on_target("SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid AND c.relnamespace = 'public'::regnamespace"))
    kept = [o for o in data["objects"] if o["kind"] in ("primary key", "unique key", "index")]
    expect(len(kept) == wanted, "%d of %d indexes: %s" % (len(kept), wanted, kept))
    applied = move.wait_applied()["apply"]
    expect(data["positions"]["applied"][0]["seq"] <= applied["seq"] and data["positions"]["captured"]["seq"] > 0, str(data["positions"]))
    phases = [p["phase"] for p in data["phases"]]
    expect(phases[0] == "starting" and phases[-1] == "following" and "copying" in phases and data["phases"][-1]["lasting"], str(phases))
    lag = data["lag"]
    expect(lag["looks"] > 0 and 0 <= lag["total"]["p50_ms"] <= lag["total"]["p99_ms"] <= lag["total"]["max_ms"], str(lag["total"]))
    expect("svg" in page.elements, "no plot")

    with open(os.path.join(move.directory, "r.json"), "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    page, data = report(move)
    made = [a for a in data["audit"]["actions"] if a["action"] == "report"]
    expect(len(made) == 2 and json.loads(made[-1]["details"])["sha256"] == digest, str(data["audit"]))
    expect(not data["audit"]["problems"] and data["audit"]["known_to_target"] and data["audit"]["head"] in page.words, str(data["audit"]))

    scene.on_target("UPDATE \"<script>alert('x')</script>\" SET \"<b>\" = '<i>other</i>' WHERE id = 1; DELETE FROM nokey WHERE a = 7")
    verify(move, "different")
    page, data = report(move)
    expect(data["verdict"] == "different" and data["verification"]["differences"] == 2, data["verdict"])
    expect("<script>alert('x')</script>" in page.words and "<i>other</i>" in page.words and "</td><img src=x>" in page.words,
           "the page does not show what differs")
    expect(move.stop() in (0, 2), "stopping failed")


@hazard("report", "audit", engines=("mariadb",))
def a_report_says_that_the_audit_log_was_changed(scene):
    """Nobody signs a list of actions from which one was taken."""
    scene.schema(SCHEMA)
    move = scene.migration(tenant="first")
    move.start()
    move.wait_phase("following")
    verify(move, "equal")
    for _ in range(3):
        page, data = report(move)
    expect(data["verdict"] == "equal" and "no record was changed" in page.words, str(data["remarks"]))
    log = os.path.join(move.state_directory, "audit.jsonl")
    with open(log, encoding="utf-8") as file:
        lines = file.readlines()
    with open(log, "w", encoding="utf-8") as file:
        file.writelines([lines[0].replace('"equal"', '"other"').replace("root", "toor").replace("report", "repart")] + lines[1:])
    page, data = report(move)
    expect(data["audit"]["problems"] and data["verdict"] == "equal_with_remarks" and "broken" in page.words, str(data["audit"]))
    move.kill()


@hazard("report", engines=("mariadb",))
def a_report_is_made_whatever_is_away(scene):
    """Nothing begun is refused; what is stopped, damaged or out of reach is said, and the rest is reported."""
    source, target = scene.own_source(), scene.own_target()
    scene.schema(SCHEMA)
    move = scene.migration(tenant="first")

    def refused(code, status, *arguments):
        got, out, err = move.command("report", *arguments)
        expect(got == status and code in err and "fix:" in err, "status %d instead of %d with %s\n%s%s" % (got, status, code, out, err))

    refused("CF1811", 3, "--html", "-")
    move.start()
    move.wait_phase("following")
    time.sleep(2)
    verify(move, "equal")
    move.kill()
    page, data = report(move)
    expect(data["verdict"] == "equal_with_remarks" and "is not at work" in page.words, "%s %s" % (data["verdict"], data["remarks"]))
    expect(data["phases"][-1]["ended_without_a_word"], str(data["phases"]))
    move.start()
    move.wait_phase("following")
    time.sleep(1.5)
    expect(move.stop() in (0, 2), "stopping failed")
    page, data = report(move)
    expect([p["phase"] for p in data["phases"]].count("starting") == 2 and data["phases"][-1]["phase"] == "stopped", str(data["phases"]))
    expect(len({p["pid"] for p in data["phases"]}) == 2, "the history of the first process is lost")

    target.kill()
    source.kill()
    page, data = report(move)
    expect(len(data["unread"]) == 2 and "CF1401" in page.words and "CF1100" in page.words, str(data["unread"]))
    expect(len(data["tables"]) == 5 and data["copy"]["rows"] == 13 and data["divergences"]["count"] is None, str(data["copy"]))
    with open(os.path.join(move.state_directory, "verify", "last.json"), "r+", encoding="utf-8") as file:
        file.truncate(100)
    with open(os.path.join(move.state_directory, "history", "figures.jsonl"), "a", encoding="utf-8") as file:
        file.write('{"at_us": 17')
    page, data = report(move)
    expect(data["verdict"] == "not_verified" and any("CF1814" in text for text in data["unread"]), str(data["unread"]))
    expect(data["lag"]["samples"], "a torn line hid the history")


@hazard("report", engines=("mariadb",))
def a_report_replaces_nothing_unasked_and_is_never_half(scene):
    """It may be signed: a file that is there stays, and under its name a report is whole or not there."""
    scene.schema(SCHEMA)
    move = scene.migration(tenant="first")
    move.run_until_caught_up()
    path = os.path.join(move.directory, "acme.html")

    def run(*arguments, failpoints=None, directory=None):
        environment = dict(move.environment, **({"CROSSFADE_FAILPOINTS": failpoints} if failpoints else {}))
        done = subprocess.run([migration.program(), "report", move.config] + list(arguments), capture_output=True, text=True, env=environment,
                              cwd=directory or move.directory, timeout=60, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout, done.stderr

    def refused(code, *arguments):
        status, out, err = run(*arguments)
        expect(status == 3 and code in err and "fix:" in err, "status %d, not 3 with %s\n%s%s" % (status, code, out, err))

    def content():
        with open(path, encoding="utf-8") as file:
            return file.read()

    status, out, err = run("--html", path, failpoints="report.rename.before=crash")
    expect(status == migration.CRASH_STATUS and not os.path.exists(path), "status %d, a report before it was whole\n%s" % (status, err))
    status, out, err = run("--html", path, failpoints="report.rename.after=crash")
    expect(status == migration.CRASH_STATUS and content().endswith("</html>\n"), "status %d\n%s" % (status, err))
    expect(os.stat(path).st_mode & 0o077 == 0, "others may read the report")
    with open(path, "w", encoding="utf-8") as file:
        file.write("signed")
    refused("CF1810", "--html", path)
    refused("CF1810", "--json", path)
    status, out, err = run("--html", path, "--force", failpoints="report.rename.before=crash")
    expect(status == migration.CRASH_STATUS and content() == "signed", "status %d, the old one is gone\n%s" % (status, err))
    status, out, err = run("--html", path, "--force")
    expect(status == 0 and content().endswith("</html>\n"), "status %d\n%s" % (status, err))
    expect(not os.path.exists(path + ".part"), "left behind: %s" % os.listdir(move.directory))
    refused("CF1815", "--html", os.path.join(move.directory, "no", "such", "folder.html"))
    refused("CF1816", "--html", "both", "--json", "both")

    status, out, err = run()
    expect(status == 0 and os.path.exists(os.path.join(move.directory, move.name + "-report.html")), "status %d\n%s" % (status, err))
    refused("CF1810")
    status, out, err = run("--json", "-")
    expect(status == 0 and json.loads(out)["name"] == move.name, "status %d\n%s" % (status, err))
    status, out, err = run("--html", "-")
    expect(status == 0 and "Not verified" in Page(out).words, "status %d\n%s" % (status, err))


@hazard("report", engines=("mariadb",))
def a_history_that_cannot_be_written_stops_nothing(scene):
    """The disk may be full: one warning, and the migration goes on."""
    scene.schema(SCHEMA)
    move = scene.migration(tenant="first")
    os.makedirs(move.state_directory, mode=0o700)
    with open(os.path.join(move.state_directory, "history"), "w", encoding="utf-8"):
        pass
    move.start()
    move.wait_phase("following")
    wait_until(lambda: "CF1812" in move.log_tail(20000), "no warning")
    time.sleep(1.5)
    expect(move.log_tail(50000).count("CF1812") == 1, "warned more than once")
    page, data = report(move)
    expect(data["verdict"] == "not_verified" and any("CF1812" in text for text in data["unread"]), str(data["unread"]))
    expect(data["copy"]["rows"] == 13, "the marks on the target tell the copy: %s" % data["copy"])
    os.kill(move.process.pid, signal.SIGTERM)
    scene.expect_exit(move, 0, "CF1812")
    scene.compare(move)
