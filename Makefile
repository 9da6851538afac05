# Bare `make` explains itself. Flags for the runner go into ARGS, packages into PKG: make test ARGS='-run Refresh -v' PKG=./broker
.DEFAULT_GOAL := help
ARGS ?=
PKG ?= ./...

# What `grantd version` says; a tarball without git history says dev.
VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

OIDC := brokertest/oidcprovider
AXE := brokertest/axe
ZITADEL := brokertest/servers/zitadel
TYPESCRIPT := sdk/typescript

.PHONY: help demo dev build test plain check bench bench-million faults simulate pictures release-check measure fmt clean release kms chart sbom vulnerabilities

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Play the whole story on embedded parts; ends by itself, with 0 only if every step held
	go run ./cmd/grantd demo $(ARGS)

dev: ## The same parts, kept running, with tokens and curl lines to try
	go run ./cmd/grantd dev $(ARGS)

# With the flags of go run and go test, so that nothing is compiled twice.
build: ## Build bin/grantd; CGO_ENABLED=0 make build links it statically
	go build -ldflags '-X main.version=$(VERSION)' -o bin/grantd ./cmd/grantd

# Packages whose tests run side by side: half as many as there are processors. Most of
# them work several processors hard, PostgreSQL and processes of grantd among them.
SIDE_BY_SIDE ?= $(shell n=$$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN); echo $$(( (n + 1) / 2 )))

# SQLite is C that was translated to Go. It is left out of what the race detector
# watches: it shares no memory between connections, and would take most of the time.
RACE := -race -gcflags=github.com/ncruces/go-sqlite3-wasm/...=-race=false

# These packages run without the race detector when all are tested. They judge answers and pages, or play one
# goroutine at a time, and take three times as long with it; the others run the same code concurrently, with it.
# make release-check runs them with it.
PLAIN := . ./brokertest/contract ./brokertest/deploy ./brokertest/oidcprovider ./brokertest/protocol ./brokertest/servers ./brokertest/simulation ./brokertest/upgrade ./secrets
ALL := $(filter ./...,$(PKG))

plain:
	@echo $(PLAIN)

# Memory is cheaper than time.
check test: export GOGC ?= 400

# Building the race runtime is the honest probe: it needs cgo, a C compiler and its headers, as the tests will.
# What the tests need is compiled first, on all processors; make check vets it. The timeout is the last resort: tests have limits
# of their own, which count in the machine's speed. Without symbols tests link faster.
test: $(OIDC)/node_modules/.package-lock.json $(AXE)/node_modules/.package-lock.json $(TYPESCRIPT)/node_modules/.package-lock.json ## Run all tests, on SQLite and on PostgreSQL + Redis where those are installed
	@race=; plain='$(if $(ALL),$(PLAIN))'; raced='$(PKG)'; \
	if go build -race runtime/race runtime/cgo 2>/dev/null; then race='$(RACE)'; \
	elif [ "$$GRANTD_TEST_REQUIRE_SERVICES" = 1 ]; then echo 'the race detector cannot run: it needs a C compiler and CGO_ENABLED=1' >&2; exit 1; \
	else echo 'left out: the race detector, which needs a C compiler and CGO_ENABLED=1'; plain=; fi; \
	if [ -n "$$plain" ]; then raced=$$(go list ./... | grep -vxF "$$(go list $$plain)"); fi; \
	(cd $(ZITADEL) && go mod download) || echo 'left out: tests against zitadel/oidc, whose modules could not be downloaded'; \
	run() { set -- go test -p $(SIDE_BY_SIDE) -timeout 60m -vet=off -ldflags=-s "$$@"; echo "$$*"; go run ./brokertest/services/with "$$@"; }; \
	compile() { go list -export -deps -test "$$@" >/dev/null; }; \
	compile $$race $$raced && { [ -z "$$plain" ] || compile $$plain; } || exit 1; \
	failed=0; run $$race $(ARGS) $$raced || failed=1; \
	[ -z "$$plain" ] || run $(ARGS) $$plain || failed=1; \
	exit $$failed

# npm leaves this file behind; touched, it says that what is installed is not older than what is locked.
# Without node, or without a registry, the tests that need the packages say so themselves (or fail, where services are required).
%/node_modules/.package-lock.json: %/package-lock.json
	@if ! command -v node >/dev/null || ! command -v npm >/dev/null; then \
		echo 'left out: tests with packages of $*, which need node and npm'; \
	elif cd $* && npm ci --loglevel=error; then touch node_modules/.package-lock.json; \
	else echo 'left out: tests with packages of $*, because npm ci failed'; fi

# What people wrote: without what npm, Redoc and Pico bring along.
SPELLED := '*.go' '*.md' '*.html' '*.sql' '*.yml' '*.yaml' Makefile ':!*/redoc/*'

check: ## Formatting, vet, lint, spelling, the import ladder, go.mod: everything but the tests
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt (make fmt) would change:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
# A go.mod of its own: grantd's users do not inherit a linter's dependencies.
	go build -C .ci/tools -o '$(CURDIR)/bin/tools/' ./install ./lint tool
	bin/tools/lint ./...
	bin/tools/actionlint
	git ls-files $(SPELLED) | xargs bin/tools/misspell -error
	go test -count=1 -run 'Ladder|NamesPlaces|NamePlaces' .
