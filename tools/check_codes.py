#!/usr/bin/python3
"""Checks that a test names the code of every error that the source can give.

A test that names a code provokes it; for a refusal it then runs the statement that the text names, and sees the same command pass. What no
test can provoke stands below, with the reason.
"""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ["apply", "capture", "core", "cutover", "db", "snapshot", "state", "tools/crossfade", "verify"]

# No test provokes these: what would have to go wrong is not ours to make happen.
UNPROVOKED = {
    "CF1121": "the server would have to answer HEX() with something that is not hex",
    "CF1604": "the server would have to commit under its own global read lock",
    "CF1740": "what ends a wait when the program is told to stop; it is taken back before anybody sees it",
}

CODE = re.compile(r"\bCF1\d{3}\b")
COMMENT = re.compile(r"//.*$", re.M)


def files(folder, endings):
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", folder], capture_output=True, check=True)
    return [name for name in listed.stdout.decode().split("\0") if name and name.endswith(endings) and os.path.exists(os.path.join(ROOT, name))]


def text(name):
    with open(os.path.join(ROOT, name), encoding="utf-8", errors="replace") as file:
        return file.read()


def main():
    given, named = {}, set()
    for folder in FOLDERS:
        for name in files(folder, (".cc", ".h")):
            for code in CODE.findall(COMMENT.sub("", text(name))):
                given.setdefault(code, name)
    for name in files("tests", ("",)):
        named.update(CODE.findall(text(name)))
    problems = ["%s: no test names %s" % (name, code) for code, name in sorted(given.items()) if code not in named and code not in UNPROVOKED]
    problems += ["check_codes: %s is provoked after all: take it off the list" % code for code in sorted(UNPROVOKED) if code in named]
    problems += ["check_codes: %s is in no source: take it off the list" % code for code in sorted(UNPROVOKED) if code not in given]
    print("\n".join(problems) if problems else "check_codes: good, %d codes, %d that no test can provoke" % (len(given), len(UNPROVOKED)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
