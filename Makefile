# Everything a person or a CI job runs. `make demo` and `make test` need no other preparation than Go,
# make and, for what they install, the rights to install Debian packages.

SHELL := /bin/bash
.DEFAULT_GOAL := help

BIN := $(CURDIR)/bin
LAB := $(BIN)/netpol-latency-lab
RELEASER := $(BIN)/netpol-latency-release
TRIAL := $(BIN)/netpol-latency-trial
GO ?= go
LDFLAGS := -s -w
PROMETHEUS := v0.316.0
GOLANGCI_LINT := v2.15.0
HELM := v4.3.1
# Policy engines that clusters run. These are the newest ones that build without replaced modules.
KUBE_ROUTER := v2.1.0
KUBE_NETWORK_POLICIES := v0.8.0
# The programs of tools/go.mod, whose versions are there.
TOOLS := $(BIN)/tools
# The licenses that what we ship may have.
LICENSES := Apache-2.0,BSD-2-Clause,BSD-3-Clause,ISC,MIT
# Where known vulnerabilities are listed, for example file:///srv/vulndb; empty is the Go project's own database.
VULNDB ?=
# Where a release's archives are, and the checksums with them.
RELEASE ?= $(BIN)/release
BENCHSTAT := v0.0.0-20260908200009-22c9c6c9d4da
export CGO_ENABLED := 0

# once STAMP,PROGRAM,SAY,PACKAGES builds programs of others into bin/, unless those of this version are there: to find
# out that they are up to date takes the go command seconds.
once = [ -x $(BIN)/$(2) -a -e $(BIN)/.$(1) ] || { $(3) && GOBIN=$(BIN) $(GO) install $(4) && touch $(BIN)/.$(1); }
, := ,
# The API server and the kubelets tell the version of Kubernetes that they are made from.
KUBERNETES = $(shell cd lab && $(GO) list -m -f '{{.Version}}' k8s.io/kubernetes)
LAB_LDFLAGS = $(LDFLAGS) -X k8s.io/component-base/version.gitVersion=$(KUBERNETES)
# Rootless labs are made in user namespaces; a sudo that exists is used for packages only.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help
help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the clients and the command line into bin/
	@echo "== building the clients and the command line"
	@$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

.PHONY: lab
lab: build ## Build the lab into bin/ (six minutes with an empty Go cache)
	@echo "== building the lab: a Kubernetes control plane takes minutes the first time"
	@cd lab && $(GO) build -ldflags '$(LAB_LDFLAGS)' -o $(BIN)/ ./cmd/...

# How many pods "make demo" measures.
TARGETS ?= 20

.PHONY: demo
demo: lab ## Measure in a lab whose engine takes 300 ms: four scenarios, then the clients beside the truth
	@echo "== starting a lab whose policy engine takes 300 ms, and measuring four scenarios with $(TARGETS) targets in it,"
	@echo "   then both drop-in clients, beside what the engine did"
	@$(LAB) run --delay 300ms -- sh -ec '$(BIN)/netpol-latency run pod-creation policy-creation policy-deny \
	  pod-startup --targets $(TARGETS) --output $(BIN)/demo-$$(date +%Y%m%d-%H%M%S); $(TRIAL) --targets $(TARGETS)'

# Compilers and browsers beside labs would starve these: one step comes after the other. No test is skipped for want of a program
# or a right.
.PHONY: test
test: export NETPOL_LATENCY_REQUIRE_ALL := 1
test: ## Run every test: unit tests, and the real thing in the lab and in a browser
	@rm -rf $(TIMES)
	@for step in packages check-packages benchstat test-unit check test-tools test-release test-lab test-browser; do \
	  tools/step.sh $(TIMES) $$step $(MAKE) --no-print-directory $$step || exit 1; \
	done
	@echo "== all tests passed; \"make test-times\" says where the time went"

# In TIMES each step of "make test" leaves when it began and ended, and gotestsum the events of its tests. It says at the end
# what failed.
TIMES := $(BIN)/times
GOTESTSUM := $(TOOLS)/gotestsum
# A line for each package, and in the lab, where a package takes minutes, for each test.
FORMAT := standard-quiet
test-lab test-browser: FORMAT := testname
GOTEST = $(GOTESTSUM) --format $(FORMAT) --jsonfile $(TIMES)/$@.json --

$(GOTESTSUM): tools/go.mod | $(TIMES)
	@cd tools && GOBIN=$(TOOLS) $(GO) install gotest.tools/gotestsum

$(TIMES):
	@mkdir -p $@

.PHONY: test-times
test-times: ## Say where the time of the last "make test" went: steps, packages, tests of 10 s and more
	@cd tools && $(GO) run ./testtimes $(TIMES)

