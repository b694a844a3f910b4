#!/bin/bash
# Downloads PostgreSQL 18 from Debian unstable into the user's cache directory, once; nothing is installed.
# internal/localdb runs it from there. Needs patchelf, which makes the programs use the tree's own loader and
# libraries: initdb and pg_basebackup start other programs themselves.
#
# For root the place is /var/cache/leat-servers, since PostgreSQL refuses to run as root and no other user
# may look into root's home. LEAT_SERVERS names another one.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
servers=${LEAT_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/leat-servers}
[ "$(id -u)" != 0 ] || servers=${LEAT_SERVERS:-/var/cache/leat-servers}
tree=$servers/pg18

[ ! -e "$tree/root/usr/lib/postgresql/18/bin/postgres" ] || exit 0
mkdir -p "$servers"
exec 9>"$servers/pg18.lock"
flock -w 600 9
[ ! -e "$tree/root/usr/lib/postgresql/18/bin/postgres" ] || exit 0
command -v patchelf >/dev/null || { echo "patchelf is needed" >&2; exit 1; }

# Unpacked and patched beside its place, and moved there when complete. The loader's path is the final one.
work=$(mktemp -d "$servers/making-pg18.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$here/sidroot.sh" "$work" postgresql-18 tzdata
lib=$tree/root/usr/lib/x86_64-linux-gnu
for program in "$work"/root/usr/lib/postgresql/18/bin/*; do
    [ "$(head -c 4 "$program" | tail -c 3)" = ELF ] || continue
    patchelf --set-interpreter "$lib/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$lib" "$program"
done
rm -rf "$work/debs" "$work/cache" "$work/lists" "$tree"
chmod -R a+rX "$work"
mv "$work" "$tree"
