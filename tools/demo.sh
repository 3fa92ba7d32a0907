#!/bin/bash
# Moves two customers' live databases into one PostgreSQL, before your eyes. Installs and builds what is missing.
#
#   demo.sh [--quick] [--sabotage]
#
#   --quick      less data; under 2 minutes once built
#   --sabotage   changes one byte on the target before the comparison, which then must say so: equal=no, exit status 1
#
# All servers are throw-away ones on loopback in a temporary directory; nothing is left behind.
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
for argument in "$@"; do
  case "$argument" in
    --quick | --sabotage) ;;
    *)
      sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
      exit 3
      ;;
  esac
done

cd "$root"
./tools/install.sh
echo "build: the program"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Only the program, and quietly: the log is shown if it fails.
if ! { cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo && ninja -C build crossfade; } >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  exit 1
fi
rm -f "$log"
trap - EXIT
# Debian's Python, which has the client libraries, whatever else is on the PATH.
exec /usr/bin/python3 tools/demo/demo.py "$@"
