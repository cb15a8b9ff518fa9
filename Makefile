# Everything a person or a CI job runs. `make demo` and `make test` need no other preparation than Go,
# make and, for what they install, the rights to install Debian packages.

SHELL := /bin/bash
.DEFAULT_GOAL := help

BIN := $(CURDIR)/bin
LAB := $(BIN)/netpol-latency-lab
TRIAL := $(BIN)/netpol-latency-trial
GO ?= go
LDFLAGS := -s -w
PROMETHEUS := v0.316.0
GOLANGCI_LINT := v2.15.0
HELM := v4.3.1
export CGO_ENABLED := 0
# The API server and the kubelets tell the version of Kubernetes that they are made from.
KUBERNETES = $(shell cd lab && $(GO) list -m -f '{{.Version}}' k8s.io/kubernetes)
LAB_LDFLAGS = $(LDFLAGS) -X k8s.io/component-base/version.gitVersion=$(KUBERNETES)
# Rootless labs are made in user namespaces; a sudo that exists is used for packages only.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help
help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the clients and the command line into bin/
	@echo "== building the clients and the command line"
	@$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

.PHONY: lab
lab: build ## Build the lab into bin/ (six minutes with an empty Go cache)
	@echo "== building the lab: a Kubernetes control plane takes minutes the first time"
	@cd lab && $(GO) build -ldflags '$(LAB_LDFLAGS)' -o $(BIN)/ ./cmd/...

.PHONY: demo
demo: lab ## Measure in a lab whose engine takes 300 ms: four scenarios, then the clients beside the truth
	@echo "== starting a lab whose policy engine takes 300 ms, and measuring four scenarios with 20 targets in it,"
	@echo "   then both drop-in clients, beside what the engine did"
	@$(LAB) run --delay 300ms -- sh -ec '$(BIN)/netpol-latency run pod-creation policy-creation policy-deny \
	  pod-startup --targets 20 --output $(BIN)/demo-$$(date +%Y%m%d-%H%M%S); $(TRIAL)'

.PHONY: test
test: test-unit test-lab ## Run every test: unit tests, and the real thing in the lab
	@echo "== all tests passed"

.PHONY: test-unit
test-unit: verify packages check-packages ## Run the root module's tests with the race detector
	@echo "== unit tests"
	@CGO_ENABLED=1 $(GO) test -race -timeout 5m ./...
	@echo "== what the race detector's own allocations hide"
	@$(GO) test -count=1 -run NoAllocation ./internal/probe

.PHONY: test-lab
test-lab: lab prometheus helm ## Run the lab's tests and the end-to-end tests (needs root)
	@echo "== lab and end-to-end tests: real namespaces, real control plane, real Prometheus"
	@cd lab && PATH=$(BIN):$$PATH NETPOL_LATENCY_LAB_BIN=$(LAB) $(GO) test -count=1 -timeout 60m -p 1 ./...

.PHONY: packages
packages: ## Install what the race detector needs: a C compiler
	@command -v gcc >/dev/null || { echo "== installing gcc"; \
	  $(SUDO) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null; }

.PHONY: check-packages
check-packages: ## Install what the tests of commands, manual pages and workflows need
	@for need in man:man-db mandoc:mandoc shellcheck:shellcheck; do \
	  command -v $${need%:*} >/dev/null || missing="$$missing $${need#*:}"; \
	done; \
	[ -e /usr/share/bash-completion/bash_completion ] || missing="$$missing bash-completion"; \
	[ -z "$$missing" ] || { echo "== installing$$missing"; \
	  $(SUDO) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }

# Debian builds Prometheus without its Kubernetes discovery, which the test is about.
.PHONY: prometheus
prometheus: ## Build the Prometheus of the end-to-end tests into bin/ (two minutes the first time)
	@echo "== building Prometheus with its Kubernetes discovery"
	@GOBIN=$(BIN) $(GO) install -ldflags '$(LDFLAGS)' -tags remove_all_sd,enable_kubernetes_sd \
	  github.com/prometheus/prometheus/cmd/prometheus@$(PROMETHEUS)

.PHONY: helm
helm: ## Build the Helm of the end-to-end tests into bin/ (two minutes the first time)
	@echo "== building Helm"
	@GOBIN=$(BIN) $(GO) install -ldflags '$(LDFLAGS)' helm.sh/helm/v4/cmd/helm@$(HELM)

.PHONY: accuracy
accuracy: accuracy-engine accuracy-clients ## Make the accuracy tables of docs/method.md (25 minutes)

.PHONY: accuracy-engine
accuracy-engine: ## Hold the engine against a filter's commits: modes, directions, delays, 1 to 10,000 pairs
	@echo "== building the judge of the engine"
	@cd lab && $(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/netpol-latency-accuracy
	@$(BIN)/netpol-latency-accuracy
	@$(BIN)/netpol-latency-accuracy --pairs 20 --relative-resolution 0.005

.PHONY: accuracy-clients
accuracy-clients: lab ## Hold both clients against the lab's truth log: 10 runs, delays 0 and 300 ms
	@$(LAB) run -- $(TRIAL) --runs 10 --delay 0s,300ms --limit 15ms

.PHONY: loss
loss: ## Lose one packet in a hundred: no false transition, no false flap
	@cd lab && $(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/netpol-latency-accuracy
	@$(BIN)/netpol-latency-accuracy --pairs 200,1000 --mode connect,syn --loss 0.01 --confirm 5 --tolerate-losses 4

.PHONY: observer
observer: lab ## Compare the enforcement with and without a client that probes, 200 and 1,000 pairs
	@for pairs in 200 1000; do \
	  $(LAB) run -- $(TRIAL) --observer --scenario policy-creation --delay 0s --targets $$pairs --runs 16 || exit 1; \
	done

.PHONY: bench
bench: bench-packages ## Measure the cost of a probe beside curl, Go's own ways, fping, hping3 and masscan
	@echo "== building the benchmark"
	@cd lab && $(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/netpol-latency-bench
	@$(BIN)/netpol-latency-bench

.PHONY: bench-packages
bench-packages: ## Install what the benchmark compares with
	@for program in curl fping hping3 masscan; do \
	  command -v $$program >/dev/null || missing="$$missing $$program"; \
	done; \
	[ -z "$$missing" ] || { echo "== installing$$missing"; \
	  $(SUDO) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }

.PHONY: fuzz
fuzz: ## Fuzz every fuzz target for FUZZTIME each (default 30s)
	@for package in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep ^Fuzz); do \
	    echo "== $$package $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $${FUZZTIME:-30s} $$package || exit 1; \
	  done; done

.PHONY: verify
verify: ## Check formatting and vet both modules
	@echo "== checking formatting and vetting"
	@test -z "$$(gofmt -l $$(git ls-files '*.go') | tee /dev/stderr)"
	@$(GO) vet ./...

.PHONY: lint
lint: ## Run golangci-lint with .golangci.yml in both modules
	@$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT) run ./...
	@cd lab && $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT) run --config ../.golangci.yml ./...

.PHONY: clean
clean: ## Remove what was built
	@rm -rf $(BIN)
