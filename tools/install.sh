#!/bin/bash
# Installs what building and testing Crossfade needs, on Debian 12. Safe to repeat; quick when nothing is missing.
# Never starts a system server: only the servers' programs are installed, and no PostgreSQL cluster is made.
set -euo pipefail

packages=(
  build-essential cmake ninja-build ccache mold pkg-config git
  librocksdb-dev libmariadb-dev libpqxx-dev libpq-dev unixodbc-dev librdkafka-dev libspdlog-dev libfmt-dev
  libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libcpp-httplib-dev prometheus-cpp-dev libxxhash-dev
  libexpected-dev libssl-dev libcurl4-openssl-dev zlib1g-dev libzstd-dev libgtest-dev libbenchmark-dev
  mariadb-server-core mariadb-client-core mariadb-plugin-provider-lz4 postgresql-15 postgresql-client-15
  clang-16 clang-tidy-16 clang-format-16 libclang-rt-16-dev
  sysbench pgloader python3 python3-pymysql python3-psycopg2 python3-cryptography
)

missing=()
installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${packages[@]}" 2>/dev/null |
  awk '$1 == "ii" || $1 == "hi" { print $2 }' || true)
for package in "${packages[@]}"; do
  grep -qxF -- "$package" <<<"$installed" || missing+=("$package")
done
if [ "${#missing[@]}" -eq 0 ]; then
  echo "install: all ${#packages[@]} packages are there"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install: these packages are missing, and installing needs root or sudo: ${missing[*]}" >&2
    exit 3
  fi
  as_root=(sudo)
fi

# Without this file, installing postgresql-15 makes and starts a cluster of the system's own.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
  "${as_root[@]}" mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' | "${as_root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
fi


echo "install: ${#missing[@]} missing: ${missing[*]}"
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
echo "install: done"
