#!/usr/bin/python3
"""Checks that every durable write has a failpoint directly before and directly after it.

Durable writes are writes and syncs of the journal's store, COMMIT on the target, the end of a COPY, and rename. A function
that only wraps one is itself a durable write: then each of its calls in the same file needs the failpoints. The crash
tests find the failpoints by themselves.
"""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ["core", "db", "state", "capture", "snapshot", "apply", "verify", "cutover", "tools/crossfade"]

# Folder -> what a durable write looks like there.
WRITES = {
    "": [r"\brename\("],
    "state": [r"\bstore_?(->|\.)(Write|Sync)\w*\(", r"\bdb_?->(Write|Put|Delete|DeleteRange|SyncWAL|FlushWAL)\("],
    "apply/postgres": [r"\b(?!Prepare)\w+\([^;]*\"COMMIT\b", r"\bSend\w*\([^;]*\"commit\"", r"->CopyEnd\(",
                       r"->Commit\(\)"],
}
# The seams themselves: what is below the functions named above.
SEAMS = {"state/store.cc", "db/postgres/connection.cc"}
# Not durable facts: the status file is rewritten every second, and read only to be shown.
NOT_DURABLE = {"tools/crossfade/status.cc"}
NEAR = 3  # lines of code between the failpoint and the statement

FAILPOINT = re.compile(r'CROSSFADE_FAILPOINT\("([^"]+)"\)')
FUNCTION = re.compile(r"^(?:[\w:<>,&*\[\] ]+\s)?[&*]?(?:\w+::)*(~?\w+)\([^;]*$")


def strip(text):
    """Without comments; lines keep their numbers."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
    return [re.sub(r"//.*$", "", line) for line in text.split("\n")]


def sources():
    for folder in FOLDERS:
        for directory, _, files in os.walk(os.path.join(ROOT, folder)):
            for name in sorted(files):
                if name.endswith(".cc"):
                    yield os.path.relpath(os.path.join(directory, name), ROOT)


def patterns(path):
    return [p for folder, list_ in WRITES.items() if path.startswith(folder) for p in list_]


class File:
    def __init__(self, path):
        self.path = path
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            self.lines = strip(file.read())
        self.names = [(n, m.group(1)) for n, line in enumerate(self.lines) for m in FAILPOINT.finditer(line)]

    def near(self, number, step):
        """Names of failpoints within a few lines of code."""
        left, found = NEAR, []
        if step > 0:
            # To the end of the statement, which may be an if with a body of a line or two.
            while number < len(self.lines) - 1 and not self.lines[number].rstrip().endswith((";", "{")):
                number += 1
        at = number + step
        while 0 <= at < len(self.lines) and left > 0:
            line = self.lines[at].strip()
            match = FAILPOINT.search(line)
            if match:
                found.append(match.group(1))
                break
            if line and line not in ("{", "}", "};") and not line.startswith("return Fail"):
                left -= 1
            at += step
        return found

    def enclosing(self, number):
        for at in range(number, -1, -1):
            line = self.lines[at]
            match = FUNCTION.match(line)
            if match and not line.startswith((" ", "#", "}")):
                return match.group(1)
        return None

    def guarded(self, number):
        before, after = self.near(number, -1), self.near(number, 1)
        return bool(before and after and before[0].endswith(".before") and after[0].endswith(".after")
                    and before[0][:-7] == after[0][:-6])

    def calls(self, name):
        for number, line in enumerate(self.lines):
            if re.search(r"(?<![\w:~])(?:this->)?%s\(" % re.escape(name), line) and self.enclosing(number) != name:
                yield number

    def problems(self):
        found, durable, wrappers = [], 0, set()
        queue = [(n, line.strip()) for n, line in enumerate(self.lines)
                 if any(re.search(p, line) for p in patterns(self.path)) and not FAILPOINT.search(line)]
        while queue:
            number, text = queue.pop()
            if self.guarded(number):
                durable += 1
                continue
            wrapper = self.enclosing(number)
            calls = [n for n in self.calls(wrapper) if self.lines[n].startswith(" ")] if wrapper else []
            calls = [n for n in calls if not re.match(r"\s*(virtual\s+)?(Status|Result<.*>|void) \w+\([^)]*\)( override)?;", self.lines[n])]
            if wrapper is None or wrapper in wrappers or not calls:
                if wrapper not in wrappers:
                    found.append("%s:%d: no failpoint directly before and after: %s" % (self.path, number + 1, text))
                continue
            wrappers.add(wrapper)
            queue += [(n, self.lines[n].strip()) for n in calls]
        names = [name for _, name in self.names]
        for number, name in self.names:
            if name.endswith(".before") and name[:-7] + ".after" not in names:
                found.append("%s:%d: %s has no .after" % (self.path, number + 1, name))
            elif name.endswith(".after") and name[:-6] + ".before" not in names:
                found.append("%s:%d: %s has no .before" % (self.path, number + 1, name))
        return found, durable


def main():
    problems, durable, owners = [], 0, {}
    for path in sources():
        if path in SEAMS or path in NOT_DURABLE:
            continue
        file = File(path)
        found, count = file.problems()
        problems += found
        durable += count
        for _, name in file.names:
            if owners.setdefault(name, path) != path:
                problems.append("%s: failpoint %s is also in %s" % (path, name, owners[name]))
    if "--list" in sys.argv:
        print("\n".join(sorted(owners)))
        return 0
    print("\n".join(problems) if problems else "check_failpoints: good, %d durable writes" % durable)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
