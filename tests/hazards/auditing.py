"""The audit log: what must be in it, and what must be found when somebody changes it."""

import hashlib
import json
import os
import pwd
import shutil
import stat
import subprocess

import migration
import servers
from stage import expect, hazard, wait_until

SHOP = "CREATE TABLE goods (id INT PRIMARY KEY, v INT); INSERT INTO goods VALUES (1, 1), (2, 2), (3, 3)"


def path_of(move):
    return os.path.join(move.state_directory, "audit.jsonl")


def bytes_of(move):
    with open(path_of(move), "rb") as file:
        return file.read()


def write(move, content):
    with open(path_of(move), "wb") as file:
        file.write(content)


def lines_of(move):
    return bytes_of(move).splitlines(keepends=True)


def records(move):
    """Each record, after the chain was checked by means of its own."""
    found, before = [], "0" * 64
    for line in lines_of(move):
        text = line.decode().rstrip("\n")
        record = json.loads(text)
        body = text[:text.rindex(',"hash":')] + "}"
        expect(hashlib.sha256(body.encode()).hexdigest() == record["hash"], "the hash of record %d does not fit" % record["seq"])
        expect(record["prev"] == before and record["seq"] == len(found) + 1, "record %d does not continue the one before" % record["seq"])
        before = record["hash"]
        found.append(record)
    return found


def audit(move, command, *arguments, status=None):
    done = subprocess.run([migration.program(), "audit", command, move.config] + list(arguments), capture_output=True, env=move.environment,
                          stdin=subprocess.DEVNULL, timeout=60)
    out, err = done.stdout.decode(), done.stderr.decode()
    expect(status is None or done.returncode == status, "audit %s ended with status %d, not %s\n%s%s" % (command, done.returncode, status, out, err))
    return out, err


def verified(move, status, *arguments):
    return json.loads(audit(move, "verify", "--json", *arguments, status=status)[0])


def command(move, *arguments, status=0, failpoints=None):
    environment = dict(move.environment)
    if failpoints:
        move.environment["CROSSFADE_FAILPOINTS"] = failpoints
    try:
        code, out, err = move.command(*arguments)
    finally:
        move.environment = environment
    expect(code == status, "%s ended with status %d, not %d\n%s%s" % (arguments[0], code, status, out, err))
    return out, err


def known_to_target(scene, move):
    """(seq, hash)"""
    row = scene.on_target("SELECT seq || ' ' || hash FROM crossfade.audit_head WHERE migration = '%s'" % move.name).split()
    return (int(row[0]), row[1]) if row else None


def chained_anew(lines):
    """The lines with hashes that fit, as somebody would write them who knows how."""
    before, out = "0" * 64, []
    for number, line in enumerate(lines, 1):
        record = json.loads(line)
        record.pop("hash")
        record.update(seq=number, prev=before)
        body = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
        before = hashlib.sha256(body.encode()).hexdigest()
        out.append((body[:-1] + ',"hash":"%s"}\n' % before).encode())
    return b"".join(out)


