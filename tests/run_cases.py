#!/usr/bin/python3
"""Runs the cases in tests/cases on real servers.

A case is a directory:
  schema.sql   tables; no two cases share a table name; {{nopad_bin}} is a binary collation that does not pad
  data.sql     rows that are there before the copy (optional)
  dml.sql      what the application does: before the copy on the snapshot path, while we follow on the log path
  expect       queries on the target and the rows they must return, by hand:
                   SELECT ... ;
                   ----
                   tab separated rows, NULL for null
               (an empty line ends the block)
  options      lines `key = value`: engines, paths (space separated), why, exit (status of the program), says (text in its
               log), variants, and any setting of the program by its full name, e.g. types.zero_dates = null. A case with
               a setting or an exit status runs alone or with those of the same settings.

No column type may be left out: each server is asked which types it knows, and one that no case's schema uses is a failure
(harness/column_types.py). It counts as one more case, column_types.

Each case counts once for each source server and path. Cases that go together share one database and one run of the
program; if that run fails, it is halved until the guilty case is alone.
"""

import argparse
import json
import os
import re
import sys
import threading
import time
import traceback

TESTS = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(TESTS, "harness"))

import column_types
import compare
import migration
import servers

CASES = os.path.join(TESTS, "cases")
OWN_OPTIONS = {"engines", "paths", "why", "exit", "says", "variants", "server"}

# Who found a failure: what the servers' own clients say of the rows, which knows nothing of the program, or its own comparison.
BY_CLIENTS = "by the servers' own clients"
BY_VERIFY = "crossfade verify"

# Name -> (options of the source server by engine, settings of the program).
VARIANTS = {
    "plain": ({}, {}),
    "minimal-metadata": ({"binlog_row_metadata": "MINIMAL"}, {}),
    "no-metadata": ({"binlog_row_metadata": {"mariadb": "NO_LOG", "mysql": "MINIMAL"}}, {"snapshot.mode": "chunked"}),
    "compressed": ({"options": {"mariadb": ["--log-bin-compress=1", "--log-bin-compress-min-len=10"],
                                "mysql": ["--binlog-transaction-compression=ON"]}}, {"snapshot.readers": 1}),
    "chunked": ({}, {"snapshot.mode": "chunked", "snapshot.chunk_rows": 100}),
}


class Case:
    def __init__(self, name):
        self.name = name
        self.directory = os.path.join(CASES, name)
        self.schema = self._read("schema.sql")
        self.data = self._read("data.sql")
        self.dml = self._read("dml.sql")
        self.options = {}
        for line in self._read("options").splitlines():
            if line.strip() and not line.startswith("#"):
                key, _, value = line.partition("=")
                self.options[key.strip()] = value.strip()
        self.engines = self.options.get("engines", "mariadb mysql").split()
        self.paths = self.options.get("paths", "snapshot log").split()
        self.variants = self.options.get("variants", " ".join(VARIANTS)).split()
        self.settings = {key: _value(value) for key, value in self.options.items() if key not in OWN_OPTIONS}
        self.exit = int(self.options.get("exit", "0"))
        self.says = self.options.get("says", "")
        self.expectations = self._expectations()

    def _read(self, file):
        try:
            with open(os.path.join(self.directory, file), encoding="utf-8") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def _expectations(self):
        blocks = []
        for block in re.split(r"\n\n+", self._read("expect").strip("\n")):
            if block:
                query, mark, rows = (block + "\n").partition("----\n")
                if not mark:
                    raise SystemExit("case %s: a block of 'expect' has no line ----" % self.name)
                blocks.append((query.strip(), rows))
        return blocks

    def group(self):
        """Cases with the same group may share a run; one that must fail never shares."""
        return (repr(sorted(self.settings.items())), self.name if self.exit else "")

    def tables(self):
        return re.findall(r"(?i)create\s+(?:or\s+replace\s+)?table\s+`?(\w+)`?", self.schema)


def _value(text):
    if re.fullmatch(r"\d+", text):
        return int(text)
    if text.startswith("["):
        return json.loads(text)
    return text


# Words that the servers spell differently.
SPELLING = {"nopad_bin": {"mariadb": "utf8mb4_nopad_bin", "mysql": "utf8mb4_0900_bin"}}


def for_engine(script, engine):
    return re.sub(r"\{\{(\w+)\}\}", lambda match: SPELLING[match.group(1)][engine], script)


def load_cases(pattern):
    cases = [Case(name) for name in sorted(os.listdir(CASES)) if os.path.exists(os.path.join(CASES, name, "schema.sql"))]
    owners = {}
    for case in cases:
        for table in case.tables():
            if owners.setdefault(table.lower(), case.name) != case.name:
                raise SystemExit("table %s is in two cases: %s and %s" % (table, owners[table.lower()], case.name))
    return [case for case in cases if re.search(pattern, case.name)]