# Needs nothing but Go. The race detector needs a C compiler; tests whose programs are missing are skipped, and say so.
.PHONY: test-unit
test-unit: $(GOTESTSUM) ## Run the root module's tests, those with goroutines with the race detector (1 minute)
	@for need in xmllint:packages benchstat:benchstat; do PATH=$(BIN):$$PATH command -v $${need%:*} >/dev/null || \
	  echo "== no $${need%:*}: its tests are skipped; make $${need#*:} installs it"; done
	@GO='$(GO)' PATH=$(BIN):$$PATH $(GOTESTSUM) --format $(FORMAT) --jsonfile $(TIMES)/$@.json --raw-command -- tools/unit.sh

.PHONY: test-tools
test-tools: $(GOTESTSUM) check-packages prometheus ## Run the tests of what checks the project and prepares its release
	@cd tools && $(GO) vet ./... && PATH=$(BIN):$$PATH $(GOTEST) -timeout 10m ./...

.PHONY: test-release
test-release: $(GOTESTSUM) release-packages ## Run the tests of images and archives: pushed to a registry, pulled, unpacked, made twice
	@cd release && $(GO) vet ./... && $(GOTEST) -timeout 20m ./...

# Two labs keep two cores busy; a third starves the API servers of the others.
.PHONY: test-lab
test-lab: $(GOTESTSUM) lab releaser prometheus helm check-packages ## Run the lab's tests and the end-to-end tests (needs root); PKG=./e2e RUN=TestNode runs some
	@ln -sf $(notdir $(LAB)) $(BIN)/kubectl # the lab's program is kubectl, too, under that name
	@cd lab && PATH=$(BIN):$$PATH NETPOL_LATENCY_LAB_BIN=$(LAB) $(GOTEST) -vet=off -count=1 -timeout 60m -p 1 -parallel 2 \
	  $(if $(RUN),-run '$(RUN)') $(or $(PKG),./...)

.PHONY: regression
regression: lab ## Slow the lab's engine down by 30 ms, ten times: compare finds each, and nothing where nothing is (14 minutes)
	@cd lab && NETPOL_LATENCY_LAB_BIN=$(LAB) \
	  $(GO) test -timeout 60m -v -run '^$$' -bench '^BenchmarkRegression$$' -benchtime 10x ./e2e

# How long, and where the choices come from: a seed is printed, and repeats them.
DURATION ?= 30m
SEED ?= 0

.PHONY: soak
soak: lab ## Disturb runs in a lab, at random, one after the other (30 minutes; DURATION=90s SEED=7)
	@cd lab && NETPOL_LATENCY_LAB_BIN=$(LAB) \
	  $(GO) test -vet=off -count=1 -timeout 0 -v -run '^TestSoak$$' ./e2e -soak $(DURATION) -seed $(SEED)

.PHONY: test-browser
test-browser: $(GOTESTSUM) lab browser ## Look at the HTML report of a lab's runs in a real browser
	@cd browser && $(GO) vet -tags screenshots ./... && NETPOL_LATENCY_LAB_BIN=$(LAB) $(GOTEST) -count=1 -timeout 20m ./...

.PHONY: screenshots
screenshots: lab browser ## Make the screenshots of docs/html-report.md anew
	@cd browser && NETPOL_LATENCY_LAB_BIN=$(LAB) $(GO) test -count=1 -tags screenshots -run Screenshots . -images $(CURDIR)/docs/images

# The fonts make the screenshots look the same everywhere.
.PHONY: browser
browser: ## Install Chromium, and the npm packages that browser/package-lock.json pins
	@missing=; for pair in chromium:chromium npm:npm fc-list:fontconfig; do \
	  command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair#*:}"; \
	done; \
	fc-list 2>/dev/null | grep -qi /inter || missing="$$missing fonts-inter fonts-dejavu-core"; \
	[ -z "$$missing" ] || { echo "== installing$$missing"; \
	  $(SUDO) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }
	@cd browser && cmp -s package-lock.json node_modules/.installed || { echo "== installing npm packages" && \
	  npm ci --silent --ignore-scripts && cp package-lock.json node_modules/.installed; }

.PHONY: packages
packages: ## Install what the unit tests need: a C compiler for the race detector, xmllint
	@for program in gcc xmllint; do \
	  command -v $$program >/dev/null || missing="$$missing $$program"; \
	done; \
	[ -z "$$missing" ] || { echo "== installing$$missing"; \
	  $(SUDO) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends gcc libc6-dev libxml2-utils >/dev/null; }

.PHONY: benchstat
benchstat: ## Build the benchstat of the unit tests into bin/
	@$(call once,benchstat-$(BENCHSTAT),benchstat,true,golang.org/x/perf/cmd/benchstat@$(BENCHSTAT))

