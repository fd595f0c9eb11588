SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

MODULES    = $(shell go list -m -f '{{.Dir}}')
COMPARED   = core/differential core/differential/operations
OUTSIDE    = $(COMPARED) bench
FRAMEWORK ?= nethttp
BIN       := $(CURDIR)/.bin
CLIENTS   := examples/clients/node_modules/.package-lock.json
CLIENT_V1 := examples/e2e-typescript/node_modules/.package-lock.json
LINT      := $(BIN)/golangci-lint-v2.15.0

# The race detector needs a C compiler on Linux. Without one the tests still run; CI has one.
RACE := $(shell command -v $$(go env CC) >/dev/null 2>&1 && echo -race)

# Run more tests at a time than there are cores: many only wait, for a token to end or a client that does not read.
PARALLEL := -parallel 6

# Removes the lines of go test -v that don't matter. The whole output is in .cache/test.log.
SHORT = grep -vE '^(=== |PASS$$|-test.shuffle|\?   )|^ *--- (PASS|SKIP): |no tests to run$$'

help: ## list these commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

# In the first run most of the time goes into fetching modules and compiling: each says when it begins and how long it took.
# Only what the chosen router needs is fetched. Without go.work that leaves out two thirds of the go.mod files, too.
demo: export GOWORK = off
demo: export FRAMEWORK := $(FRAMEWORK)
demo: PROGRAMS = $(patsubst examples/%/main.go,./%,$(wildcard examples/demo/main.go examples/$(FRAMEWORK)/main.go))
demo: ## a protected server, a local Scalekit and a client that finds its way in (FRAMEWORK=gin for another router)
	@cd examples; GOPROXY=off go list -deps $(PROGRAMS) >/dev/null 2>&1 || { \
		echo "Fetching modules (first run only) ..."; \
		go list -deps $(PROGRAMS) >/dev/null; \
		echo "Fetched in $$SECONDS s."; \
	}; \
	echo "Compiling $(PROGRAMS:./%=examples/%) (half a minute on two cores in the first run) ..."; \
	SECONDS=0; \
	go list -export -deps $(PROGRAMS) >/dev/null; \
	echo "Compiled in $$SECONDS s."; \
	exec go run ./demo

# Its modules are those of the example with Redis, so that the first demo needs no client of it.
demo-revocation: ## three replicas behind one Redis, and the time until an ended session is cut off (installs redis-server on Debian, as root)
	@command -v redis-server >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends redis-server; }
	@cd examples/revocation && GOWORK=off go run .