class Result:
    def __init__(self, case, engine, path, variant, failure=None):
        self.case, self.engine, self.path, self.variant, self.failure = case, engine, path, variant, failure

    def name(self):
        variant = "" if self.variant == "plain" else "/" + self.variant
        return "%s/%s/%s%s" % (self.case.name, self.engine, self.path, variant)


class Batch:
    """Cases of one group on one source server and one path."""

    number = 0
    lock = threading.Lock()

    def __init__(self, runner, source, target, engine, path, variant):
        self.runner, self.source, self.target = runner, source, target
        self.engine, self.path, self.variant = engine, path, variant

    def run(self, cases):
        """Results of all cases; halves the batch when the program itself fails."""
        failures = {}
        try:
            self._attempt(cases, failures)
        except (migration.MigrationError, servers.SqlError, compare.CompareError) as error:
            if len(cases) > 1:
                middle = len(cases) // 2
                return self.run(cases[:middle]) + self.run(cases[middle:])
            failures[cases[0]] = str(error)
        return [Result(case, self.engine, self.path, self.variant, failures.get(case)) for case in cases]

    def _attempt(self, cases, failures):
        with Batch.lock:
            Batch.number += 1
            number = Batch.number
        database = "cases_%d" % number
        self.source.client("CREATE DATABASE %s CHARACTER SET utf8mb4" % database)
        self.target.create_database(database)
        live = [case for case in cases if self._feed(case, database, failures, case.schema, case.data)]
        move = migration.Migration(self.runner, "c%d" % number, self.source, database, self.target, database, tenant="acme",
                                   settings=dict(VARIANTS[self.variant][1], **cases[0].settings))
        if self.path == "snapshot":
            live = [case for case in live if self._feed(case, database, failures, case.dml)]
            if cases[0].exit:
                return self._expect_exit(cases[0], move, failures)
            move.run_until_caught_up()
            self._verify(live, move, failures)
        else:
            move.start()
            try:
                if not cases[0].exit:
                    move.wait_phase(migration.FOLLOWING)
                live = [case for case in live if self._feed(case, database, failures, case.dml)]
                if cases[0].exit:
                    return self._expect_exit(cases[0], move, failures)
                move.wait_applied()
                self._verify(live, move, failures)
                status = move.stop()
                if status not in (0, 2):
                    raise migration.MigrationError("ended with status %d\n%s" % (status, move.log_tail()))
            finally:
                move.kill()
        for case in live:
            failure = self._check(case, database)
            if failure:
                failures[case] = "%s: %s%s" % (BY_CLIENTS, failure, "\n" + failures[case] if case in failures else "")
        if not failures:
            self.source.client("DROP DATABASE " + database)
            self.target.client("DROP DATABASE %s WITH (FORCE)" % database)

    def _verify(self, cases, move, failures):
        """The program's own comparison must say the same as the servers' clients."""
        code, out, err = move.command("verify", "--json")
        if code == 0:
            return
        tables = json.loads(out)["tables"] if out.startswith("{") else []
        wrong = {table["table"]: table for table in tables if table["result"] != "equal"}
        for case in cases:
            mine = [table for name, table in wrong.items() if name in case.tables()]
            if mine or not wrong:
                failures[case] = "%s ended with %d: %s%s" % (BY_VERIFY, code, json.dumps(mine)[:2000], err)

    def _expect_exit(self, case, move, failures):
        if self.path == "snapshot":
            move.start("--until", "caught-up")
        status = move.wait(120)
        if status != case.exit:
            failures[case] = "exit status %d instead of %d\n%s" % (status, case.exit, move.log_tail())
        elif case.says and not re.search(case.says, move.log_tail(20000)):
            failures[case] = "ended with %d as it should, but does not say '%s':\n%s" % (status, case.says, move.log_tail())

    def _feed(self, case, database, failures, *scripts):
        """Runs SQL on the source; False when the source itself refuses it, which is the case's fault."""
        for script in scripts:
            if script:
                try:
                    self.source.client(for_engine(script, self.engine), database)
                except servers.SqlError as error:
                    failures[case] = "the source refused the case's SQL: %s" % error
                    return False
        return True

    def _check(self, case, database):
        for query, rows in case.expectations:
            try:
                got = self.target.client(
                    "SET TimeZone = 'UTC'; SET bytea_output = 'hex'; SET IntervalStyle = 'postgres';\n\\pset null NULL\n%s;\n"
                    % query.rstrip(";"), database)
            except servers.SqlError as error:
                return "%s\n%s" % (query, error)
            if got != rows:
                return "%s\nexpected:\n%sgot:\n%s" % (query, rows, got)
        policies = {name: str(case.settings.get("types." + name, "stop")) for name in ("zero_dates", "nul_bytes")}
        report = compare.Comparison(self.source, database, self.target, database, tenant_column="tenant_id",
                                    tenant_value="acme", directory=self.runner.directory, **policies).run(set(case.tables()))
        return None if report.equal else str(report)


class TypesCase:
    """Stands for the question whether all types of a server have a case."""

    name = "column_types"


