#!/bin/bash
# Downloads MySQL 9.7 from Debian unstable into the user's cache directory, once: 48 MB to fetch, 253 MB on
# disk, no root, nothing installed. internal/localdb runs it from there.
#
# LEAT_SERVERS names another directory than ${XDG_CACHE_HOME:-$HOME/.cache}/leat-servers.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
servers=${LEAT_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/leat-servers}
tree=$servers/mysql97

[ ! -x "$tree/root/usr/sbin/mysqld" ] || exit 0
mkdir -p "$servers"
exec 9>"$servers/mysql97.lock"
flock -w 600 9
[ ! -x "$tree/root/usr/sbin/mysqld" ] || exit 0

# Unpacked beside its place and moved there when complete: half a tree is never taken for a whole one.
work=$(mktemp -d "$servers/making-mysql97.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$here/sidroot.sh" "$work" mysql-server-core
rm -rf "$work/debs" "$work/cache" "$work/lists" "$tree"
mv "$work" "$tree"
