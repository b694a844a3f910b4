#!/bin/bash
# Builds Leat, the relay and the bench program, installs sysbench and HAProxy where they are missing, and
# runs the benchmark. Arguments go to the bench program (-help lists them); these variables too:
#
#   BENCH_FLAVOR=mariadb|mysql   BENCH_ROUNDS=3   BENCH_SECONDS=2
#   BENCH_PARTS=lookups,eof,rows,logins,idle      BENCH_TARGETS=direct,haproxy,relay,leat
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."

flavor=${BENCH_FLAVOR:-mariadb}
scripts/install-servers.sh "$flavor" bench
programs=bin/bench
mkdir -p "$programs"
go build -o "$programs/leat" ./cmd/leat
go build -o "$programs/relay" ./bench/relay
go build -o "$programs/bench" ./bench
exec "$programs/bench" -programs "$programs" -flavor "$flavor" -rounds "${BENCH_ROUNDS:-3}" -seconds "${BENCH_SECONDS:-2}" \
    -parts "${BENCH_PARTS:-lookups,eof,rows,logins,idle}" -targets "${BENCH_TARGETS:-direct,haproxy,relay,leat}" "$@"