# The Go client of the commit, as those get it who import it.
	bin/tools/install .
# What may break those who use the API is in the changelog. The comparison is built apart from the linters: it needs a YAML
# library that actionlint does not build with.
	go build -C .ci/breaking -o '$(CURDIR)/bin/tools/' .
	bin/tools/breaking .
	go mod verify
	go mod tidy -diff
	cd .ci/tools && go vet ./... && go mod verify && go mod tidy -diff
	cd .ci/breaking && go vet . && go test . && go mod verify && go mod tidy -diff
	cd .ci/release-tools && go mod tidy -diff
# A server that tests run, in a module of its own for the same reason.
	cd $(ZITADEL) && go vet ./... && go mod verify && go mod tidy -diff

bench: ## Measure what the README promises, against a bare handler in the same run, and write docs/benchmarks.md; takes up to fifteen minutes
	go run ./brokertest/services/with go run ./brokertest/bench -write docs/benchmarks.md -histograms docs/histograms $(ARGS)

bench-million: ## Measure what depends on how many authorizations are stored, with a million of them, and add it to docs/benchmarks.md; takes about ten minutes
	go run ./brokertest/services/with go run ./brokertest/bench -only statuses,sweeps -write docs/benchmarks.md $(ARGS)

faults: ## Kill, freeze and starve grantd and what it stands on, and write docs/faults.md; takes about ten minutes
	go run ./brokertest/services/with go run ./brokertest/faults -write docs/faults.md $(ARGS)

# How long, or how many, and from which seed on: make simulate FOR=1h SEED=1000000, or SEEDS=100000 PROCESSES=2, which divides
# them among two processes. With SEED alone that seed tells its story.
# ON=postgres plays the same moves on PostgreSQL, in real time.
FOR ?=
SEED ?=
SEEDS ?=
PROCESSES ?=
ON ?=

simulate: ## Play interleavings of replicas, each from a seed, and judge each by the promises; FOR=10m SEED=1 SEEDS=1000 ON=postgres
	GRANTD_SIMULATE='$(if $(SEED)$(SEEDS),$(FOR),$(or $(FOR),10m))' GRANTD_SEED='$(SEED)' GRANTD_SEEDS='$(SEEDS)' GRANTD_PROCESSES='$(PROCESSES)' GRANTD_ONLY='$(ONLY)' go test -count=1 -timeout 0 -v -run $(if $(filter postgres,$(ON)),OnPostgres,EverySeed) $(ARGS) ./brokertest/simulation

pictures: ## Draw the pictures of the pages in docs/images anew; needs Chromium
	GRANTD_PICTURES='$(CURDIR)/docs/images' go test -count=1 -run TestTheMainPagesArePictured ./brokertest/contract

release: ## Build what is released into dist/, for linux and darwin on amd64 and arm64: the same bytes for the same commit
	VERSION='$(VERSION)' .ci/release

# Modules of their own, which download and compile the vendors' SDKs, and Vault: too much for every commit. What CI tests with
# a fake of Vault is tested here with the real one. Its module is only built: to vet or tidy it takes all that it depends
# on, tests included.
kms: ## Test the programs for AWS KMS and Google Cloud KMS, and the keyset with a real Vault; compiles for minutes the first time
	cd kms && go vet ./... && go mod verify && go mod tidy -diff && go test ./... && go build -o /dev/null ./aws && go build -o /dev/null ./gcp
	cd kms/vaulttest && go build -ldflags='-s -w' -o '$(CURDIR)/bin/tools/vaulttest' .
	GRANTD_TEST_VAULT='$(CURDIR)/bin/tools/vaulttest' go test -count=1 -run 'Vault|KMS|SealedKeyset|IsSealed' ./brokertest/transit ./secrets ./cmd/grantd

chart: ## Render the Helm chart, lint it, and decode it into the types of Kubernetes; compiles for minutes the first time
	cd deploy/helm/check && go vet ./... && go mod tidy -diff && go test ./...

# Tools in a module of their own, which are built only here.
sbom: build ## Write dist/grantd.cdx.json: what bin/grantd is made of, in CycloneDX's format; needs the network
	mkdir -p dist
	cd .ci/release-tools && go tool cyclonedx-gomod bin -json -licenses -version '$(VERSION)' -output '$(CURDIR)/dist/grantd.cdx.json' '$(CURDIR)/bin/grantd'

vulnerabilities: ## Look for known vulnerabilities in what the binary calls; needs the network
	go build -C .ci/release-tools -o '$(CURDIR)/bin/tools/' golang.org/x/vuln/cmd/govulncheck ./vulnerabilities
	bin/tools/vulnerabilities bin/tools/govulncheck ./cmd/grantd ./client

release-check: ## What is too long for every commit: faults at full size, the benchmark, the image; takes about half an hour
	.ci/release-check

measure: ## Count functions, exported names and what rooms use of each other
	go run -C .ci/tools ./measure '$(CURDIR)' $(ARGS)

fmt: ## Format the code
	gofmt -w .

clean: ## Remove what the targets made, but no data: grantd-data may hold a keyset
	rm -rf bin dist coverage* $(OIDC)/node_modules $(AXE)/node_modules $(TYPESCRIPT)/node_modules $(TYPESCRIPT)/dist
