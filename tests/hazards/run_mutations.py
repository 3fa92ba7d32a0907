#!/usr/bin/python3
"""Takes one rule at a time out of the program, and proves that the hazard's test notices.

Each mutant (mutations.py) is built in a copy of the tree, build/mutations; the hazard's test must then fail, for what it tests and not for
what it needs: a program that does not compile, or a server that does not start, proves nothing. The program as it is passes the same tests,
once, before.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "harness"), HERE]

import mutations
import servers

COPY = os.path.join(servers.REPOSITORY, "build", "mutations")
PROGRAM = os.path.join(COPY, "build", "tools", "crossfade", "crossfade")
# A test that fails with one of these has judged the program.
JUDGEMENTS = ("Wrong", "MigrationError", "CompareError")
TEST_TIMEOUT_S = 900


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def stale(mutant):
    """Why the mutant is not one of this code any more, or None."""
    changed = {}
    for edit in mutant.edits:
        text = changed.get(edit.file) or read(os.path.join(servers.REPOSITORY, edit.file))
        if text.count(edit.old) != 1:
            return "%s has this %d times, not once:\n%s" % (edit.file, text.count(edit.old), edit.old)
        changed[edit.file] = text.replace(edit.old, edit.new)
    return None


def copy_tree():
    """The files as they are, committed or not. What has not changed keeps its time, so that little is built again."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=servers.REPOSITORY, check=True,
                            capture_output=True).stdout.decode().split("\0")
    for name in listed:
        source, copy = os.path.join(servers.REPOSITORY, name), os.path.join(COPY, name)
        if not os.path.isfile(source):
            continue
        with open(source, "rb") as file:
            content = file.read()
        if os.path.exists(copy):
            with open(copy, "rb") as file:
                if file.read() == content:
                    continue
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        shutil.copyfile(source, copy)


def build():
    """None, or why not."""
    environment = dict(os.environ, CCACHE_BASEDIR=COPY, CCACHE_NOHASHDIR="1")
    for command in (["cmake", "-S", ".", "-B", "build", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"],
                    ["nice", "ninja", "-C", "build", "-j", str(os.cpu_count()), "crossfade"]):
        done = subprocess.run(command, cwd=COPY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            return done.stdout.decode("utf-8", "replace")[-3000:]
    return None


def run_tests(tests, engine):
    """Each test's outcome: "passed", or the failure's text."""
    environment = dict(os.environ, CROSSFADE_PROGRAM=PROGRAM)
    command = [sys.executable, os.path.join(HERE, "run_hazards.py"), "--workers", "1", "--engine", engine,
               "--filter", "^(%s) " % "|".join(sorted(tests))]
    try:
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TEST_TIMEOUT_S * len(tests))
    except subprocess.TimeoutExpired:
        return {test: "the test did not end" for test in tests}
    text = done.stdout.decode("utf-8", "replace")
    outcomes = {test: "the test was not run:\n" + text[-2000:] for test in tests}
    for found in re.finditer(r"^(passed|FAILED) (\w+)/\w+ \([^)]*\)(?:\n    (.*(?:\n    .*)*))?", text, re.MULTILINE):
        outcomes[found.group(2)] = "passed" if found.group(1) == "passed" else found.group(3) or ""
    return outcomes


class Mutations:
    def __init__(self):
        self.counts = {"passed": 0, "failed": 0}

    def note(self, good, text, details=""):
        self.counts["passed" if good else "failed"] += 1
        print(text + ("\n    " + details.strip().replace("\n", "\n    ") if details else ""), flush=True)

    def unmutated_passes(self, mutants):
        """Those whose test the program as it is passes."""
        failed = set()
        for engine in sorted({mutant.engine for mutant in mutants}):
            outcomes = run_tests({mutant.test for mutant in mutants if mutant.engine == engine}, engine)
            for test, outcome in sorted(outcomes.items()):
                if outcome != "passed":
                    failed.add((test, engine))
                    self.note(False, "FAILED %s/%s: without any mutation" % (test, engine), outcome)
        return [mutant for mutant in mutants if (mutant.test, mutant.engine) not in failed]

    def judge(self, mutant):
        started = time.monotonic()
        originals = {}
        try:
            for edit in mutant.edits:
                path = os.path.join(COPY, edit.file)
                originals.setdefault(path, read(path))
                write(path, read(path).replace(edit.old, edit.new))
            refusal = build()
            if refusal:
                self.note(False, "FAILED %s: the mutant does not compile" % mutant, refusal)
                return
            outcome = run_tests({mutant.test}, mutant.engine)[mutant.test]
        finally:
            for path, text in originals.items():
                write(path, text)
        took = time.monotonic() - started
        if outcome == "passed":
            self.note(False, "NOT CAUGHT %s (%.0f s)" % (mutant, took), "%s passes all the same" % mutant.test)
        elif not outcome.startswith(tuple(kind + ":" for kind in JUDGEMENTS)):
            self.note(False, "NOT CAUGHT %s (%.0f s): the test could not judge" % (mutant, took), outcome)
        else:
            self.note(True, "caught %s (%.0f s)" % (mutant, took), "%s: %s" % (mutant.test, outcome.split("\n")[0][:200]))


def run_all(run, wanted, file, skipped):
    """Judges each mutant of a list; the exit status."""
    for mutant in list(wanted):
        why = stale(mutant)
        if why:
            run.note(False, "FAILED %s: the code has changed, mend %s" % (mutant, file), why)
            wanted.remove(mutant)
    if wanted:
        copy_tree()
        refusal = build()
        if refusal:
            raise SystemExit("the program as it is cannot be built in %s:\n%s" % (COPY, refusal))
        for mutant in run.unmutated_passes(wanted):
            run.judge(mutant)
    print("%d passed, %d failed, %d skipped" % (run.counts["passed"], run.counts["failed"], skipped))
    return 1 if run.counts["failed"] else 0


def main():
    parser = argparse.ArgumentParser(description="Takes rules out of the program, and sees whether the hazards' tests notice.")
    parser.add_argument("--filter", default="", metavar="RE", help="only those whose line in --list matches")
    parser.add_argument("--engine", action="append", choices=["mariadb", "mysql"])
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    engines = arguments.engine or ["mariadb", "mysql"]
    wanted = [mutant for mutant in mutations.MUTANTS if mutant.engine in engines and re.search(arguments.filter, mutant.line())]
    if arguments.list:
        for mutant in wanted:
            print(mutant.line())
        return 0
    skipped = 0
    if servers.mysql_root() is None:
        skipped = sum(mutant.engine == "mysql" for mutant in wanted)
        if skipped:
            print("SKIPPED %d mutants on mysql: no MySQL server (tools/servers/fetch-mysql.sh)" % skipped)
        wanted = [mutant for mutant in wanted if mutant.engine != "mysql"]
    return run_all(Mutations(), wanted, "mutations.py", skipped)


if __name__ == "__main__":
    sys.exit(main())
