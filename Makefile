# Every name here is the same at home and in CI. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# -buildvcs=false: a build must not depend on who owns the folder of the repository.
export GOFLAGS := $(filter-out -buildvcs=false,$(GOFLAGS)) -buildvcs=false
# Where installers put Go without telling the shell.
export PATH := $(PATH):/usr/local/go/bin:/usr/lib/go-1.26/bin

# Vector instructions are an experiment of the compiler, on amd64 alone; everywhere else the same loops are plain Go.
VECTOR_PACKAGES := ./engine/fcm ./engine/kselect

# How long `make fuzz` tries each target.
FUZZTIME ?= 60s

.PHONY: help setup web contract demo run build test bench fuzz chaos soak generate verify lint ci fmt

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## check for Go and Postgres, install what is missing
	@bash .ci/setup.sh

web: ## fetch the explorer's browser files (needs npm)
	@if ! command -v npm >/dev/null; then \
		echo "npm is not here: /explorer/ will load its files from the network"; \
	else \
		cd web/tools && npm ci --no-audit --no-fund --loglevel=error && node copy.mjs; \
	fi

contract: ## fetch the public audits and clients that the API is checked by, and the packages of the example (needs npm)
	@if ! command -v npm >/dev/null; then \
		echo "npm is not here: the checks of web/contract are skipped"; \
	else \
		cd web/contract && npm ci --no-audit --no-fund --loglevel=error \
			$$(node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' && echo --omit=optional) && \
		cd ../../docs/examples/typescript && npm ci --no-audit --no-fund --loglevel=error; \
	fi

build: ## build bin/quimbi
	@$(MAKE) --no-print-directory web || echo "warning: the explorer's files could not be fetched; /explorer/ will load them from the network" >&2
	@mkdir -p bin
	@if [ "$$(go env GOARCH)" = amd64 ] && GOEXPERIMENT=simd go build -o bin/quimbi . 2>/dev/null; then :; else go build -o bin/quimbi .; fi

demo: ## a believable shop, from orders to drift, at http://127.0.0.1:8080
	@bash .ci/setup.sh demo
	@$(MAKE) --no-print-directory build
	@./bin/quimbi demo

run: build ## serve the stores that are there
	@./bin/quimbi serve

test: setup ## run every test
	@go test ./...

bench: ## measure the engine, and compare with its peers where they are installed
	@go test -run xxx -bench . -benchmem -timeout 1h ./engine/...
	@for script in docs/bench/*.sh; do \
		[ -e "$$script" ] || continue; \
		echo "== $$script"; \
		bash "$$script" || echo "$$script: no comparison, see above"; \
	done

fuzz: ## try every parser with made-up input, 60 s each (FUZZTIME=10m for longer); what breaks one becomes a seed in its testdata/fuzz
	@set -o pipefail; grep -rnE '^func Fuzz[A-Za-z0-9]+\(' --include='*_test.go' . | sort | \
	sed -E 's/^(.*)\/[^/]+:[0-9]+:func (Fuzz[A-Za-z0-9]+)\(.*/\1 \2/' | \
	while read -r folder target; do \
		echo "== $$folder $$target"; \
		go test -run '^$$' -fuzz "^$$target$$" -fuzztime "$(FUZZTIME)" $(FUZZFLAGS) "$$folder" </dev/null || exit 1; \
	done

chaos: ## kill processes, connections and the server at work, 100 times each (about 40 minutes on two busy cores; QUIMBI_CHAOS=N for fewer)
	@QUIMBI_CHAOS=$${QUIMBI_CHAOS:-100} go test -count=1 -timeout 2h -run "Killed|FullDisk|UnderLoad" -v ./internal/cli

soak: ## 10,000 random operations on a store, every fifth interrupted, held to a model in memory (a quarter of an hour; QUIMBI_OPERATIONS=N/SEED for others)
	@QUIMBI_OPERATIONS=$${QUIMBI_OPERATIONS:-10000} go test -count=1 -timeout 3h -run 'TestRandomOperations$$' -v ./jobs

generate: ## write graph/ and the resolvers' frames again from schema/
	@go tool gqlgen generate

fmt: ## format the Go code
	@go tool gofumpt -w .

verify: ## fail where generated code or formatting is not what the tools write
	@bash .ci/verify.sh

lint: ## go vet and staticcheck
	@go vet ./... ./.ci/tally
	@if [ "$$(go env GOARCH)" = amd64 ]; then \
		GOEXPERIMENT=simd go vet $(VECTOR_PACKAGES) && \
		printf 'plain:\nvector: GOEXPERIMENT=simd\n' | go tool staticcheck -matrix ./... ./.ci/tally; \
	else \
		go tool staticcheck ./... ./.ci/tally; \
	fi

ci: ## verify, lint and every test with the race detector
	@bash .ci/setup.sh ci
	@$(MAKE) --no-print-directory web || echo "warning: the explorer's files could not be fetched" >&2
	@$(MAKE) --no-print-directory contract || echo "warning: the tools of web/contract could not be fetched" >&2
	@go build -o bin/tally ./.ci/tally
	@./bin/tally $(VECTOR_PACKAGES) ./engine ./engine/fit ./engine/synth