def check_types(source, engine):
    """Of all cases, whatever the filter."""
    try:
        lacking = column_types.without_case(source, [for_engine(case.schema, engine) for case in load_cases("") if engine in case.engines])
        failure = "no case has a column of type " + ", ".join(lacking) if lacking else None
    except (AssertionError, servers.SqlError) as error:
        failure = str(error)
    return Result(TypesCase, engine, "schemas", "plain", failure)


class Runner:
    def __init__(self, arguments, run):
        self.arguments, self.run = arguments, run
        self.results = []
        self.errors = []
        self.lock = threading.Lock()

    def engine(self, engine, variants, cases, target):
        try:
            for variant in variants:
                options, _ = VARIANTS[variant]
                metadata = options.get("binlog_row_metadata", "FULL")
                source = self.run.start(servers.source_server(
                    engine, *options.get("options", {}).get(engine, []),
                    binlog_row_metadata=metadata[engine] if isinstance(metadata, dict) else metadata))
                if variant == variants[0] and re.search(self.arguments.filter, TypesCase.name):
                    self._show([check_types(source, engine)])
                for path in self.arguments.path or ["snapshot", "log"]:
                    self._path(engine, path, variant, cases, source, target)
                source.kill()
        except Exception:
            with self.lock:
                self.errors.append("%s: %s" % (engine, traceback.format_exc()))

    def _path(self, engine, path, variant, cases, source, target):
        groups = {}
        for case in cases:
            if engine in case.engines and path in case.paths and variant in case.variants:
                groups.setdefault(case.group(), []).append(case)
        for group in groups.values():
            self._show(Batch(self.run, source, target, engine, path, variant).run(group))

    def _show(self, results):
        with self.lock:
            self.results += results
            for result in results:
                if result.failure:
                    print("FAILED %s\n    %s" % (result.name(), result.failure.strip().replace("\n", "\n    ")), flush=True)
                elif self.arguments.verbose:
                    print("passed %s" % result.name(), flush=True)


def check_sources_only(run, cases, engines):
    """Without the program: that every case's SQL is taken by the servers it is for."""
    results = []
    for engine in engines:
        source = run.start(servers.source_server(engine))
        for case in cases:
            if engine not in case.engines:
                continue
            failure = None
            source.client("DROP DATABASE IF EXISTS c; CREATE DATABASE c CHARACTER SET utf8mb4")
            try:
                for script in (case.schema, case.data, case.dml):
                    if script:
                        source.client(for_engine(script, engine), "c")
            except servers.SqlError as error:
                failure = str(error)
                print("FAILED %s/%s\n    %s" % (case.name, engine, error), flush=True)
            results.append(Result(case, engine, "source", "plain", failure))
    return results


def main():
    parser = argparse.ArgumentParser(description="Runs the cases in tests/cases on real servers.")
    parser.add_argument("--filter", default="", metavar="RE", help="only cases whose name matches")
    parser.add_argument("--engine", action="append", choices=["mariadb", "mysql"], help="only this source (repeatable)")
    parser.add_argument("--path", action="append", choices=["snapshot", "log"])
    parser.add_argument("--variant", action="append", choices=sorted(VARIANTS), help="default: plain")
    parser.add_argument("--all-variants", action="store_true")
    parser.add_argument("--sources-only", action="store_true", help="only try the cases' SQL on the sources")
    parser.add_argument("--keep", action="store_true", help="keep servers' directories")
    parser.add_argument("-v", "--verbose", action="store_true")
    arguments = parser.parse_args()
    cases = load_cases(arguments.filter)
    if not arguments.sources_only:
        migration.program()
    engines = arguments.engine or ["mariadb", "mysql"]
    skipped = 0
    if "mysql" in engines and servers.mysql_root() is None:
        engines.remove("mysql")
        skipped = sum("mysql" in case.engines for case in cases)
        print("SKIPPED %d cases on mysql: no MySQL server (tools/servers/fetch-mysql.sh)" % skipped)
    begun = time.monotonic()
    with servers.Run(keep=arguments.keep) as run:
        runner = Runner(arguments, run)
        if arguments.sources_only:
            runner.results = check_sources_only(run, cases, engines)
        else:
            target = run.start(servers.Postgres())
            variants = sorted(VARIANTS) if arguments.all_variants else arguments.variant or ["plain"]
            threads = [threading.Thread(target=runner.engine, args=(engine, variants, cases, target)) for engine in engines]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    for error in runner.errors:
        print("ERROR " + error)
    failed = sum(1 for result in runner.results if result.failure) + len(runner.errors)
    passed = sum(1 for result in runner.results if not result.failure)
    for engine in engines:
        print("cases on %s: %d" % (engine, sum(result.engine == engine for result in runner.results)))
    print("cases took %.0f s" % (time.monotonic() - begun))
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed or not (passed or skipped) else 0


if __name__ == "__main__":
    sys.exit(main())
