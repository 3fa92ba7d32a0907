#!/usr/bin/python3
"""Runs clang-tidy 16, with the checks in .clang-tidy, over our code.

    tidy.py [--build DIR] [--jobs N] [--changed [REV] | FILE...]

Without arguments: every .cc file of FOLDERS. A header is looked at through the files that include it; when it is named, or
changed, through one of them. --changed takes what differs from REV, and without one from HEAD.

What was found in a file is kept in the build directory, and the file is looked at again only when it, one of our headers
behind it, how it is compiled, the checks or clang-tidy itself changed. A new version of a system's library goes unseen:
delete build/tidy then.

Ends with 1 when there are findings, and with 3 when it could not look.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ("core", "db", "state", "capture", "snapshot", "apply", "verify", "tools", "bench")
TIDY = "clang-tidy-16"
INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


class Files:
    """The text of our files, and which of our headers each of them sees."""

    def __init__(self):
        self.digests = {}
        self.included = {}

    def read(self, path):
        if path in self.digests:
            return
        with open(os.path.join(ROOT, path), "rb") as file:
            text = file.read()
        self.digests[path] = hashlib.sha256(text).hexdigest()
        self.included[path] = []
        for name in INCLUDE.findall(text):
            name = name.decode()
            for candidate in (os.path.normpath(os.path.join(os.path.dirname(path), name)), name):
                if os.path.isfile(os.path.join(ROOT, candidate)):
                    self.included[path].append(candidate)
                    break

    def behind(self, path):
        """The file and everything of ours that it includes, directly or not."""
        seen, waiting = set(), [path]
        while waiting:
            path = waiting.pop()
            if path not in seen:
                seen.add(path)
                self.read(path)
                waiting.extend(self.included[path])
        return seen


def fail(text):
    print("tidy: " + text, file=sys.stderr)
    sys.exit(3)


def commands(build):
    """File -> how it is compiled. A file of several programs counts once."""
    try:
        with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
            entries = json.load(file)
    except OSError as error:
        fail("%s; first: cmake -S . -B build -G Ninja" % error)
    return {os.path.relpath(entry["file"], ROOT): entry["command"] for entry in entries}


def git(*arguments):
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        fail(done.stderr.strip())
    return [name for name in done.stdout.split("\0") if name]


def changed(revision):
    names = git("diff", "--name-only", "-z", "--diff-filter=d", "--relative", revision)
    names += git("ls-files", "-z", "--others", "--exclude-standard")
    return [name for name in names if name.endswith((".cc", ".h")) and name.split("/")[0] in FOLDERS]


def through(names, compiled, files):
    """The compiled files through which these are seen; for a header, the one of its name when it includes it."""
    chosen = {name for name in names if name in compiled}
    for name in names:
        if name.endswith(".h") and os.path.exists(os.path.join(ROOT, name)):
            seen_by = [path for path in compiled if name in files.behind(path)]
            if not seen_by:
                print("tidy: nothing includes %s" % name)
            elif not chosen.intersection(seen_by):
                own = name[:-2] + ".cc"
                chosen.add(own if own in seen_by else min(seen_by))
        elif name not in chosen:
            fail("%s is not compiled; when it is new: cmake -S . -B build" % name)
    return sorted(chosen)


def key(path, command, files, version):
    parts = [version, command]
    folder = os.path.dirname(path)
    while True:
        config = os.path.join(folder, ".clang-tidy")
        if os.path.exists(os.path.join(ROOT, config)):
            files.read(config)
            parts.append(files.digests[config])
        if not folder:
            break
        folder = os.path.dirname(folder)
    parts += ["%s %s" % (name, files.digests[name]) for name in sorted(files.behind(path))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def look(path, command, build, wanted_key):
    """What clang-tidy says about one file, from the last time when nothing changed since."""
    record = os.path.join(build, "tidy", path.replace("/", "+") + ".json")
    try:
        with open(record, encoding="utf-8") as file:
            known = json.load(file)
        if known["key"] == wanted_key:
            return known["findings"], 0
    except (OSError, ValueError, KeyError):
        pass
    begun = time.monotonic()
    done = subprocess.run(["nice", TIDY, "--quiet", "-p", build, os.path.join(ROOT, path)],
                          capture_output=True, text=True, check=False)
    findings = done.stdout
    if done.returncode not in (0, 1) or (done.returncode and not findings.strip()):
        raise RuntimeError("%s ended with %d on %s\n%s" % (TIDY, done.returncode, path, findings + done.stderr))
    with open(record + ".new", "w", encoding="utf-8") as file:
        json.dump({"key": wanted_key, "findings": findings}, file)
    os.replace(record + ".new", record)
    return findings, time.monotonic() - begun


def separate(findings):
    """One text for each finding, with its notes."""
    return [part for part in re.split(r"^(?=/\S+:\d+:\d+: (?:error|warning): )", findings, flags=re.MULTILINE) if part.strip()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--changed", nargs="?", const="HEAD", metavar="REV")
    parser.add_argument("files", nargs="*", metavar="FILE")
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    try:
        version = subprocess.run([TIDY, "--version"], capture_output=True, text=True, check=True).stdout
    except OSError as error:
        fail("%s; tools/install.sh installs it" % error)
    compiled = commands(build)
    files = Files()
    if options.changed:
        chosen = through(changed(options.changed), compiled, files)
    elif options.files:
        chosen = through([os.path.relpath(os.path.abspath(name), ROOT) for name in options.files], compiled, files)
    else:
        chosen = sorted(name for name in compiled if name.split("/")[0] in FOLDERS)
    os.makedirs(os.path.join(build, "tidy"), exist_ok=True)
    said, looked = set(), 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        waiting = [pool.submit(look, path, compiled[path], build, key(path, compiled[path], files, version))
                   for path in chosen]
        try:
            for ready in concurrent.futures.as_completed(waiting):
                findings, seconds = ready.result()
                looked += seconds > 0
                for finding in separate(findings):
                    if finding not in said:  # a header's are found through each file that includes it
                        said.add(finding)
                        print(finding.replace(ROOT + "/", ""), end="", flush=True)
        except (RuntimeError, KeyboardInterrupt) as error:
            pool.shutdown(cancel_futures=True)
            fail(str(error) or "stopped")
    print("tidy: %s; %d files, %d of them looked at anew"
          % ("%d findings" % len(said) if said else "good", len(chosen), looked))
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
