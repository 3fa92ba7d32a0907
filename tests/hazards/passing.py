"""A pass of crossfade verify from its beginning to its end: what is kept of it, and what happens to one that is interrupted."""

import json
import os
import subprocess

import migration
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
    os.chmod(folder, 0o500)
    if os.getuid() != 0:
        code, out, err = move.command("verify")
        expect(code == 3 and "CF1784" in err and "fix:" in err and "verify: different" in out, "status %d\n%s%s" % (code, out, err))
    os.chmod(folder, 0o700)
    os.rename(folder, folder + ".away")
    with open(folder, "w", encoding="utf-8"):
        pass
    code, out, err = move.command("verify")
    expect(code == 3 and "CF1784" in err and "fix:" in err and "verify: different" in out, "status %d\n%s%s" % (code, out, err))
    os.remove(folder)
    verdict(move, 1)
