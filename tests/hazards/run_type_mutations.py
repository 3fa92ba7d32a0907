#!/usr/bin/python3
"""Puts one mistake at a time into the table of types, and proves that a case's rows show it to the servers' own clients.

Each mutant (type_mutations.py) is built in a copy of the tree, build/mutations; its case must then fail on each of its paths, by what the
clients say: `crossfade verify` shares the table of types and may call all equal (what it said is printed). A program that does not compile, stops or
refuses proves nothing. The program as it is passes the same cases, once, before.
"""

import argparse
import collections
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path[:0] = [TESTS, os.path.join(TESTS, "harness"), HERE]

import run_cases
import run_mutations
import servers
import type_mutations

CASE_TIMEOUT_S = 900

Seen = collections.namedtuple("Seen", "paths failures")  # of one case: how many paths passed or failed; the failures' texts by path


def run_case_tests(cases, engine):
    """What becomes of each case: {name: Seen}, and what was printed."""
    environment = dict(os.environ, CROSSFADE_PROGRAM=run_mutations.PROGRAM)
    command = [sys.executable, os.path.join(TESTS, "run_cases.py"), "--verbose", "--engine", engine, "--filter", "^(%s)$" % "|".join(sorted(cases))]
    try:
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=CASE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return {}, "the cases did not end"
    text = done.stdout.decode("utf-8", "replace")
    seen = {}
    for found in re.finditer(r"^(passed|FAILED) (\w+)/\w+/(\w+)$((?:\n    .*)*)", text, re.MULTILINE):
        one = seen.setdefault(found.group(2), Seen([], {}))
        one.paths.append(found.group(3))
        if found.group(1) == "FAILED":
            one.failures[found.group(3)] = found.group(4).strip()
    return seen, text


class TypeMutations(run_mutations.Mutations):
    def unmutated_passes(self, mutants):
        failed = set()
        for engine in sorted({mutant.engine for mutant in mutants}):
            cases = {mutant.case for mutant in mutants if mutant.engine == engine}
            seen, text = run_case_tests(cases, engine)
            for case in sorted(cases):
                if case not in seen or seen[case].failures:
                    failed.add((case, engine))
                    self.note(False, "FAILED %s/%s: without any mutation" % (case, engine), str(seen[case].failures) if case in seen else text[-2000:])
        return [mutant for mutant in mutants if (mutant.case, mutant.engine) not in failed]

    def judge(self, mutant):
        started = time.monotonic()
        originals = {}
        try:
            for edit in mutant.edits:
                path = os.path.join(run_mutations.COPY, edit.file)
                originals.setdefault(path, run_mutations.read(path))
                run_mutations.write(path, run_mutations.read(path).replace(edit.old, edit.new))
            refusal = run_mutations.build()
            if refusal:
                self.note(False, "FAILED %s: the mutant does not compile" % mutant, refusal)
                return
            seen, text = run_case_tests({mutant.case}, mutant.engine)
        finally:
            for path, content in originals.items():
                run_mutations.write(path, content)
        took = time.monotonic() - started
        if mutant.case not in seen:
            self.note(False, "NOT CAUGHT %s (%.0f s): the case was not run" % (mutant, took), text[-2000:])
            return
        for path in mutant.paths:
            why = seen[mutant.case].failures.get(path, "%s passes all the same" % path)
            if not why.startswith(run_cases.BY_CLIENTS):
                self.note(False, "NOT CAUGHT %s (%.0f s): on the path %s" % (mutant, took, path), why[:2000])
                return
        blind = not any(run_cases.BY_VERIFY in why for path, why in seen[mutant.case].failures.items() if path in mutant.paths)
        lines = seen[mutant.case].failures[mutant.paths[0]].split("\n")
        self.note(True, "caught %s (%.0f s; verify %s)" % (mutant, took, "was blind to it" if blind else "noticed too"),
                  " ".join(line.strip() for line in lines)[:200])


def main():
    parser = argparse.ArgumentParser(description="Puts mistakes into the table of types, and sees whether the cases' rows show them to the servers' clients.")
    parser.add_argument("--filter", default="", metavar="RE", help="only those whose line in --list matches")
    parser.add_argument("--engine", action="append", choices=["mariadb", "mysql"])
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    engines = arguments.engine or ["mariadb", "mysql"]
    wanted = [mutant for mutant in type_mutations.MUTANTS if mutant.engine in engines and re.search(arguments.filter, mutant.line())]
    if arguments.list:
        for mutant in wanted:
            print(mutant.line())
        return 0
    skipped = 0
    if servers.mysql_root() is None:
        skipped = sum(mutant.engine == "mysql" for mutant in wanted)
        wanted = [mutant for mutant in wanted if mutant.engine != "mysql"]
        print("SKIPPED %d mutants on mysql: no MySQL server (tools/servers/fetch-mysql.sh)" % skipped)
    return run_mutations.run_all(TypeMutations(), wanted, "type_mutations.py", skipped)


if __name__ == "__main__":
    sys.exit(main())
