# Everything a person or a CI job runs. `make demo` and `make test` need no other preparation than Go, make and, for what
# they install, the rights to install Debian packages. Recipes longer than a few lines are scripts in tools/.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z][a-z_ -]*\):.*/\1/p' Makefile)

BIN := $(CURDIR)/bin
LAB := $(BIN)/netpol-latency-lab
TOOLS := $(BIN)/tools
TIMES := $(BIN)/times
GOTESTSUM := $(TOOLS)/gotestsum
GO ?= go
LDFLAGS := -s -w
PROMETHEUS := v0.316.0
GOLANGCI_LINT := v2.15.0
HELM := v4.3.1
BENCHSTAT := v0.0.0-20260908200009-22c9c6c9d4da
# Newer releases of kube-router need netlink at a commit that is no release, which not every module proxy has.
KUBE_ROUTER := v2.1.0
KUBE_NETWORK_POLICIES := v0.8.0
# The licenses that we may ship; where a release's archives are; how many pods the demo measures.
LICENSES := Apache-2.0,BSD-2-Clause,BSD-3-Clause,ISC,MIT
RELEASE ?= $(BIN)/release
TARGETS ?= 20
export CGO_ENABLED := 0
export GO LICENSES VERSION VULNDB WORKFLOWS
INSTALL = @GOBIN=$(BIN) tools/goinstall.sh
IN_LAB = cd lab && NETPOL_LATENCY_LAB_BIN=$(LAB)
# The API server and the kubelets tell the version of Kubernetes that they are made from.
LAB_LDFLAGS = $(LDFLAGS) -X k8s.io/component-base/version.gitVersion=$(shell cd lab && $(GO) list -m -f '{{.Version}}' k8s.io/kubernetes)
GOTEST = $(GOTESTSUM) --format $(or $(FORMAT),standard-quiet) --jsonfile $(TIMES)/$@.json
# VERSION is what Git says unless it is given; BASE, an image with a shell, replaces Debian's busybox.
RELEASER = @$(BIN)/netpol-latency-release
RELEASE_FLAGS = $(if $(VERSION),--version '$(VERSION)') $(if $(BASE),--base '$(BASE)')

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
build: ## Build the clients and the command line into bin/
	@echo "== building the clients and the command line"
	@$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...
lab: build ## Build the lab into bin/ (six minutes with an empty Go cache)
	@echo "== building the lab: a Kubernetes control plane takes minutes the first time"
	@cd lab && $(GO) build -ldflags '$(LAB_LDFLAGS)' -o $(BIN)/ ./cmd/...
demo: lab ## Measure in a lab whose engine takes 300 ms: four scenarios, then the clients beside the truth
	@echo "== measuring four scenarios in a lab whose policy engine takes 300 ms, then both clients beside what it did"
	@$(LAB) run --delay 300ms -- sh -ec '$(BIN)/netpol-latency run pod-creation policy-creation policy-deny pod-startup \
	  --targets $(TARGETS) -o $(BIN)/demo-$$(date +%Y%m%d-%H%M%S); $(BIN)/netpol-latency-trial --targets $(TARGETS)'

test: ## Run every test: unit tests, and the real thing in the lab and in a browser
	@MAKE='$(MAKE)' tools/steps.sh $(TIMES) packages check-packages benchstat test-unit check test-tools test-release test-lab test-browser
test-times: ## Say where the time of the last "make test" went: steps, packages, tests of 10 s and more
	@cd tools && $(GO) run ./testtimes $(TIMES)
test-unit: $(GOTESTSUM) ## Run the root module's tests, those with goroutines with the race detector (1 minute)
	@PATH=$(BIN):$$PATH $(GOTEST) --raw-command -- tools/unit.sh
test-tools: $(GOTESTSUM) check-packages prometheus ## Run the tests of what checks the project and prepares its release
	@cd tools && $(GO) vet ./... && PATH=$(BIN):$$PATH $(GOTEST) -- -timeout 10m ./...
test-release: $(GOTESTSUM) release-packages ## Run the tests of images and archives: pushed to a registry, pulled, unpacked, made twice
	@cd release && $(GO) vet ./... && $(GOTEST) -- -timeout 20m ./...
