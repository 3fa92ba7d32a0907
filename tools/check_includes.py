#!/usr/bin/python3
"""Checks the includes against the table of folders in docs/design.md, and that no library shows in a public header."""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Folder -> the folders and single headers of ours that it may include, beside itself. Longest prefix decides.
MAY_INCLUDE = {
    "core": [],
    "db": ["core"],
    "state": ["core"],
    "capture": ["core", "db"],
    "snapshot": ["core", "db", "state", "apply/target.h", "apply/route.h"],
    "apply": ["core", "db", "state"],
    "verify": ["core", "db", "state", "apply/target.h", "apply/route.h", "apply/row_reader.h", "snapshot"],
    "cutover": ["core", "state"],
    "tools": [""],
    "tests": [""],
    "bench": [""],
}

# Between the engines of one folder nothing is shared: db/mysql knows nothing of db/postgres.
ENGINES = ("mysql", "postgres", "odbc", "kafka")

# Library header -> the only folders that may include it.
LIBRARIES = {
    r"rocksdb/": ["state"],
    r"pqxx/|libpq": ["db/postgres", "apply/postgres", "capture/postgres"],
    r"mysql\.h|mysqld_error\.h|errmsg\.h|ma_pvio\.h|mysql/|mariadb": ["db/mysql"],
    r"sql(ext)?\.h|odbc": ["db/odbc"],
    r"librdkafka/": ["apply/kafka"],
    r"openssl/": ["apply", "state", "tools/crossfade"],
    r"zlib\.h|zstd\.h": ["capture", "state"],
    r"xxhash\.h": ["core", "state", "apply", "snapshot", "capture", "verify"],
    r"CLI/|toml|nlohmann/|httplib\.h|prometheus/": ["tools/crossfade", "apply", "state"],
    r"spdlog/|fmt/|tl/expected": [""],
    r"gtest/|gmock/": ["tests"],
    r"benchmark/": ["bench"],
}

# These must not even appear in a header of the folder that owns them.
NEVER_IN_HEADERS = r"rocksdb/|pqxx/|libpq|mysql\.h|mysqld_error\.h|errmsg\.h|ma_pvio\.h|sqlext\.h|librdkafka/"


def under(path, prefix):
    return prefix == "" or path == prefix or path.startswith(prefix.rstrip("/") + "/")


def sources():
    for folder in MAY_INCLUDE:
        for directory, _, files in os.walk(os.path.join(ROOT, folder)):
            for name in sorted(files):
                if name.endswith((".h", ".cc")):
                    yield os.path.relpath(os.path.join(directory, name), ROOT)


def engine_of(path):
    parts = os.path.dirname(path).split("/")
    return next((part for part in parts if part in ENGINES), None)


def check(path):
    folder = path.split("/")[0]
    allowed = MAY_INCLUDE[folder] + [folder]
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            match = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
            if not match:
                continue
            where = "%s:%d: " % (path, number)
            kind, target = match.groups()
            if kind == '"':
                beside = os.path.join(ROOT, os.path.dirname(path), target)
                if folder == "tests" and os.path.exists(beside):
                    continue
                if not os.path.exists(os.path.join(ROOT, target)):
                    yield where + "'%s' is not a path from the repository root" % target
                elif not any(under(target, prefix) for prefix in allowed):
                    yield where + "%s/ may not include %s" % (folder, target)
                elif folder not in ("tools", "tests", "bench"):
                    mine, other = engine_of(path), engine_of(target)
                    if other and other != mine:
                        yield where + "%s belongs to another engine" % target
                continue
            for pattern, folders in LIBRARIES.items():
                if re.match(pattern, target):
                    if not any(under(path, prefix) for prefix in folders) and folder != "tests":
                        yield where + "<%s> may only be included in %s" % (target, ", ".join(folders))
                    elif path.endswith(".h") and re.match(NEVER_IN_HEADERS, target):
                        yield where + "<%s> may not show in a header" % target


def main():
    problems = [problem for path in sources() for problem in check(path)]
    print("\n".join(problems) if problems else "check_includes: good")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
