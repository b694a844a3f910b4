#!/bin/bash
# Builds Leat, the relay and the bench program, installs sysbench and HAProxy where they are missing, and
# runs the benchmark. Arguments go to the bench program (-help lists them); these variables too:
#
#   BENCH_FLAVOR=mariadb|mysql|postgres|postgres18   BENCH_ROUNDS=3   BENCH_SECONDS=2
#   BENCH_PARTS=lookups,eof,rows,logins,idle (default: all that the flavor has)
#   BENCH_TARGETS=direct,haproxy,relay,leat (for PostgreSQL also pgbouncer,pgpool)
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."

flavor=${BENCH_FLAVOR:-mariadb}
case $flavor in
postgres18) scripts/install-servers.sh postgres postgres18 bench poolers ;; # pgbench is the system's
postgres) scripts/install-servers.sh postgres bench poolers ;;
*) scripts/install-servers.sh "$flavor" bench ;;
esac
programs=bin/bench
mkdir -p "$programs"
go build -o "$programs/leat" ./cmd/leat
go build -o "$programs/relay" ./bench/relay
go build -o "$programs/bench" ./bench
exec "$programs/bench" -programs "$programs" -flavor "$flavor" -rounds "${BENCH_ROUNDS:-3}" -seconds "${BENCH_SECONDS:-2}" \
    -parts "${BENCH_PARTS:-}" -targets "${BENCH_TARGETS:-}" "$@"