# Two labs keep two cores busy; a third starves the API servers of the others. Their tests take minutes, so each is named.
test-lab test-browser: FORMAT := testname
test-lab: $(GOTESTSUM) lab releaser prometheus helm engines check-packages ## Run the lab's tests and the end-to-end tests (needs root); PKG=./e2e RUN=TestNode runs some
	@ln -sf netpol-latency-lab $(BIN)/kubectl # the lab's program is kubectl, too, under that name
	@$(IN_LAB) PATH=$(BIN):$$PATH $(GOTEST) -- -vet=off -count=1 -timeout 60m -p 1 -parallel 2 \
	  $(if $(RUN),-run '$(RUN)') $(or $(PKG),./...)
test-browser: $(GOTESTSUM) lab browser ## Look at the HTML report of a lab's runs in a real browser
	@cd browser && $(GO) vet -tags screenshots ./... && NETPOL_LATENCY_LAB_BIN=$(LAB) $(GOTEST) -- -count=1 -timeout 20m ./...
regression: lab ## Slow the lab's engine down by 30 ms, ten times: compare finds each, and nothing where nothing is (14 minutes)
	@$(IN_LAB) $(GO) test -timeout 60m -v -run '^$$' -bench '^BenchmarkRegression$$' -benchtime 10x ./e2e
soak: lab ## Disturb runs in a lab, at random, one after the other (30 minutes; DURATION=90s SEED=7)
	@$(IN_LAB) $(GO) test -vet=off -count=1 -timeout 0 -v -run '^TestSoak$$' ./e2e -soak $(or $(DURATION),30m) -seed $(or $(SEED),0)
screenshots: lab browser ## Make the screenshots of docs/html-report.md anew
	@cd browser && NETPOL_LATENCY_LAB_BIN=$(LAB) $(GO) test -count=1 -tags screenshots -run Screenshots . -images $(CURDIR)/docs/images
fuzz: ## Fuzz every fuzz target for FUZZTIME each (default 30s)
	@tools/fuzz.sh $(or $(FUZZTIME),30s)
packages check-packages release-packages engine-packages bench-packages:
	@tools/packages.sh $@
browser: ## Install Chromium, and the npm packages that browser/package-lock.json pins
	@tools/packages.sh $@ && tools/npm.sh
benchstat: ## Build the benchstat of the unit tests into bin/
	$(INSTALL) benchstat $(BENCHSTAT) golang.org/x/perf/cmd/benchstat@$(BENCHSTAT)
# Debian builds Prometheus without its Kubernetes discovery, which the test is about. promtool shares its packages.
prometheus: ## Build the Prometheus and promtool of the tests into bin/ (two minutes the first time)
	$(INSTALL) prometheus $(PROMETHEUS) -ldflags '$(LDFLAGS)' -tags remove_all_sd,enable_kubernetes_sd \
	  github.com/prometheus/prometheus/cmd/prom{etheus,tool}@$(PROMETHEUS)
helm: ## Build the Helm of the end-to-end tests into bin/ (two minutes the first time)
	$(INSTALL) helm $(HELM) -ldflags '$(LDFLAGS)' helm.sh/helm/v4/cmd/helm@$(HELM)
engines: engine-packages ## Build the policy engines of the tests into bin/ (six minutes the first time)
	$(INSTALL) kube-router $(KUBE_ROUTER) -ldflags '$(LDFLAGS)' \
	  github.com/cloudnativelabs/kube-router/v2/cmd/kube-router@$(KUBE_ROUTER)
	@GOBIN=$(BIN)/engines tools/goinstall.sh cmd $(KUBE_NETWORK_POLICIES) -ldflags '$(LDFLAGS)' \
	  sigs.k8s.io/kube-network-policies/cmd@$(KUBE_NETWORK_POLICIES)
	@cp -u $(BIN)/engines/cmd $(BIN)/kube-network-policies # its package's name is cmd
