# Riffle needs make, git, a Go of 1.21 or later and the Go module proxy.
# GOTOOLCHAIN=auto lets an older go fetch the toolchain that go.mod names.
export GOTOOLCHAIN = auto

GOFUMPT     = go run mvdan.cc/gofumpt@v0.12.0
STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
TIME       ?= 30s
RUN        ?= .
REF        ?= main

# The engine's peers are a module of their own, so that they are not dependencies of Riffle.
in_modules = @for m in . bench/peers; do (cd $$m && echo "$$m: $(1)" && $(1)) || exit 1; done

.DEFAULT_GOAL := help

.PHONY: help demo test check format vet lint tidy bench bench-compare fuzz reliability planted stress golden compat

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: ## run the fraud app on generated payments for a few seconds
	go run ./apps/frauddetect --generate --for 15s

test: ## run every test with the race detector
	$(call in_modules,go test -race ./...)

check: format vet lint tidy test ## what the landing runs

format:
	@out="$$($(GOFUMPT) -l .)" && [ -z "$$out" ] || { echo "not formatted (run gofumpt -w):"; echo "$$out"; exit 1; }

vet:
	$(call in_modules,go vet ./...)

lint:
	$(call in_modules,$(STATICCHECK) ./...)

tidy:
	$(call in_modules,go mod tidy -diff && go mod verify)

bench: ## rounds of the broker's benchmarks, beside kfake and plain files; PKG=./bench/peers: of the engine, beside its peers (RUN=regexp, ROUNDS, PKG)
	RUN='$(RUN)' bench/run.sh

bench-compare: ## rounds of the same benchmarks at REF (default main) and here, by benchstat (RUN, PKG as above)
	RUN='$(RUN)' bench/run.sh compare '$(REF)'

fuzz: ## run each fuzz target for TIME (default 30s)
	@go list -f '{{.Dir}}' ./... | while read -r dir; do \
		for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$$dir"/*_test.go 2>/dev/null | sed 's/func //'); do \
			echo "== $$dir $$f"; (cd "$$dir" && go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(TIME) -fuzzminimizetime 1s .) || exit 1; \
		done; \
	done

RELIABILITY = TestCrashAnywhere|TestCrashAtRandom|TestCoordinatorsCrashAnywhere|TestTornTail|TestAnyFault|TestEveryFailure|TestDiskFull|TestHugePrefixes|TestSlowClients|TestConnectionFlood|TestBombsAreStored|TestOversizedRecords

reliability: ## crashes, damage and hostile clients at the figures of docs/guarantees.md (about 20 minutes)
	RIFFLE_RELIABILITY=1 go test -count=1 -timeout 30m -v -run '$(RELIABILITY)' ./broker ./broker/commitlog 
	RIFFLE_RELIABILITY=1 go test -count=1 -timeout 30m -v -run 'TestManyPoisonPills|TestDisorder|TestHotKey' ./stream
	RIFFLE_E2E_CYCLES=300 go test -count=1 -timeout 30m -v -run 'TestServerKills' ./internal/e2e
	$(MAKE) fuzz TIME=60s

planted: ## plant bugs in a copy of the tree and see that the tests catch them
	internal/planted/run.sh

stress: ## repeat the tests that match RUN 300 times with the race detector
	go test -race -count=300 -run '$(RUN)' ./...

golden: ## rewrite the datadriven scripts' expectations, then show what changed
	go test -rewrite $$(grep -rl --include='*_test.go' cockroachdb/datadriven . | xargs -n1 dirname | sort -u)
	git diff --stat

compat: ## run other Kafka clients, those that this machine has, against a server (SUITES=kcat narrows them)
	compat/run.sh $(SUITES)
