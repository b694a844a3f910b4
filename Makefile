# demo and test are the two to know; "make help" lists the others.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT := mvdan.cc/gofumpt@v0.12.0

# ARGS are passed on to leat demo and the benchmarks, e.g. make demo ARGS='--for 20s'
ARGS ?=

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

.PHONY: demo
demo: build ## MariaDB and PostgreSQL with replicas, and Leat, on loopback, with some traffic
	@scripts/install-servers.sh mariadb postgres
	@bin/leat demo $(ARGS)

.PHONY: build
build: ## bin/leat and bin/leatctl
	@go build -o bin/ ./cmd/leat ./cmd/leatctl

.PHONY: test
test: servers ## what CI runs: every test on real servers, a slice of the fuzzing
	@scripts/fuzz.sh 5000x ./proxy/wire/... ./router/... ./shard/...
	@LEAT_E2E_RACE=1 go test -race -timeout 40m -json ./... </dev/null | go run ./scripts/testsum

.PHONY: test-long
test-long: servers ## the full counts: fuzzers, random sequences, soak (hours)
	@scripts/fuzz.sh 10m
	@LEAT_E2E_RACE=1 LEAT_LONG=1 LEAT_SEEDS=2000 go test -race -timeout 12h -json ./... </dev/null | go run ./scripts/testsum

.PHONY: fuzz
fuzz: ## every fuzz test for a minute
	@scripts/fuzz.sh 1m

.PHONY: clients
clients: servers ## client libraries and command lines nobody here wrote
	@scripts/install-servers.sh clients
	@LEAT_CLIENTS=all go test -timeout 20m -count=1 -v -run '^TestClients$$|^TestPostgres(Drivers|Leaks|Pgx|Pq|Psql|Programs|Python|Applications)$$' ./e2e

.PHONY: bench
bench: ## throughput, latency and CPU beside HAProxy and a bare relay; BENCH_FLAVOR=postgres: PgBouncer, pgpool
	@bench/run.sh $(ARGS)

.PHONY: lint
lint: ## vet, staticcheck, gofumpt, and the shell scripts' syntax
	@go vet ./...
	@go run $(STATICCHECK) ./...
	@out=$$(go run $(GOFUMPT) -l .); [ -z "$$out" ] || { echo "not formatted (gofumpt -w):"; echo "$$out"; exit 1; }
	@for f in scripts/*.sh .ci/run; do bash -n $$f; done

.PHONY: fmt
fmt: ## format with gofumpt
	@go run $(GOFUMPT) -w .

.PHONY: servers
servers: # what the tests need; nothing is started
	@scripts/install-servers.sh mariadb mysql postgres postgres18 pymysql psycopg