@hazard("audit")
def each_action_and_phase_is_in_the_audit_log(scene):
    """With who, where and by what; through an abort and a second begin; and nobody needs us to check the chain."""
    scene.schema(SHOP)
    move = scene.migration()
    move.start()
    move.wait_phase("following")
    command(move, "pause")
    command(move, "resume")
    command(move, "verify")
    command(move, "abort", "--yes", status=4)  # it is being run
    move.kill()
    move.start()
    scene.sql("INSERT INTO goods VALUES (4, 4)")
    move.wait_applied()
    scene.on_target("UPDATE goods SET v = 9 WHERE id = 2")
    command(move, "verify", status=1)
    move.stop()
    command(move, "abort", "--yes")
    first = records(move)
    said = [(record["action"], record["details"].get("phase", record["details"].get("result"))) for record in first]
    phases = ["copying", "building keys", "catching up", "following"]
    wanted = [("run started", None)] + [("phase", phase) for phase in phases]
    wanted += [("pause", None), ("resume", None), ("verify started", None), ("verify ended", "equal"), ("abort started", None), ("abort ended", "failed")]
    wanted += [("run went on", None), ("phase", "catching up"), ("phase", "following"), ("verify started", None), ("verify ended", "different")]
    wanted += [("phase", "stopped"), ("run ended", "done"), ("abort started", None), ("abort ended", "done")]
    expect(said == wanted, "the log says %s" % said)
    expect(first[10]["details"]["code"] == "CF1501", "the refused abort: %s" % first[10])
    expect(first[15]["details"]["differences"] == 1, "the second verify: %s" % first[15])
    with open(move.config, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    for record in first:
        expect(record["user"]["uid"] == os.getuid() and record["user"]["name"] == pwd.getpwuid(os.getuid()).pw_name, "who: %s" % record)
        expect(record["host"] == os.uname().nodename and record["pid"] > 0 and record["migration"] == move.name, "where: %s" % record)
        expect(record["config"] == {"path": move.config, "sha256": digest}, "by what configuration: %s" % record)
        expect(record["program"].startswith("crossfade ") and move.config in record["command"], "by what: %s" % record)
    expect([record["at"] for record in first] == sorted(record["at"] for record in first), "times are not in order")
    expect(servers.MIGRATION_PASSWORD.encode() not in bytes_of(move), "the password is in the log")
    expect(stat.S_IMODE(os.stat(path_of(move)).st_mode) == 0o600, "others can read the log")
    expect(known_to_target(scene, move) == (len(first), first[-1]["hash"]), "the target knows %s" % (known_to_target(scene, move),))
    answer = verified(move, 0)
    expect(answer["result"] == "whole" and answer["records"] == len(first) and not answer["notices"], str(answer))
    out, _ = audit(move, "list", "--last", "1", status=0)
    expect("abort ended" in out and out.count("\n") == 1, out)
    expect(audit(move, "export", status=0)[0].encode() == bytes_of(move), "the export is not what the file holds")

    move.start()  # a new life of the same name goes on with the same chain
    move.wait_phase("following")
    move.stop()
    second = records(move)
    expect(second[:len(first)] == first and second[len(first)]["action"] == "run started", "the second life: %s" % second[len(first):])
    expect(verified(move, 0)["target"]["seq"] == len(second), "the target was not told of the end")


@hazard("audit")
def a_failed_run_is_in_the_audit_log_with_its_code(scene):
    """And a run or a command that was refused; the row images that the error shows are not."""
    scene.schema(SHOP)
    move = scene.migration()
    move.start()
    move.wait_phase("following")
    scene.on_target("DELETE FROM goods WHERE id = 3")
    scene.sql("UPDATE goods SET v = 424242 WHERE id = 3")
    expect(move.wait() == 5, "it did not stop at the divergence\n" + move.log_tail())
    last = records(move)[-2:]
    expect([record["action"] for record in last] == ["phase", "run ended"], str(last))
    expect(last[0]["details"]["phase"] == "failed" and last[0]["details"]["code"] == last[1]["details"]["code"] and last[1]["details"]["exit_code"] == 5, str(last))
    expect(b"424242" not in bytes_of(move), "a customer's value is in the log")


@hazard("audit")
def an_edited_a_cut_and_a_rebuilt_audit_log_are_found(scene):
    """Each by 'audit verify', with the record that the target knows; none of them is told to the target as if it were the log."""
    scene.schema(SHOP)
    move = scene.migration()
    expect("CF1790" in audit(move, "verify", status=2)[1] and "CF1790" in audit(move, "list", status=2)[1], "no log yet")
    move.run_until_caught_up()
    command(move, "verify")
    good = bytes_of(move)
    lines = lines_of(move)
    known = known_to_target(scene, move)
    expect(known[0] == len(lines), "the target does not know the end: %s" % (known,))

    write(move, good.replace(b'"equal"', b'"EQUAL"'))
    for arguments in ([], ["--offline"]):
        answer = verified(move, 6, *arguments)
        expect(answer["result"] == "broken" and answer["problems"][0]["line"] == len(lines), str(answer))
    expect("CF1321" in command(move, "pause", status=6)[1], "a record was put behind an edited one")
    expect(not os.path.exists(os.path.join(move.state_directory, "pause")), "it paused without a record")
    expect("CF1321" in command(move, "verify", status=6)[1], "it compared without a record")

    for changed, why in ((b"".join(lines[:-2]), "cut off"), (chained_anew(lines[:-1] + [lines[-1].replace(b'"equal"', b'"EQUAL"')]), "written anew"),
                         (chained_anew(lines[:2] + lines[3:]), "cut off"), (b"", "cut off")):
        write(move, changed)
        if changed:
            verified(move, 0, "--offline")
        answer = verified(move, 6)
        expect(answer["code"] == "CF1791" and why in answer["target_says"] and not answer["problems"], str(answer))
        _, err = command(move, "pause")
        expect("CF1791" in err, "nothing was said of it: " + err)
        expect(known_to_target(scene, move) == known, "the target was told of a log that is not the one it knew")
        expect("audit begin" in audit(move, "verify", "--offline")[0] or verified(move, 6)["code"] == "CF1791", "found no more")
    # Longer than what the target knows, and still not it.
    for _ in range(len(lines)):
        command(move, "resume")
    expect("written anew" in verified(move, 6)["target_says"] and known_to_target(scene, move) == known, "a longer one was believed")

    write(move, good)
    verified(move, 0)
    command(move, "resume")
    expect(known_to_target(scene, move)[0] == len(lines) + 1, "the right log is not believed any more")
    os.remove(path_of(move))
    shutil.rmtree(move.state_directory)
    expect("cut off" in verified(move, 6)["target_says"], "a lost log is not missed")


@hazard("audit")
def a_lost_audit_log_is_begun_anew_in_the_open(scene):
    """By a command that says who and why; the chain goes on behind what the target knows."""
    scene.schema(SHOP)
    move = scene.migration()
    move.run_until_caught_up()
    expect("CF1792" in audit(move, "begin", "--reason", "none", status=3)[1], "a whole log was replaced")
    known = known_to_target(scene, move)
    broken = b"".join(lines_of(move)[:2])
    for point in ("audit.anew.before", "audit.anew.after"):
        write(move, broken)
        move.environment["CROSSFADE_FAILPOINTS"] = point + "=crash"
        audit(move, "begin", "--reason", "the disk was lost", status=migration.CRASH_STATUS)
        del move.environment["CROSSFADE_FAILPOINTS"]
        if point.endswith("before"):
            audit(move, "begin", "--reason", "the disk was lost", status=0)
        answer = verified(move, 0)
        expect("begins anew" in answer["notices"][0]["what"] and "the disk was lost" in audit(move, "list", status=0)[0], str(answer))
        kept = [name for name in os.listdir(move.state_directory) if name.startswith("audit.jsonl.kept.")]
        for name in kept:
            with open(os.path.join(move.state_directory, name), "rb") as file:
                expect(file.read() == broken, "the old log was not kept")
        record = json.loads(lines_of(move)[0])
        expect(record["seq"] == known[0] + 1 and record["prev"] == known[1], "it does not continue what the target knew: %s" % record)
        command(move, "pause")
        known = known_to_target(scene, move)
        expect(known[0] == record["seq"] + 1, "the target was not told")
    move.run_until_caught_up()
    verified(move, 0)


def forged(move, seq, before, **members):
    """One line whose hash fits, made of the log's own last record."""
    record = json.loads(lines_of(move)[-1])
    for name in ("hash", "torn", "begins_anew"):
        record.pop(name, None)
    record.update(seq=seq, prev=before, **members)
    body = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    return (body[:-1] + ',"hash":"%s"}\n' % hashlib.sha256(body.encode()).hexdigest()).encode()


def not_believed(scene, move, known, names_one_kept):
    answer = verified(move, 6)
    expect(answer["result"] == "broken" and answer["code"] == "CF1793" and "begun anew" in answer["target_says"], str(answer))
    answer = verified(move, 2 if names_one_kept else 6, "--offline")
    expect("own word" in answer["target_says"] and bool(answer["problems"]) != names_one_kept, str(answer))
    _, err = command(move, "pause")
    expect("CF1793" in err, "nothing was said of it: " + err)
    expect(known_to_target(scene, move) == known, "the target was told of a forged log")


@hazard("audit", engines=("mariadb",))
def a_log_is_not_begun_anew_by_its_own_word(scene):
    """All records replaced by one that says that the log begins anew behind them: whoever can write the file can write that, too."""
    scene.schema(SHOP)
    move = scene.migration()
    move.run_until_caught_up()
    command(move, "verify")
    good, known = bytes_of(move), known_to_target(scene, move)
    for said in ({}, {"kept_as": path_of(move) + ".kept.1", "bytes": len(good), "sha256": hashlib.sha256(good).hexdigest()}):
        with open(path_of(move) + ".kept.1", "wb") as file:
            file.write(good)
        write(move, good)
        write(move, forged(move, known[0] + 1, known[1], action="run went on", details={}, begins_anew=said))
        not_believed(scene, move, known, bool(said))
        code, out, err = move.command("report", "--json", "-")
        report = json.loads(out)
        expect(code == 0 and any("begun anew" in text for text in report["audit"]["problems"]), "%s\n%s" % (report["audit"], err))
        expect(report["verdict"] == "equal_with_remarks" and any("was begun anew at record" in text for text in report["remarks"]), str(report["remarks"]))
        verified(move, 6)
    # A later record that says so is none that was written here.
    write(move, good)
    write(move, good + forged(move, known[0] + 1, known[1], begins_anew={}))
    expect("others stand before it" in verified(move, 6)["problems"][0]["what"], "a beginning in the middle")
    # What mends it.
    write(move, good)
    write(move, forged(move, known[0] + 1, known[1], begins_anew={}))
    audit(move, "begin", "--reason", "somebody forged it", status=0)
    verified(move, 0)
    expect(scene.on_target("SELECT seq FROM crossfade.audit_beginning").split() == [str(known[0] + 1)], "the target does not know the beginning")
    # A target that was made before beginnings were kept there is given the table by the command itself.
    scene.on_target("DROP TABLE crossfade.audit_beginning")
    expect(verified(move, 6)["code"] == "CF1793", "nobody knows of the beginning")
    for step in ("audit.beginning.before", "audit.beginning.after"):
        move.environment["CROSSFADE_FAILPOINTS"] = step + "=crash"
        audit(move, "begin", "--reason", "again", status=migration.CRASH_STATUS)
        del move.environment["CROSSFADE_FAILPOINTS"]
        verified(move, 6)
    audit(move, "begin", "--reason", "again", status=0)
    expect(verified(move, 0)["notices"], "not told")
    move.run_until_caught_up()
    verified(move, 0)


@hazard("audit", engines=("mariadb",))
def a_kept_audit_log_that_is_changed_or_gone_is_found(scene):
    """The log that 'audit begin' replaced is evidence."""
    scene.schema(SHOP)
    move = scene.migration()
    move.run_until_caught_up()
    broken = b"".join(lines_of(move)[:2])
    write(move, broken)
    audit(move, "begin", "--reason", "the disk was lost", status=0)
    verified(move, 0)
    kept = json.loads(lines_of(move)[0])["begins_anew"]["kept_as"]
    with open(kept, "wb") as file:
        file.write(broken.replace(b"run started", b"run STARTED"))
    answer = verified(move, 6)
    expect("was changed" in answer["problems"][0]["what"], str(answer))
    verified(move, 6, "--offline")
    os.remove(kept)
    expect("is gone" in verified(move, 6)["problems"][0]["what"], "not missed")
    with open(kept, "wb") as file:
        file.write(broken)
    verified(move, 0)
    verified(move, 2, "--offline")


@hazard("audit", engines=("mariadb",))
def a_plan_a_refused_repair_and_a_final_check_are_in_the_audit_log(scene):
    """Whoever compared, and was told what, is known; also where nothing was written."""
    scene.schema(SHOP)
    move = scene.migration()
    move.run_until_caught_up()

    def last():
        return [(record["action"], record["details"].get("result"), record["details"].get("code")) for record in records(move)[before:]]

    before = len(records(move))
    command(move, "verify", "--plan")
    command(move, "verify", "--repair", "--yes")
    expect(last() == [("plan started", None, None), ("plan ended", "planned", None), ("repair command started", None, None),
                      ("repair command ended", "nothing to do", None)], str(last()))
    scene.on_target("UPDATE goods SET v = 9 WHERE id = 2")
    before = len(records(move))
    command(move, "verify", "--plan", status=1)
    command(move, "verify", "--repair", status=4)
    command(move, "verify", "--repair", "--overwrite-foreign", "--yes")
    command(move, "verify", "--final", status=4)
    said = last()
    expect(said[3][0] == "repair command ended" and (said[3][1], said[3][2]) in (("refused", "CF1840"), ("declined", "CF1841")), str(said))
    expect([action for action, _, _ in said[4:]] == ["repair command started", "repair started", "repair ended", "repair command ended", "verify final"], str(said))
    expect(said[7][1] == "repaired" and said[8][1:] == ("failed", "CF1787"), str(said))
    code, out, err = move.command("report", "--json", "-")
    actions = [action["action"] for action in json.loads(out)["audit"]["actions"]]
    expect(actions.count("verify final") == 1 and "plan started" in actions, str(actions))
    verified(move, 0)


@hazard("audit")
def a_crash_around_a_record_leaves_a_whole_chain(scene):
    """At every step of writing one, in 'run' and in other commands; half a record is not taken for a changed one, nor the other way round."""
    scene.schema(SHOP)
    move = scene.migration()
    for step in ("audit.directory", "audit.write", "audit.sync", "audit.head"):
        for when in (".before", ".after"):
            move.start(failpoints=step + when + "=crash")
            expect(move.wait() == migration.CRASH_STATUS, "%s was not met\n%s" % (step + when, move.log_tail()))
    move.run_until_caught_up()
    verified(move, 0)
    for name in ("pause", "resume"):
        for step in ("audit.write.before", "audit.write.after", "audit.sync.before", "audit.sync.after", "audit.head.before", "audit.head.after"):
            command(move, name, status=migration.CRASH_STATUS, failpoints=step + "=crash")
            verified(move, 0)
    for cut in (1, 30, 200, 350):
        command(move, "pause", status=migration.CRASH_STATUS, failpoints="audit.write.after=crash")
        whole = bytes_of(move)
        write(move, whole[:-cut])
        expect(verified(move, 0)["torn_end"] == (cut > 1), "%d bytes less" % cut)
        command(move, "resume")
        answer = verified(move, 0)
        expect(not answer["torn_end"] and bytes_of(move).startswith(whole[:-cut]), "what the crash left is gone")
    expect(len(answer["notices"]) == 3, "what crashes left is not told: %s" % answer)
    # The target knows this one: a crash cannot have torn it.
    write(move, bytes_of(move)[:-30])
    answer = verified(move, 6)
    expect(answer["code"] == "CF1791" and answer["torn_end"], str(answer))


@hazard("audit")
def nothing_is_done_that_cannot_be_recorded(scene):
    """But a target that cannot be reached stops nobody: it is told later."""
    scene.schema(SHOP)
    move = scene.migration()
    move.run_until_caught_up()
    os.rename(path_of(move), path_of(move) + ".away")
    os.mkdir(path_of(move))
    move.start()
    scene.expect_exit(move, 3, "audit log.*CF1320")
    for name in ("pause", "resume", "verify", "abort"):
        _, err = command(move, name, *(["--yes"] if name == "abort" else []), status=3)
        expect("CF1320" in err, err)
    expect(scene.on_target("SELECT count(*) FROM goods").strip() == "3", "it was aborted without a record")
    os.rmdir(path_of(move))
    os.rename(path_of(move) + ".away", path_of(move))
    move.start()
    move.wait_phase("following")
    scene.on_target("ALTER TABLE crossfade.audit_head RENAME TO hidden")
    command(move, "pause")
    expect(audit(move, "verify", status=2)[0].count("cannot be seen") == 1, "without the target's record nothing can be told")
    scene.on_target("ALTER TABLE crossfade.hidden RENAME TO audit_head")
    command(move, "resume")
    wait_until(lambda: known_to_target(scene, move)[0] == len(lines_of(move)), "the target was not told later")
    expect(move.stop() == 0, "it did not stop in order")
    verified(move, 0)


@hazard("audit")
def a_target_made_before_the_audit_log_is_given_its_table(scene):
    """By the account of the migration, for all who are members of the helper schema's owner."""
    scene.schema(SHOP)
    move = scene.migration()
    move.run_until_caught_up()
    scene.on_target("DROP TABLE crossfade.audit_head, crossfade.audit_beginning")
    move.run_until_caught_up()
    verified(move, 0)
    owners = scene.on_target("SELECT count(DISTINCT relowner) FROM pg_class WHERE oid IN ('crossfade.audit_head'::regclass, 'crossfade.audit_beginning'::regclass, 'crossfade.migration'::regclass)")
    expect(owners.strip() == "1", "it has another owner")
    environment = dict(move.environment, CROSSFADE_TEST_PASSWORD="not the password")
    keep, move.environment = move.environment, environment
    out, _ = audit(move, "verify", status=2)
    move.environment = keep
    expect("could not be asked" in out and "not the password" not in out, out)