.PHONY: check-packages
check-packages: ## Install what the tests of commands, documents, manual pages and workflows need
	@for need in man:man-db mandoc:mandoc nft:nftables shellcheck:shellcheck; do \
	  command -v $${need%:*} >/dev/null || missing="$$missing $${need#*:}"; \
	done; \
	[ -e /usr/share/bash-completion/bash_completion ] || missing="$$missing bash-completion"; \
	[ -z "$$missing" ] || { echo "== installing$$missing"; \
	  $(SUDO) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }

.PHONY: release-packages
release-packages: ## Install what a base with a shell is downloaded and unpacked with
	@{ command -v dpkg-deb && test -e /usr/share/keyrings/debian-archive-keyring.gpg; } >/dev/null || { \
	  echo "== installing Debian's keys"; \
	  $(SUDO) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends \
	    dpkg debian-archive-keyring >/dev/null; }

# Debian builds Prometheus without its Kubernetes discovery, which the test is about. promtool shares its packages.
.PHONY: prometheus
prometheus: ## Build the Prometheus and promtool of the tests into bin/ (two minutes the first time)
	@$(call once,prometheus-$(PROMETHEUS),promtool,echo "== building Prometheus with its Kubernetes discovery$(,) and promtool", \
	  -ldflags '$(LDFLAGS)' -tags remove_all_sd$(,)enable_kubernetes_sd \
	  github.com/prometheus/prometheus/cmd/prometheus@$(PROMETHEUS) \
	  github.com/prometheus/prometheus/cmd/promtool@$(PROMETHEUS))

# kube-network-policies has its program in the directory cmd, whose name it gets.
.PHONY: engines
engines: engine-packages ## Build the policy engines of the tests into bin/ (five minutes the first time)
	@echo "== building kube-router and kube-network-policies"
	@GOBIN=$(BIN) $(GO) install -ldflags '$(LDFLAGS)' github.com/cloudnativelabs/kube-router/v2/cmd/kube-router@$(KUBE_ROUTER)
	@GOBIN=$(BIN)/engines $(GO) install -ldflags '$(LDFLAGS)' sigs.k8s.io/kube-network-policies/cmd@$(KUBE_NETWORK_POLICIES)
	@mv $(BIN)/engines/cmd $(BIN)/kube-network-policies

.PHONY: engine-packages
engine-packages: ## Install the programs that policy engines call
	@for need in iptables:iptables ipset:ipset nft:nftables; do \
	  PATH=$$PATH:/usr/sbin command -v $${need%:*} >/dev/null || missing="$$missing $${need#*:}"; \
	done; \
	[ -z "$$missing" ] || { echo "== installing$$missing"; \
	  $(SUDO) apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }

.PHONY: monitoring
monitoring: ## Write the dashboard, and the rules as an object of the Prometheus operator, into deploy/
	@cd tools && $(GO) run ./monitoring ../deploy

.PHONY: helm
helm: ## Build the Helm of the end-to-end tests into bin/ (two minutes the first time)
	@$(call once,helm-$(HELM),helm,echo "== building Helm",-ldflags '$(LDFLAGS)' helm.sh/helm/v4/cmd/helm@$(HELM))

