"""What the operator gives the program and it cannot take: files, addresses, directories, the state of another migration.

Each refusal has a code, the object, the value found and what mends it; that is then done, and the same command passes.
"""

import os
import re
import shutil
import socket
import subprocess

import migration
from losing import COUNTED, count
from stage import expect, hazard, wait_until

PARTS = re.compile(r"\(object: (?P<object>.+?), found: (?P<found>[^\n]+?)\) \[(?P<code>CF\d{4})[^\]\n]*\]; fix: (?P<fix>[^\n]+)")


def refusal(text, code):
    """The parts of the last refusal with this code in a text; all of them must be there."""
    found = [match.groupdict() for match in PARTS.finditer(text) if match["code"] == code]
    expect(found, "no %s with object, value found and fix in:\n%s" % (code, text[-4000:]))
    return found[-1]


def command(move, *arguments, status):
    """Output of any command, which must end with this status."""
    done = subprocess.run([migration.program()] + list(arguments), capture_output=True, env=move.environment, stdin=subprocess.DEVNULL, timeout=60)
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    expect(done.returncode == status, "%s ended with status %d instead of %d\n%s" % (" ".join(arguments), done.returncode, status, text))
    return text


def refused(move, status, code, *arguments):
    """`run` ends at once with this status; the parts of its refusal."""
    before = os.path.getsize(move.log) if os.path.exists(move.log) else 0
    move.start(*arguments)
    got = move.wait(60)
    with open(move.log, "rb") as log:
        log.seek(before)
        text = log.read().decode("utf-8", "replace")
    expect(got == status, "run ended with status %d instead of %d\n%s" % (got, status, text[-4000:]))
    return refusal(text, code)


def change(move, **settings):
    for key, value in settings.items():
        key = key.replace("__", ".")
        if value is None:
            move.settings.pop(key)
        else:
            move.settings[key] = value
    move.write()


