#!/bin/bash
# Fetches MySQL from Debian sid into a directory of its own and prints that directory, whose bin/ holds mysqld, mysql
# and others that can be called as they are. Needs no root, and leaves the machine's packages and apt state alone: a
# private apt state is used, signatures are checked with the Debian archive keyring, and the programs run under the
# dynamic loader and libraries that were fetched with them.
#
#   fetch-mysql.sh [--refresh]     # --refresh: fetch again although it is there
#
# Exit status: 0 there, 3 usage, 75 the archive does not offer it today (its message is printed), 1 anything else.
set -euo pipefail

root=${XDG_CACHE_HOME:-$HOME/.cache}/crossfade/mysql
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
wanted=(mysql-server-core mysql-client-core)

case "${1:-}" in
  "") refresh= ;;
  --refresh) refresh=1 ;;
  *)
    echo "usage: fetch-mysql.sh [--refresh]" >&2
    exit 3
    ;;
esac

mkdir -p "$(dirname "$root")"
exec 9>"$root.lock"
flock 9
if [ -z "$refresh" ] && [ -e "$root/complete" ]; then
  echo "$root"
  exit 0
fi

work=$root.new
rm -rf "$work"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/apt/{lists/partial,cache/archives/partial,etc/empty} "$work"/tree "$work"/bin
: >"$work/apt/status"

refused() {
  echo "fetch-mysql: the archive does not offer MySQL today:" >&2
  tail -n 12 "$work/apt/log" >&2
  exit 75
}

# The mirror is the one that this machine already uses for its own release.
mirror() {
  local release
  release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v release="$release" '$2 == release && $3 == "main" { print $1; exit }'
}

uri=$(mirror)
if [ -z "$uri" ]; then
  echo "fetch-mysql: no Debian mirror in this machine's apt sources" >&2
  exit 75
fi
architecture=$(dpkg --print-architecture)
echo "deb [signed-by=$keyring arch=$architecture] $uri sid main" >"$work/apt/etc/sources.list"

# Of the machine's apt settings only those about fetching (proxies, time-outs) are taken over: its hooks are not ours.
{
  apt-config dump | grep -E '^Acquire::([a-z]+::)?(Proxy|Timeout|Retries|ForceIPv4|ForceIPv6|Verify|CaInfo|SslCert|SslKey)|^Acquire::https?::' || true
  cat <<SETTINGS
Dir::Etc "$work/apt/etc";
Dir::Etc::SourceList "$work/apt/etc/sources.list";
Dir::Etc::SourceParts "$work/apt/etc/empty";
Dir::Etc::Parts "$work/apt/etc/empty";
Dir::Etc::Main "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "$work/apt/etc/empty";
Dir::State "$work/apt";
Dir::State::Lists "$work/apt/lists";
Dir::State::Status "$work/apt/status";
Dir::Cache "$work/apt/cache";
Dir::Cache::Archives "$work/apt/cache/archives";
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
SETTINGS
} >"$work/apt/apt.conf"
apt() { APT_CONFIG="$work/apt/apt.conf" apt-get -q "$@" >>"$work/apt/log" 2>&1; }

# apt-get update calls a mirror's error a warning; a Release file that is out of its validity time is met now and then.
if ! apt -o APT::Update::Error-Mode=any update; then
  if ! grep -qiE 'expired|not valid (yet|anymore)|Valid-Until' "$work/apt/log"; then
    refused
  fi
  apt -o APT::Update::Error-Mode=any -o Acquire::Check-Valid-Until=false -o Acquire::Check-Date=false update || refused
fi

plan() { APT_CONFIG="$work/apt/apt.conf" apt-get -q -s install "${wanted[@]}" 2>>"$work/apt/log"; }
mapfile -t closure < <(plan | awk '$1 == "Inst" { version = $3; sub(/^\(/, "", version); print $2 "=" version }')
[ "${#closure[@]}" -gt 0 ] || refused
(cd "$work/apt/cache/archives" && apt download "${closure[@]}") || refused

for package in "$work"/apt/cache/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" |
    tar -x -C "$work/tree" --keep-directory-symlink --no-same-owner --exclude='./usr/share/doc*' --exclude='./usr/share/man*'
done

# A library directory is any that holds a shared library for the loader; plugins are found by mysqld itself.
loader=$(cd "$work/tree" && find . \( -type f -o -type l \) -name 'ld-linux-*.so.*' | sort | head -n 1)
[ -n "$loader" ] || { echo "fetch-mysql: no dynamic loader among the packages" >&2; exit 1; }
multiarch=$(dpkg-architecture -q DEB_HOST_MULTIARCH 2>/dev/null || gcc -print-multiarch)

wrapper() { # name, path of the program below tree, more arguments in front
  local name=$1 program=$2
  shift 2
  cat >"$work/bin/$name" <<WRAPPER
#!/bin/sh
if [ "\$1" = --no-defaults ]; then shift; fi
root=\$(cd "\$(dirname "\$(readlink -f "\$0")")/.." && pwd)
tree=\$root/tree
exec "\$tree/${loader#./}" --argv0 "\$tree/$program" \\
  --library-path "\$tree/usr/lib/$multiarch:\$tree/lib/$multiarch:\$tree/usr/lib/mysql/private:\$tree/usr/lib" \\
  "\$tree/$program" $* "\$@"
WRAPPER
  chmod 755 "$work/bin/$name"
}

# --no-defaults has to come first, and once; callers may give it or not.
wrapper mysqld usr/sbin/mysqld --no-defaults '"--basedir=$tree/usr"' '"--plugin-dir=$tree/usr/lib/mysql/plugin"' \
  '"--lc-messages-dir=$tree/usr/share/mysql"' '"--character-sets-dir=$tree/usr/share/mysql/charsets"' --secure-file-priv=
for client in mysql mysqladmin mysqldump mysqlbinlog; do
  if [ -e "$work/tree/usr/bin/$client" ]; then
    wrapper "$client" "usr/bin/$client" --no-defaults '"--plugin-dir=$tree/usr/lib/mysql/plugin"'
  fi
done

"$work/bin/mysqld" --version >"$work/version"
rm -rf "$work/apt"
touch "$work/complete"
rm -rf "$root"
mv "$work" "$root"
trap - EXIT
echo "fetch-mysql: $(sed 's/^[^ ]* *//' "$root/version")" >&2
echo "$root"
