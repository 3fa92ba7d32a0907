#!/usr/bin/python3
"""Named workloads beside their peers, in one run; ratios at the end. Called by tools/bench.sh, which builds first."""

import argparse
import json
import os
import sys
import time

import measure

WORKLOADS = ["snapshot", "capture", "apply", "lag", "verify", "memory", "journal"]


def table(records):
    lines = []
    for r in records:
        spread = "%g..%g" % (min(r["ours_runs"]), max(r["ours_runs"]))
        peer = "" if r["peer"] is None else "%s %g" % (r["peer_name"], r["peer"])
        if r["peer_runs"] and len(r["peer_runs"]) > 1:
            peer += " (%g..%g)" % (min(r["peer_runs"]), max(r["peer_runs"]))
        verdict = ""
        if r["ratio"] is not None and r["target"] is not None:
            verdict = "%.2f, wanted %g%s" % (r["ratio"], r["target"], "" if r["ratio"] >= r["target"] else "  MISSED")
        lines.append((r["workload"], r["metric"], "%g %s (%s)" % (r["ours"], r["unit"], spread), peer, verdict))
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def main():
    parser = argparse.ArgumentParser(prog="bench.sh", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, one run")
    parser.add_argument("--runs", type=int, help="runs of each workload (3; with --quick 1)")
    parser.add_argument("--json", help="file for the records")
    parser.add_argument("workload", nargs="*", help="of: %s (default: all)" % ", ".join(WORKLOADS))
    options = parser.parse_args()
    unknown = [name for name in options.workload if name not in WORKLOADS]
    if unknown:
        parser.error("no such workload: %s" % ", ".join(unknown))
    options.scale = 10 if options.quick else 1
    options.runs = options.runs or (1 if options.quick else 3)
    wanted = options.workload or WORKLOADS

    began = time.monotonic()
    records, failed = [], []
    for name in WORKLOADS:
        if name not in wanted or (name == "apply" and "capture" in wanted):
            continue
        try:
            records += run_workload(name, wanted, options)
        except Exception as error:  # the others are still worth having
            failed.append(name)
            print("FAILED %s: %s: %s" % (name, type(error).__name__, error), file=sys.stderr)
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(records, file, indent=1)
                file.write("\n")
    print()
    if records:
        print(table(records))
    print("%d cores, load now %.1f, %.0f s%s" % (os.cpu_count(), os.getloadavg()[0], time.monotonic() - began,
                                               "; failed: " + ", ".join(failed) if failed else ""))
    return 1 if failed else 0


def run_workload(name, wanted, options):
    # Imported when wanted: each needs other client libraries.
    if name in ("capture", "apply"):
        import follow
        return follow.measure_all(options, wanted)
    return __import__(name).measure_all(options)


if __name__ == "__main__":
    sys.exit(main())
