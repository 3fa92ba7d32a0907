"""Hazards of the network to the target: a COMMIT whose outcome nobody was told."""

import itertools
import random
import time

from proxy import CommitProxy
from stage import Background, expect, hazard, wait_until

SCHEMA = """
    CREATE TABLE counter (id INT PRIMARY KEY, n BIGINT NOT NULL);
    CREATE TABLE keyless (v INT NOT NULL);
    CREATE TABLE n (id INT AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL);
    INSERT INTO counter VALUES (1, 0);
"""


def writer(scene):
    """A step that counts itself in a counter, and adds a row to a table without a key."""
    cursor = scene.source.connect(scene.database, autocommit=False).cursor()
    numbers = itertools.count(1)

    def write():
        cursor.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
        cursor.execute("INSERT INTO keyless VALUES (%s)", (next(numbers),))
        cursor.execute("INSERT INTO n (v) VALUES (1), (2)")
        cursor.execute("UPDATE n SET v = v + 1 ORDER BY id DESC LIMIT 5")
        cursor.connection.commit()

    return write


def expect_counted_once(scene, move):
    """By the target alone: each step is there, once; then by the source."""
    move.wait_applied(timeout_s=120)
    counted, rows, different = map(int, scene.on_target(
        "SELECT (SELECT n FROM counter), (SELECT count(*) FROM keyless), (SELECT count(DISTINCT v) FROM keyless)").split())
    expect(counted == rows == different and counted > 0, "counted %d times, %d rows without key, %d different" % (counted, rows, different))
    expect(move.status()["apply"]["divergences"] == 0, "divergences were met")
    scene.catch_up_and_compare(move)


@hazard("H20", quick=False)
def commits_are_cut(scene):
    """The connection is cut before COMMIT, on its way, behind it, and the client alone while the server commits later."""
    scene.schema(SCHEMA)
    rng = random.Random(scene.database)
    harms = ["lost", "unanswered", "abandoned", "late"]
    planned = iter(())
    with CommitProxy(scene.target.port, lambda: next(planned, None), delay_s=1.5) as proxy:
        move = scene.migration(target__port=proxy.port)
        move.start()
        move.wait_phase("following")
        # Each in turn, and between them now and then one that goes well.
        planned = (harm for turn in range(4) for harm in rng.sample(harms, 4) for harm in (harm,) + (None,) * rng.randint(0, 3))
        with Background(writer(scene), 0.005):
            # Soon: the pauses between tries are long only while nothing is achieved.
            wait_until(lambda: sum(proxy.done.values()) == 16 or move.process.poll() is not None, "only %s" % proxy.done, 35)
            time.sleep(0.5)
        expect(all(proxy.done[harm] == 4 for harm in harms), "not all harms were done: %s\n%s" % (proxy.done, move.log_tail()))
        expect_counted_once(scene, move)


def following(move):
    return (move.status() or {"phase": ""})["phase"] == "following"


@hazard("H20", "H15", quick=False)
def commits_of_the_copy_are_cut(scene):
    """From the first COMMIT on, those of ownership, chunks and keys among them."""
    scene.schema(SCHEMA)
    write = writer(scene)
    for _ in range(500):
        write()
    rng = random.Random(scene.database)
    harms = itertools.cycle(rng.sample(["lost", "unanswered", "abandoned", "late"], 4))
    with CommitProxy(scene.target.port, lambda: next(harms) if proxy.commits < 60 and rng.random() < 0.4 else None, delay_s=0.7) as proxy:
        move = scene.migration(target__port=proxy.port, snapshot__chunk_rows=100)
        with Background(write, 0.02):
            move.start()
            # What fails before the copy has begun ends the program: it is started again, as an operator would. Each try of a
            # stage that is harmed again waits 5 s, and goes two or three of the 60 commits further.
            for _ in range(20):
                wait_until(lambda: move.process.poll() is not None or following(move), "does not go on", 240)
                if move.process.poll() is None:
                    break
                expect(move.process.returncode == 2, "ended with status %d\n%s" % (move.process.returncode, move.log_tail()))
                move.start()
        expect(sum(proxy.done.values()) >= 4, "too few harms were done: %s" % proxy.done)
        expect_counted_once(scene, move)


@hazard("H20", quick=False)
def commit_stalls(scene):
    """The network stands still for 20 seconds, before the server has the COMMIT or behind it."""
    scene.schema(SCHEMA)
    planned = iter(())
    with CommitProxy(scene.target.port, lambda: next(planned, None), delay_s=20) as proxy:
        move = scene.migration(target__port=proxy.port)
        move.start()
        move.wait_phase("following")
        planned = iter([None, "answer held" if scene.engine == "mariadb" else "commit held"])
        with Background(writer(scene), 0.02):
            wait_until(lambda: sum(proxy.done.values()) == 1, "no COMMIT went by", 10)
            time.sleep(21)
        expect_counted_once(scene, move)
