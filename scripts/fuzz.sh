#!/bin/bash
# Runs every fuzz test of the tree, one after another.
#
#   fuzz.sh DURATION [PACKAGE...]       e.g. fuzz.sh 10m ./router, or 5000x for that many inputs; default: all packages
#
# A finding is written to the package's testdata/fuzz, where "go test" repeats it from then on.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
duration=$1; shift
cd "$(dirname "$(realpath "$0")")/.."
[ $# -gt 0 ] || set -- ./...
log=$(mktemp)
trap 'rm -f "$log"' EXIT

list='{{$d := .Dir}}{{range .TestGoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}'
files=$(go list -f "$list" "$@" | grep .)
failed=0
for file in $files; do
    package=.${file#"$PWD"}
    package=${package%/*}
    for name in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
        if go test -run '^$' -fuzz "^$name\$" -fuzztime "$duration" "$package" </dev/null >"$log" 2>&1; then
            echo "fuzz $package $name: $(grep -o 'execs: [0-9]*' "$log" | tail -1)"
        elif grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"; then
            echo "fuzz $package $name: $(grep -o 'execs: [0-9]*' "$log" | tail -1), ended by its time" # go test calls that a failure now and then
        else
            cat "$log"
            failed=1
        fi
    done
done
exit $failed