# Alone, a module has the dependencies that its users get. Two are tested at a time, because most of their tests wait.
test: ## run all tests, in the workspace and each module alone
	@test -n "$(RACE)" || echo "no C compiler: the tests run without the race detector; install one, such as gcc, to use it"
	@mkdir -p .cache
	go test $(RACE) $(PARALLEL) -shuffle=on -count=1 -v $(addsuffix /...,$(MODULES)) > .cache/test.log 2>&1 || { $(SHORT) .cache/test.log; exit 1; }
	@$(SHORT) .cache/test.log
	@go test .ci/requirements/*.go >/dev/null || go test .ci/requirements/*.go
	@go run .ci/requirements/main.go .cache/test.log
	@printf '%s\n' $(MODULES) | xargs -P 2 -I '{}' .ci/alone '{}' $(PARALLEL)

e2e: ## run real clients against the examples, over sockets (needs Node 20 and npm)
	MCPAUTH_E2E=1 go test -count=1 -v -run 'TypeScript|SignIn' ./examples/e2e

conformance: $(CLIENTS) ## run the official conformance suite with and without mcpauth, and compare (needs npm)
	MCPAUTH_CONFORMANCE=1 go test $(RACE) -count=1 -timeout 20m -v ./examples/conformance

clients: $(CLIENTS) $(CLIENT_V1) ## let SDKs, mcp-remote and the Inspector sign in at each example (needs npm and Chromium)
	@command -v $(or $(CHROMIUM),chromium) chromium-browser google-chrome >/dev/null || [ "$$(id -u)" != 0 ] || { apt-get update -q && apt-get install -y -q --no-install-recommends chromium; }
	MCPAUTH_CLIENTS=1 go test $(RACE) -count=1 -timeout 60m -v ./examples/clients
	MCPAUTH_CLIENTS=1 go test $(RACE) -count=1 -v -run TypeScript ./examples/mcpgo

$(CLIENTS) $(CLIENT_V1): %/node_modules/.package-lock.json: %/package-lock.json
	cd $* && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

differential: ## compare core with two libraries on 20,000 tokens, and with two SDKs on 20,000 messages
	@for dir in $(COMPARED); do (cd $$dir && GOWORK=off go vet . && GOWORK=off go test -count=1 -v . | { grep -vE '^(=== |    --- PASS)' || true; }); done

redis: ## run the tests of revocation/redis with real servers, and a soak (SOAK=5m; installs redis-server on Debian, as root)
	@command -v redis-server >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends redis-server; }
	MCPAUTH_REDIS=1 MCPAUTH_REDIS_SOAK=$(or $(SOAK),1m) go test $(RACE) -count=1 -timeout 30m -v -run R103 ./revocation/redis ./examples/revocation

proxies: $(CLIENT_V1) ## run nginx, HAProxy and Caddy in front of a server (needs npm; installs them on Debian, as root)
	@PATH="$$PATH:/usr/sbin"; for program in nginx haproxy caddy; do \
		command -v $$program >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends $$program; }; \
	done
	MCPAUTH_PROXIES=1 go test $(RACE) $(PARALLEL) -count=1 -v ./examples/deploy

soak: ## run five minutes of traffic, rotations and outages under fiber and net/http (SOAK=90s for less)
	MCPAUTH_SOAK=$(or $(SOAK),5m) go test -count=1 -timeout 30m -v ./examples/soak

consumer: ## pack each module of HEAD, and show what a program with one adapter depends on
	@go run .ci/consumer/main.go

# Go's fuzzer sometimes reports the end of its time as a failure. A real finding has a failing input.
FUZZ = go test -run '^$$' -fuzztime $(or $(FUZZTIME),20s) -fuzzminimizetime 5x . -fuzz
ENDED = { grep -q 'context deadline exceeded' .cache/fuzz.log && ! grep -q 'Failing input' .cache/fuzz.log; } || exit 1

fuzz: ## run each fuzz target for 20 s (FUZZTIME=10m for longer)
	@mkdir -p .cache
	@for dir in $$(go list -f '{{.Dir}}' $(addsuffix /...,$(MODULES))); do \
		for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9]+' $$dir/*_test.go 2>/dev/null | sed 's/func //'); do \
			echo "$$target"; (cd $$dir && $(FUZZ) "^$$target\$$") 2>&1 | tee .cache/fuzz.log || $(ENDED); \
		done; \
	done
	@echo FuzzOperations
	@(cd core/differential/operations && GOWORK=off $(FUZZ) '^FuzzOperations$$') 2>&1 | tee .cache/fuzz.log || $(ENDED)

bench: ## measure mcpauth and other libraries on this machine (BENCH='-only verify -rounds 30')
	@cd bench && GOWORK=off go run . $(BENCH)

bench-docs: ## the same, and write docs/performance.md
	@mkdir -p docs
	cd bench && GOWORK=off go run . -o ../docs/performance.md $(BENCH)

bench-allocs: ## check what the hot paths allocate against bench/allocs/budget.txt
	@cd bench/allocs && GOWORK=off go run .

lint: $(LINT) ## run golangci-lint over every module, formatting included
	@for dir in $(MODULES); do (cd $$dir && $(LINT) run ./...); done
	@for dir in $(OUTSIDE); do (cd $$dir && GOWORK=off $(LINT) run ./...); done

fmt: $(LINT) ## format all modules
	@for dir in $(MODULES); do (cd $$dir && $(LINT) fmt ./...); done

tidy-check: ## check that go mod tidy changes no module
	@for dir in $(MODULES) $(OUTSIDE); do (cd $$dir && GOWORK=off go mod tidy -diff); done

ci-slow: conformance clients fuzz redis proxies ## all that CI runs every night

ci: lint tidy-check test bench-allocs differential e2e consumer ## all that CI runs for each change

$(LINT):
	@mkdir -p $(BIN)
	GOWORK=off GOBIN=$(BIN)/tmp go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	@mv $(BIN)/tmp/golangci-lint $@ && rmdir $(BIN)/tmp

.PHONY: help demo demo-revocation test e2e conformance clients differential redis proxies soak consumer fuzz bench bench-docs bench-allocs lint fmt tidy-check ci ci-slow
