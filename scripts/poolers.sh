#!/bin/bash
# Downloads PgBouncer and pgpool from Debian unstable into the user's cache directory, once, for the benchmarks;
# nothing is installed. They are run by the tree's own loader (bench/poolers.go).
#
# For root the place is /var/cache/leat-servers, since PgBouncer refuses to run as root and no other user may look
# into root's home. LEAT_SERVERS names another one.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
servers=${LEAT_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/leat-servers}
[ "$(id -u)" != 0 ] || servers=${LEAT_SERVERS:-/var/cache/leat-servers}
tree=$servers/poolers

[ ! -e "$tree/root/usr/sbin/pgpool" ] || exit 0
mkdir -p "$servers"
exec 9>"$servers/poolers.lock"
flock -w 600 9
[ ! -e "$tree/root/usr/sbin/pgpool" ] || exit 0

# Unpacked beside its place, and moved there when complete.
work=$(mktemp -d "$servers/making-poolers.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$here/sidroot.sh" "$work" pgbouncer pgpool2
rm -rf "$work/debs" "$work/cache" "$work/lists" "$tree"
chmod -R a+rX "$work"
mv "$work" "$tree"