accuracy: lab bench-packages ## Measure accuracy and cost, and write docs/accuracy.md (an hour)
accuracy-engine: lab ## Hold the engine against a filter's commits: modes, directions, delays, 1 to 10,000 pairs (16 minutes)
accuracy-clients: lab ## Hold both clients against the lab's truth log: 10 runs, delays 0 and 300 ms (9 minutes)
loss: lab ## Lose one packet in a hundred: no false transition, no false flap
observer: lab ## Compare the enforcement beside a client that probes and beside one halted (13 min)
bench: lab bench-packages ## Measure the cost of a probe beside curl, Go's own ways, fping, hping3 and masscan
accuracy accuracy-engine accuracy-clients loss observer bench:
	@tools/accuracy.sh $@
engine-table: lab engines ## Measure every scenario on every engine, and write the table of docs/engines.md (half an hour)
	@$(IN_LAB) $(GO) test -vet=off -timeout 2h -v -run '^$$' -bench '^BenchmarkEngineTable$$' -benchtime 1x ./e2e
bench-lab: lab browser ## Measure how fast the lab starts pods, and a browser shows ten thousand pairs
	@$(IN_LAB) $(GO) test -run '^$$' -bench Pods -benchtime 1x ./e2e
	@cd browser && $(GO) test -run '^$$' -bench . -benchtime 3x .

check: format licenses workflows ## Check format, vet, licenses and workflows: all that needs no database
verify: check vulnerabilities ## Everything that check does, and look for known vulnerabilities
format: ## Check formatting and vet
licenses: tools ## Check that everything in the programs has one of the licenses that we may ship
workflows: tools check-packages ## Check the workflows with actionlint, and all scripts with shellcheck
vulnerabilities: tools ## Look for known vulnerabilities in what the programs call (needs the Go vulnerability database)
format licenses workflows vulnerabilities:
	@tools/check.sh $@
lint: ## Run golangci-lint with .golangci.yml in all modules
	@for module in . lab browser release tools; do (cd $$module && $(GO) run \
	  github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT) run --config $(CURDIR)/.golangci.yml ./...) || exit 1; done
tools: $(TOOLS)/installed ## Build the tools of the checks into bin/tools
$(TOOLS)/installed: tools/go.mod tools/go.sum
	@cd tools && GOBIN=$(TOOLS) $(GO) install tool && touch $@
$(GOTESTSUM): tools/go.mod
	@mkdir -p $(TIMES) && cd tools && GOBIN=$(TOOLS) $(GO) install gotest.tools/gotestsum

images: releaser release-packages ## Make all images as OCI layouts in bin/images
	$(RELEASER) images $(RELEASE_FLAGS) --output $(BIN)/images
push: releaser release-packages ## Push all images to REGISTRY, tagged VERSION
	$(RELEASER) images $(RELEASE_FLAGS) --push '$(or $(REGISTRY),$(error REGISTRY is missing: expected for example registry.example/team))' $(IMAGE)
push_pod_creation: IMAGE := pod-creation-reachability-latency
push_pod_creation: push ## Push the image of the client for pod creation alone
push_policy_creation: IMAGE := policy-creation-enforcement-latency
push_policy_creation: push ## Push the image of the client for policy creation alone
releaser:
	@cd release && $(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...
release: releaser ## Make archives, checksums, bills of materials and notes of VERSION in bin/release
	$(RELEASER) archives $(if $(VERSION),--version '$(VERSION)') --output $(BIN)/release
man: ## Write the manual pages into bin/man
completions: build ## Write the completion scripts into bin/completions
notices: tools ## Collect the licenses of everything in the programs in bin/notices
man completions notices:
	@tools/packaging.sh $@
krew: ## Fill in the plugin's manifest for the release VERSION, whose archives will be at the URL DOWNLOADS
	@cd tools && $(GO) run ./krew -template ../deploy/krew/netpol-latency.yaml -checksums $(RELEASE)/checksums.txt \
	  -version "$(VERSION)" -downloads "$(DOWNLOADS)" -output $(RELEASE)/netpol-latency.yaml
notes: ## Print the notes of the release VERSION
	@cd tools && $(GO) run ./notes ../CHANGELOG.md "$(VERSION)"
monitoring: ## Write the dashboard, and the rules as an object of the Prometheus operator, into deploy/
	@cd tools && $(GO) run ./monitoring ../deploy
clean: ## Remove what was built
	@rm -rf $(BIN)
