"""journal: the journal alone, without servers: transactions appended and synced in groups, and read back."""

import os
import re
import subprocess
import tempfile

import measure


def measure_all(options):
    transactions = 2_000_000 // options.scale
    found = {}
    for turn in range(options.runs):
        with tempfile.TemporaryDirectory(prefix="cf-") as directory:
            done = subprocess.run([os.path.join(measure.ROOT, "build", "journal_bench"), os.path.join(directory, "journal"),
                                   str(transactions)], capture_output=True, text=True)
        if done.returncode != 0:
            raise measure.BenchError("journal_bench: " + done.stderr)
        for line in done.stdout.split("\n"):
            match = re.match(r"(.+?)\s+(\d+) tx/s", line)
            if match:
                found.setdefault((match[1], turn), []).append(float(match[2]))
    records = []
    for name in dict.fromkeys(name for name, _ in found):
        samples = measure.Samples("journal", name, "transactions/s", None)
        samples.ours = [max(found[name, turn]) for turn in range(options.runs)]
        records.append(samples.record())
        measure.say("journal: %s %.0f transactions/s" % (name, records[-1]["ours"]))
    return records
