"""Kills with signal 9 at random moments, spread over the phases of a migration; now and then a server goes first.

Which phase a kill fell into is read from the target just before it. A copy may read each chunk that was under way again,
one for each of its readers, and no other: the program's log says which it reads.
"""

import collections
import random
import re
import time

import migration

READERS = 2
WISHES = ["copy", "index", "foreign keys", "catch-up", "follow"]
# Phases that a small database leaves at once are stretched, so that a kill can fall into them.
STRETCH = {
    "copy": "chunk.commit.before=sleep:40",
    "index": "schema.alone.after=sleep:60,schema.commit.before=sleep:40",
    "foreign keys": "schema.alone.after=sleep:60,schema.commit.before=sleep:40",
    "catch-up": "apply.commit.before=sleep:250",
    "follow": None,
}
LONGEST_S = {"copy": 0.6, "index": 0.3, "foreign keys": 0.2, "catch-up": 0.3, "follow": 1.5}

fell = collections.Counter()
servers_killed = collections.Counter()

_STATE = """
SELECT (SELECT facts FROM crossfade.migration WHERE tenant = 'acme'),
  coalesce((SELECT string_agg(query, ' ') FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()), '')
"""


def phase(scene):
    """What the program is doing: what stands on the target, what its sessions there did last, and its own word at the end."""
    try:
        with scene.stage.target.connect(scene.database) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('crossfade.migration') IS NOT NULL")
            if not cursor.fetchone()[0]:
                return "begin"
            cursor.execute(_STATE)
            facts, queries = cursor.fetchone()
    except Exception:
        return "target away"
    if facts is None or "tables" not in facts:
        return "begin"
    if "copied" not in facts:
        return "copy"
    if "foreign_keys" in facts:
        status = scene.move.status()
        return "follow" if status and status["phase"] == migration.FOLLOWING else "catch-up"
    if "keys" in facts:
        return "foreign keys"
    if re.search("FOREIGN KEY|VALIDATE|'constraint'", queries):
        return "action keys"
    return "index" if re.search("INDEX|UNIQUE|crossfade.object|pg_catalog", queries) else "open windows"


# After an interrupted copy the foreign keys with an action come first, and the others when its windows are closed.
_ORDER = ["begin", "copy", "action keys", "open windows", "index", "foreign keys", "catch-up", "follow"]


def wait_for(scene, wish, timeout_s=60):
    """Until the phase is there, or a later one."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and scene.move.process.poll() is None:
        now = phase(scene)
        if now in _ORDER and _ORDER.index(now) >= _ORDER.index(wish):
            return
        time.sleep(0.01)
    if scene.move.process.poll() is None:
        raise migration.MigrationError("did not reach '%s' within %d s\n%s" % (wish, timeout_s, scene.move.log_tail()))


def kill_server(scene, rng):
    """Source or target dies and comes back; the program goes on by itself, or, where nothing is under way yet, ends and says so."""
    server = rng.choice([scene.stage.source, scene.stage.target])
    servers_killed[server.engine] += 1
    server.restart(hard=True)
    time.sleep(rng.random() * 2)
    status = scene.move.process.poll()
    if status not in (None, 2):
        raise migration.MigrationError("ended with status %d when %s died\n%s" % (status, server.engine, scene.move.log_tail()))


def expect_little_read_twice(scene, copies_cut):
    """Of the tables that are not read as a whole."""
    with open(scene.move.log, encoding="utf-8", errors="replace") as file:
        text = file.read()
    whole = {table for table, how in re.findall(r"copy plan:   (\w+): (.*)", text) if "copy group" in how or "no primary key" in how}
    reads = collections.Counter(chunk for chunk in re.findall(r"copy: reading (\w+ \d+)$", text, re.MULTILINE)
                                if chunk.split()[0] not in whole)
    if len(reads) < 15:
        raise migration.MigrationError("only %d chunks were read, so nothing was tested\n%s" % (len(reads), text[-3000:]))
    again = sum(reads.values()) - len(reads)
    if again > copies_cut * READERS:
        raise migration.MigrationError("%d chunks were read again after %d cuts of a copy with %d readers: %s" % (
            again, copies_cut, READERS, [chunk for chunk, times in reads.items() if times > 1]))


def kill_in(scene, wishes, with_servers, rng):
    copies_cut = 0
    for wish in wishes:
        if wish == "catch-up":
            time.sleep(3)  # away, so that there is something to catch up with
        scene.move.start(failpoints=STRETCH[wish])
        wait_for(scene, wish)
        time.sleep(rng.random() * LONGEST_S[wish])
        if with_servers and rng.random() < 0.4:
            kill_server(scene, rng)
            copies_cut += 1
            time.sleep(rng.random())
        now = phase(scene)
        if scene.move.process.poll() is None:
            fell[now] += 1
        copies_cut += 1
        scene.move.kill()
    if not scene.has_bystander and not with_servers:
        expect_little_read_twice(scene, copies_cut)


def jobs(stage, count, rng):
    """`count` kills, spread over the phases and a few scenes; every third scene's servers die as well."""
    wishes = [WISHES[number % len(WISHES)] for number in range(count)]
    rng.shuffle(wishes)
    result = []
    while wishes:
        here, wishes = sorted(wishes[:3], key=WISHES.index), wishes[3:]
        with_servers = len(result) % 3 == 1
        seed = rng.randrange(10**6)
        result.append(("kills in %s%s/%s, seed %d" % (", ".join(here), " and of servers" if with_servers else "", stage.engine, seed),
                       lambda h=here, w=with_servers, s=seed: stage.attempt(
                           s, lambda scene: kill_in(scene, h, w, random.Random("kill/%s" % s)), patient=w,
                           **{"log.level": "debug", "snapshot.readers": READERS, "apply.max_batch_rows": 300})))
    return result


def histogram():
    lines = ["kills by phase: " + (", ".join("%s %d" % (name, fell[name]) for name in _ORDER + ["target away"] if fell[name]) or "none")]
    if servers_killed:
        lines.append("servers killed: " + ", ".join("%s %d" % item for item in sorted(servers_killed.items())))
    return "\n".join(lines)
