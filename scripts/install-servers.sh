#!/bin/bash
# Installs the servers and tools that Leat's tests, demo and benchmarks run, once; what is there already is
# left alone. Nothing is started, and nothing listens afterwards.
#
#   install-servers.sh [mariadb] [mysql] [postgres] [postgres18] [pymysql] [psycopg] [bench] [poolers] [clients]
#
#   mariadb     MariaDB's server and client, from the system's packages
#   mysql       MySQL 9.7, in the user's cache directory (mysql97.sh); where it can't be had its tests are
#               skipped, except that with CI=true this fails
#   postgres    PostgreSQL's server and clients, from the system's packages
#   postgres18  PostgreSQL 18, as mysql (pg18.sh)
#   pymysql     PyMySQL for the system's Python
#   psycopg     psycopg2 and psycopg for the system's Python
#   bench       sysbench, HAProxy
#   poolers     PgBouncer and pgpool, as mysql (poolers.sh); the benchmarks do without
#   clients     PyMySQL, psycopg2, psycopg, asyncpg, SQLAlchemy, a JDK with the JDBC drivers of MariaDB and PostgreSQL, Node with npm
#
# Default: mariadb mysql postgres postgres18.
#
# Needs apt and, for what is missing, root or sudo.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
log=$(mktemp)
temporary=() # files of the system that go at the end
trap 'rm -f "$log"; [ ${#temporary[@]} = 0 ] || as_root rm -f "${temporary[@]}"' EXIT

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# quietly COMMAND...: shows the output only when the command fails
quietly() { "$@" </dev/null >"$log" 2>&1 || { cat "$log" >&2; return 1; }; }

installed() { dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@"; }

# install PACKAGE...: those that are missing; apt is kept from starting what it installs
install() {
    local missing=() package
    for package; do installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || { echo "needed, and there is no apt here to install them: ${missing[*]}" >&2; return 1; }
    echo "installing ${missing[*]}"
    quietly apt update
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        temporary+=(/usr/sbin/policy-rc.d)
        printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null
        as_root chmod 755 /usr/sbin/policy-rc.d
    fi
    quietly apt install -y --no-install-recommends "${missing[@]}"
}

mariadb() {
    if command -v mariadbd >/dev/null && command -v mariadb >/dev/null && command -v mariadb-install-db >/dev/null; then return 0; fi
    install mariadb-server mariadb-client
}

# tree SCRIPT NAME: a server that is unpacked beside the system; without it CI fails
tree() {
    if quietly "$here/$1"; then return 0; fi
    [ "${CI:-}" != true ] || return 1
    echo "*** NO $2 ON THIS MACHINE: whatever needs it is skipped ***" >&2
}

mysql() { [ -n "${LEAT_MYSQLD:-}" ] || tree mysql97.sh "MYSQL 9.7"; }

postgres() {
    if compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null && command -v psql >/dev/null && command -v pgbench >/dev/null; then return 0; fi
    # The package makes a cluster and has it started at boot, unless it is told not to.
    local drop=/etc/postgresql-common/createcluster.d
    as_root mkdir -p $drop
    temporary+=($drop/leat.conf)
    echo 'create_main_cluster = false' | as_root tee $drop/leat.conf >/dev/null
    install postgresql postgresql-client postgresql-contrib
}

postgres18() {
    [ -z "${LEAT_POSTGRES18:-}" ] || return 0
    command -v patchelf >/dev/null && [ -d /usr/share/zoneinfo ] || install patchelf tzdata || :
    tree pg18.sh "POSTGRESQL 18"
}

pymysql() { install python3 python3-pymysql; }

psycopg() { install python3 python3-psycopg python3-psycopg2; }

bench() { install sysbench haproxy; }

poolers() { tree poolers.sh "PGBOUNCER AND PGPOOL"; }

clients() {
    local packages=(
        python3 python3-pymysql python3-psycopg python3-psycopg2 python3-asyncpg python3-sqlalchemy python3-greenlet
        libmariadb-java libpostgresql-jdbc-java
    )
    command -v javac >/dev/null || packages+=(default-jdk-headless)
    command -v npm >/dev/null || packages+=(nodejs npm)
    install "${packages[@]}"
}

[ $# -gt 0 ] || set -- mariadb mysql postgres postgres18
for what; do
    case $what in
    mariadb | mysql | postgres | postgres18 | pymysql | psycopg | bench | poolers | clients) "$what" ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
    esac
done