.PHONY: releaser
releaser:
	@cd release && $(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

# What the targets below have in common. VERSION is what Git says unless it is given; BASE, an image with a shell, takes
# the place of Debian's busybox in the images that need one.
RELEASE_FLAGS = $(if $(VERSION),--version '$(VERSION)') $(if $(BASE),--base '$(BASE)')

.PHONY: images
images: releaser release-packages ## Make all images as OCI layouts in bin/images
	@$(RELEASER) images $(RELEASE_FLAGS) --output $(BIN)/images

.PHONY: push
push: registry releaser release-packages ## Push all images to REGISTRY, tagged VERSION
	@$(RELEASER) images $(RELEASE_FLAGS) --push '$(REGISTRY)'

.PHONY: push_pod_creation
push_pod_creation: registry releaser release-packages ## Push the image of the client for pod creation alone
	@$(RELEASER) images $(RELEASE_FLAGS) --push '$(REGISTRY)' pod-creation-reachability-latency

.PHONY: push_policy_creation
push_policy_creation: registry releaser release-packages ## Push the image of the client for policy creation alone
	@$(RELEASER) images $(RELEASE_FLAGS) --push '$(REGISTRY)' policy-creation-enforcement-latency

.PHONY: registry
registry:
	@[ -n '$(REGISTRY)' ] || { echo "REGISTRY is missing: expected where to push to, for example" \
	  "make push REGISTRY=registry.example/team VERSION=v1.2.3" >&2; exit 1; }

.PHONY: release
release: releaser ## Make archives, checksums, bills of materials and notes of VERSION in bin/release
	@$(RELEASER) archives $(if $(VERSION),--version '$(VERSION)') --output $(BIN)/release

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
observer: lab ## Compare the enforcement beside a client that probes and beside one halted (13 min)
	@failed=0; for pairs in 200 1000; do for mode in http connect syn; do \
	  $(LAB) run -- $(TRIAL) --observer --scenario policy-creation --delay 0s --targets $$pairs --runs 50 \
	    --client-arg=-probe=$$mode $$([ $$mode = syn ] && echo --manifest-arg=--net-raw) || failed=1; \
	done; done; exit $$failed

.PHONY: bench
bench: bench-packages ## Measure the cost of a probe beside curl, Go's own ways, fping, hping3 and masscan
	@echo "== building the benchmark"
	@cd lab && $(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/netpol-latency-bench
	@$(BIN)/netpol-latency-bench

.PHONY: bench-lab
bench-lab: lab browser ## Measure how fast the lab starts pods, and a browser shows ten thousand pairs
	@cd lab && NETPOL_LATENCY_LAB_BIN=$(LAB) $(GO) test -run '^$$' -bench Pods -benchtime 1x ./e2e
	@cd browser && $(GO) test -run '^$$' -bench . -benchtime 3x .

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
verify: check vulnerabilities ## Everything that check does, and look for known vulnerabilities

.PHONY: check
check: format licenses workflows ## Check format, vet, licenses and workflows: all that needs no database

.PHONY: format
format: ## Check formatting and vet
	@echo "== checking formatting and vetting"
	@test -z "$$(gofmt -l $$(git ls-files '*.go') | tee -a /dev/stderr)" # -a: a log that it is written to is not cut
	@$(GO) vet ./...
	@GOOS=darwin GOARCH=arm64 $(GO) build -trimpath ./... # as archives are built: nothing is compiled twice

.PHONY: tools
tools: $(TOOLS)/installed ## Build the tools of the checks into bin/tools

$(TOOLS)/installed: tools/go.mod tools/go.sum
	@cd tools && GOBIN=$(TOOLS) $(GO) install tool
	@touch $@

.PHONY: licenses
licenses: tools ## Check that everything in the programs has one of the licenses that we may ship
	@echo "== checking licenses"
	@found=$$($(TOOLS)/go-licenses check ./cmd/... --allowed_licenses=$(LICENSES) 2>&1) || { echo "$$found" >&2; exit 1; }

.PHONY: workflows
workflows: tools check-packages ## Check the workflows with actionlint, and their scripts with shellcheck
	@echo "== checking workflows"
	@$(TOOLS)/actionlint -shellcheck "$$(command -v shellcheck)" -pyflakes= $(WORKFLOWS)

# Exit code 3 means that something was found. With any other the check was not made, which is no better.
.PHONY: vulnerabilities
vulnerabilities: tools ## Look for known vulnerabilities in what the programs call (needs the Go vulnerability database)
	@echo "== looking for known vulnerabilities"
	@$(TOOLS)/govulncheck $(if $(VULNDB),-db $(VULNDB)) ./cmd/... || { code=$$?; [ $$code = 3 ] || \
	  echo "Vulnerabilities were NOT checked: expected a database that can be read; VULNDB=URL names another" >&2; \
	  exit $$code; }

.PHONY: man
man: ## Write the manual pages into bin/man
	@rm -rf $(BIN)/man
	@epoch=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null)}; \
	  cd tools && SOURCE_DATE_EPOCH=$$epoch $(GO) run ./man $(if $(VERSION),-version $(VERSION)) $(BIN)/man

.PHONY: completions
completions: build ## Write the completion scripts into bin/completions
	@mkdir -p $(BIN)/completions
	@for shell in bash zsh fish powershell; do \
	  $(BIN)/netpol-latency completion $$shell > $(BIN)/completions/netpol-latency.$$shell || exit 1; \
	done

.PHONY: notices
notices: tools ## Collect the licenses of everything in the programs in bin/notices
	@found=$$($(TOOLS)/go-licenses save ./cmd/... --force --save_path=$(BIN)/notices 2>&1) || { echo "$$found" >&2; exit 1; }

.PHONY: krew
krew: ## Fill in the plugin's manifest for the release VERSION, whose archives will be at the URL DOWNLOADS
	@cd tools && $(GO) run ./krew -template ../deploy/krew/netpol-latency.yaml -checksums $(RELEASE)/checksums.txt \
	  -version "$(VERSION)" -downloads "$(DOWNLOADS)" -output $(RELEASE)/netpol-latency.yaml

.PHONY: notes
notes: ## Print the notes of the release VERSION
	@cd tools && $(GO) run ./notes ../CHANGELOG.md "$(VERSION)"

.PHONY: lint
lint: ## Run golangci-lint with .golangci.yml in all modules
	@$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT) run ./...
	@for module in lab browser release tools; do \
	  (cd $$module && $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT) run --config ../.golangci.yml ./...) || exit 1; \
	done

.PHONY: clean
clean: ## Remove what was built
	@rm -rf $(BIN)