@hazard("refusals")
def configuration_that_cannot_be_read(scene):
    """No such file, a directory, no TOML, a setting that is missing or cannot be: each is mended where the text points."""
    move = scene.migration()
    path = os.path.join(move.directory, "new.toml")
    for named in (path, move.directory):
        parts = refusal(command(move, "config", named, status=3), "CF1700")
        expect(parts["object"] == named, str(parts))
    parts = refusal(command(move, "config", path, status=3), "CF1700")
    mends = re.search(r"'crossfade (config --example) > (\S+)'", parts["fix"])
    with open(mends[2], "w", encoding="utf-8") as file:
        file.write(command(move, *mends[1].split(), status=0))
    command(move, "config", path, status=0)

    with open(move.config, encoding="utf-8") as file:
        good = file.read()
    with open(move.config, "w", encoding="utf-8") as file:
        file.write(good.replace('name = "', 'name = '))
    parts = refusal(command(move, "config", move.config, status=3), "CF1701")
    line = int(re.fullmatch(re.escape(move.config) + r":(\d+)", parts["object"])[1])
    with open(move.config, encoding="utf-8") as file:
        lines = file.read().split("\n")
    expect(lines[line - 1].startswith("name = "), "line %d is not the one that is wrong" % line)
    lines[line - 1] = lines[line - 1].replace("= ", '= "')
    with open(move.config, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    command(move, "config", move.config, status=0)

    for key, bad, found in (("name", "a b", "a b"), ("source.user", None, "nothing"), ("tenant.value", "", "nothing"), ("tenant.column", "", "nothing"),
                            ("source.tls", "verify", "nothing"), ("target.tls", "verify", "nothing")):
        before = dict(move.settings)
        change(move, **{key: bad})
        parts = refusal(command(move, "config", move.config, status=3), "CF1705")
        wrong = key.replace("tls", "tls_ca")
        expect((parts["object"], parts["found"]) == (wrong, found), "%s: %s" % (key, parts))
        change(move, **{wrong: before.get(wrong, "/ca.pem")})
        command(move, "config", move.config, status=0)
        move.settings = before


@hazard("refusals", "secrets")
def password_that_is_not_there(scene):
    scene.schema(COUNTED)
    move = scene.migration()
    password = move.environment.pop("CROSSFADE_TEST_PASSWORD")
    parts = refusal(command(move, "check", move.config, status=3), "CF1706")
    expect(parts["object"] == "source.password_env" and parts["found"] == "CROSSFADE_TEST_PASSWORD is not set", str(parts))
    path = os.path.join(move.directory, "password")
    change(move, source__password_env=None, target__password_env=None, source__password_file=path, target__password_file=path)
    expect("No such file" in refusal(command(move, "check", move.config, status=3), "CF1706")["found"], "it does not say that there is no file")
    with open(path, "w", encoding="utf-8") as file:
        os.chmod(path, 0o600)
    parts = refusal(command(move, "check", move.config, status=3), "CF1706")
    expect(parts["object"] == "source.password_file" and parts["found"] == "nothing in it" and path in parts["fix"], str(parts))
    with open(path, "w", encoding="utf-8") as file:
        file.write(password + "\nnot a part of it\n")
    command(move, "check", move.config, status=0)
    move.environment["CROSSFADE_TEST_PASSWORD"] = password
    change(move, source__password_file=None, target__password_file=None, source__password_env="CROSSFADE_TEST_PASSWORD",
           target__password_env="CROSSFADE_TEST_PASSWORD")
    command(move, "check", move.config, status=0)


@hazard("refusals")
def places_that_cannot_be_written(scene):
    """State directory, log file, address of the status page: refused before anything is done, and what is named instead is taken."""
    scene.schema(COUNTED)
    move = scene.migration()
    state = move.settings["state_dir"]
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = "127.0.0.1:%d" % other.getsockname()[1]
        for code, key, bad, good in (("CF1711", "state_dir", os.path.join(move.config, "state"), state),
                                     ("CF1712", "log.file", move.directory, os.path.join(move.directory, "log.txt")),
                                     ("CF1735", "http.listen", taken, "127.0.0.1:0")):
            change(move, **{key: bad})
            parts = refused(move, 3, code)
            expect(bad in (parts["object"], parts["found"]) and (key in (parts["object"], "state_dir") or key in parts["fix"]), str(parts))
            change(move, **{key: good})
    expect(scene.on_target("SELECT to_regnamespace('crossfade') IS NULL").strip() == "t", "something was done before it was refused")
    move.run_until_caught_up()
    scene.compare(move)


@hazard("refusals")
def status_that_is_not_there(scene):
    """Not started yet, damaged, or not to be written: said, and mended by a run. The migration goes on meanwhile."""
    scene.schema(COUNTED)
    move = scene.migration()
    parts = refusal(command(move, "status", move.config, status=2), "CF1732")
    expect(parts["object"] == move.state_directory and "'crossfade run'" in parts["fix"], str(parts))
    move.run_until_caught_up()
    command(move, "status", move.config, status=0)
    path = os.path.join(move.state_directory, "status.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"copy"')
    parts = refusal(command(move, "status", move.config, status=2), "CF1730")
    expect(parts["object"] == path and parts["found"].startswith("7 bytes") and "'crossfade run'" in parts["fix"], str(parts))
    os.mkdir(path + ".next")
    move.start()
    wait_until(lambda: "CF1731" in move.log_tail(1 << 20), "it does not say that its status cannot be written")
    parts = refusal(move.log_tail(1 << 20), "CF1731")
    expect(parts["object"] == path + ".next" and "directory" in parts["found"], str(parts))
    count(scene)
    os.rmdir(path + ".next")
    move.wait_phase("following")
    scene.catch_up_and_compare(move)
    command(move, "status", move.config, status=0)


@hazard("refusals")
def source_of_another_engine(scene):
    scene.schema(COUNTED)
    move = scene.migration(source__engine={"mariadb": "mysql", "mysql": "mariadb"}[scene.engine])
    parts = refusal(command(move, "check", move.config, status=3), "CF1724")
    expect(parts["object"] == "source.engine" and parts["found"] == scene.source.value("SELECT VERSION()"), str(parts))
    expect(refused(move, 3, "CF1724") == parts, "run says something else than check")
    key, value = re.fullmatch(r'set (\S+) = "(\S+)"', parts["fix"]).groups()
    change(move, **{key: value})
    move.run_until_caught_up()
    scene.compare(move)


@hazard("refusals", "H14")
def state_directory_of_another_migration(scene):
    """Refused; the right one is put back, or a journal is made anew in another place."""
    scene.schema(COUNTED)
    first, second = scene.migration(tenant="first"), scene.migration(tenant="second")
    first.run_until_caught_up()
    second.run_until_caught_up()
    count(scene)
    change(second, state_dir=first.state_directory)
    parts = refused(second, 6, "CF1721")
    expect(parts["object"] == first.state_directory and "--rebuild-journal" in parts["fix"], str(parts))
    change(second, state_dir=second.state_directory)
    second.run_until_caught_up()
    scene.compare(second)
    shutil.rmtree(second.state_directory)
    change(second, state_dir=first.state_directory)
    refused(second, 6, "CF1721")
    change(second, state_dir=second.state_directory + "-2")
    count(scene)
    second.run_until_caught_up("--rebuild-journal")
    scene.compare(second)
    first.run_until_caught_up()
    scene.compare(first)


@hazard("refusals", "H14")
def rebuilding_where_it_cannot_be(scene):
    """Nothing has begun; the tables are not those that were copied; the target has the progress of several workers."""
    scene.schema(COUNTED + "CREATE TABLE later (id INT PRIMARY KEY); INSERT INTO later VALUES (1);")
    move = scene.migration(tables__exclude=["later"])
    parts = refused(move, 4, "CF1762", "--rebuild-journal")
    expect(parts["object"] == move.name and parts["fix"] == "'crossfade run' without --rebuild-journal", str(parts))
    move.run_until_caught_up()
    count(scene)
    for exclude, table in (([], "later"), (["later", "keyless"], "keyless")):
        shutil.rmtree(move.state_directory)
        change(move, tables__exclude=exclude)
        parts = refused(move, 4, "CF1763", "--rebuild-journal")
        expect(parts["object"] == table, str(parts))
        change(move, tables__exclude=["later"])
        move.run_until_caught_up("--rebuild-journal")
    scene.compare(move, ignore_tables=["later"])
    shutil.rmtree(move.state_directory)
    scene.on_target("INSERT INTO crossfade.progress SELECT (jsonb_populate_record(p, '{\"worker\": 1}')).* FROM crossfade.progress p WHERE worker = 0")
    parts = refused(move, 4, "CF1764", "--rebuild-journal")
    expect(parts["found"] == "2 rows of progress" and "'crossfade abort'" in parts["fix"], str(parts))
    command(move, "abort", move.config, "--yes", status=0)
    move.run_until_caught_up()
    scene.compare(move, ignore_tables=["later"])


@hazard("refusals", "H14")
def progress_that_does_not_fit_the_journal(scene):
    """Changed on the target by somebody's hand, so that journal and target count differently, or it cannot be read at all."""
    scene.schema(COUNTED)
    move = scene.migration()
    move.start()
    move.wait_phase("following")
    count(scene)
    move.wait_applied()
    move.stop()
    scene.on_target("UPDATE crossfade.progress SET low = low - 1 WHERE worker = 0")
    move.start()
    scene.expect_exit(move, 6, r"CF1765\]; fix: 'crossfade run --rebuild-journal")
    count(scene)
    move.run_until_caught_up("--rebuild-journal")
    scene.compare(move)
    scene.on_target("UPDATE crossfade.progress SET above = '\\x07' WHERE worker = 0")
    parts = refused(move, 6, "CF1573")
    expect(parts["object"] == "crossfade.progress" and parts["found"] == "version 7, 1 bytes", str(parts))
    scene.on_target(re.match("DELETE [^;]*; (?=then 'crossfade abort')", parts["fix"])[0])
    command(move, "abort", move.config, "--yes", status=0)
    move.run_until_caught_up()
    scene.compare(move)


@hazard("refusals")
def doors_that_stay_shut(scene):
    """A wrong password, a database that is not there, a certificate that cannot be read: on either side it is said which."""
    scene.schema(COUNTED)
    move = scene.migration()
    password = move.environment["CROSSFADE_TEST_PASSWORD"]
    move.environment["OTHER"] = "wrong-secret"
    nowhere = scene.target_database + "_not_there"
    ca = os.path.join(move.directory, "ca.pem")
    for side, code, settings, found in (
            ("source", "CF1101", {"source.password_env": "OTHER"}, "user crossfade"), ("target", "CF1404", {"target.password_env": "OTHER"}, "user crossfade"),
            ("source", "CF1101", {"source.database": nowhere}, nowhere), ("source", "CF1102", {"source.tls": "verify", "source.tls_ca": ca}, "No such file"),
            ("target", "CF1404", {"target.database": nowhere}, nowhere)):
        before = dict(move.settings)
        change(move, **settings)
        text = command(move, "check", move.config, status=3)
        parts = refusal(text, code)
        expect(found in parts["found"], str(parts))
        expect(password not in text and "wrong-secret" not in text, "a password is shown:\n" + text)
        expect(parts["object"] == ca or ":%d" % getattr(scene, side).port in parts["object"], str(parts))
        if parts["fix"].startswith("CREATE DATABASE"):
            scene.target_databases.append(nowhere)
            scene.target.client(parts["fix"] + " OWNER crossfade")
            command(move, "check", move.config, status=0)
        move.settings = before
    move.write()
    command(move, "check", move.config, status=0)


@hazard("refusals")
def settings_that_do_not_fit_the_tables(scene):
    """No table is left; a column is called like the tenant's; the tenant is of another type; there is no such place in the log."""
    scene.schema(COUNTED)
    move = scene.migration()
    for code, settings, key, found in (
            ("CF1512", {"tables.exclude": ["*"]}, "tables.include", "2 of 2 tables"), ("CF1510", {"tenant.column": "n"}, "counter", "column n"),
            ("CF1557", {"tenant.type": "bigint"}, "tenant.value", "acme"), ("CF1557", {"tenant.type": "uuid"}, "tenant.value", "acme")):
        before = dict(move.settings)
        change(move, **settings)
        parts = refusal(command(move, "check", move.config, status=3), code)
        expect(key in parts["object"] and found in parts["found"], str(parts))
        expect(any(word in parts["fix"] for word in ("tables.exclude", "tenant.column", "tenant.type")), str(parts))
        move.settings = before
    move.write()
    for place in ("yesterday", "1-2", "binlog.000001"):
        parts = refused(move, 3, "CF1714", "--until", place)
        expect((parts["object"], parts["found"]) == ("--until", place), str(parts))
    move.run_until_caught_up()
    scene.compare(move)


@hazard("refusals")
def commands_before_anything_has_begun(scene):
    scene.schema(COUNTED)
    move = scene.migration()
    for name, code in (("pause", "CF1713"), ("journal", "CF1716")):
        parts = refusal(command(move, name, move.config, status=2), code)
        expect(parts["object"].startswith(move.state_directory) and "'crossfade run'" in parts["fix"], str(parts))
    move.run_until_caught_up()
    for name in ("pause", "resume", "journal"):
        command(move, name, move.config, status=0)
    scene.on_target("UPDATE crossfade.format SET version = 99")
    parts = refused(move, 3, "CF1506")
    expect((parts["object"], parts["found"]) == ("schema crossfade", "format 99"), str(parts))
    scene.on_target("UPDATE crossfade.format SET version = 1")
    move.run_until_caught_up()
    scene.compare(move)
