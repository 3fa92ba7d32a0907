#!/bin/bash
# Measures named workloads beside their peers, on throw-away servers, and prints the ratios. Installs and builds what is missing.
#
#   bench.sh [--quick] [--runs N] [--json FILE] [snapshot|capture|apply|lag|verify|memory|journal ...]
#
#   --quick   a tenth of the data, one run; under 5 minutes once built
#   --runs    runs of each, of which the median counts (3)
#   --json    the records: workload, metric, unit, ours, peer, peer_name, ratio, runs
#
# docs/benchmarks.md says what each workload means. Nothing is left behind.
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
json=
arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --json)
      [ $# -ge 2 ] || { echo "bench.sh: --json needs a file" >&2; exit 3; }
      json=$(readlink -m "$2")
      shift
      ;;
    -h | --help)
      sed -n '2,10s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    *) arguments+=("$1") ;;
  esac
  shift
done

cd "$root"
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
./tools/install.sh
./tools/servers/fetch-mysql.sh || echo "bench: MySQL's archive refused; its part is left out" >&2
echo "build: the program"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Quietly: the log is shown if it fails.
if ! { cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo && nice ninja -C build -j "$(nproc)" crossfade journal_bench; } >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  exit 1
fi
rm -f "$log"
trap - EXIT
# Debian's Python, which has the client libraries, whatever else is on the PATH.
exec /usr/bin/python3 bench/bench.py ${json:+--json "$json"} ${arguments[@]+"${arguments[@]}"}
