// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
	"github.com/netpol-latency/netpol-latency/lab/trial"
)

const (
	dashboardFile  = "../../deploy/grafana/netpol-latency.json"
	rulesFile      = "../../deploy/prometheus/rules.yaml"
	ruleObjectFile = "../../deploy/prometheus/prometheus-rule.yaml"
)

// panel is what the test reads of one.
type panel struct {
	Title   string
	Type    string
	Targets []struct {
		Expr    string
		RefID   string `json:"refId"`
		Instant bool
	}
}

// readDashboard returns what the dashboard asks.
func readDashboard(t *testing.T) (panels []panel, variables []string) {
	t.Helper()
	content, err := os.ReadFile(dashboardFile)
	must(t, err)
	var board struct {
		Panels     []panel
		Templating struct {
			List []struct {
				Type  string
				Query any
			}
		}
	}
	must(t, json.Unmarshal(content, &board))
	for _, variable := range board.Templating.List {
		if variable.Type == "query" {
			query, _ := variable.Query.(map[string]any)
			variables = append(variables, fmt.Sprint(query["query"]))
		}
	}
	return board.Panels, variables
}

// rule records or alerts.
type rule struct{ Record, Alert, Expr string }

func readRules(t *testing.T) []rule {
	t.Helper()
	content, err := os.ReadFile(rulesFile)
	must(t, err)
	var file struct {
		Groups []struct{ Rules []rule }
	}
	must(t, yaml.Unmarshal(content, &file))
	var all []rule
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no rules", rulesFile)
	}
	return all
}

// observers are the three kinds of Prometheus that there are, which keep histograms in classic
// buckets, as native ones, or in both ways. Each has the rules.
func observers(t *testing.T, lab *labtest.Lab, clients int) map[string]*corev1.Pod {
	t.Helper()
	rules, err := os.ReadFile(rulesFile)
	must(t, err)
	servers := make(map[string]*corev1.Pod)
	for name, settings := range map[string]map[string]any{
		"classic": {},
		"native":  {"scrape_native_histograms": true},
		"both":    {"scrape_native_histograms": true, "always_scrape_classic_histograms": true},
	} {
		servers[name] = startPrometheus(t, lab, "monitoring-"+name, map[string]string{
			"prometheus.yml": scrapeConfig(t, podMonitors(t, lab, clients), settings),
			"rules.yaml":     string(rules),
		})
	}
	return servers
}

// answer is what Prometheus returns of either kind of query.
type answer struct {
	Data struct {
		Result []struct {
			Metric     map[string]string
			Value      [2]any
			Values     [][2]any
			Histogram  []any
			Histograms []any
		}
	}
}

// values are all numbers of an answer, and the number of its histograms.
func (a answer) values() (numbers []float64, histograms int) {
	for _, series := range a.Data.Result {
		for _, value := range append(series.Values, series.Value) {
			text, _ := value[1].(string) // the other kind of query has none
			number, err := strconv.ParseFloat(text, 64)
			if err == nil && !math.IsNaN(number) {
				numbers = append(numbers, number)
			}
		}
		histograms += len(series.Histograms) + len(series.Histogram)
	}
	return numbers, histograms
}

func parse(body []byte, err error) (answer, error) {
	if err != nil {
		return answer{}, fmt.Errorf("ask: %w: %s", err, body)
	}
	var parsed answer
	return parsed, json.Unmarshal(body, &parsed)
}

// asked is a server that is asked like Grafana does.
type asked struct {
	lab    *labtest.Lab
	server *corev1.Pod
	since  time.Time
}

func (a asked) instant(ctx context.Context, expr string) (answer, error) {
	return parse(ask(ctx, a.lab, a.server, "query", map[string]string{"query": expr}))
}

// overTime asks in steps of a second, of which one comes after the newest scrape.
func (a asked) overTime(ctx context.Context, expr string) (answer, error) {
	stamp := func(at time.Time) string { return at.UTC().Format(time.RFC3339) }
	return parse(ask(ctx, a.lab, a.server, "query_range", map[string]string{
		"query": expr, "start": stamp(a.since), "end": stamp(time.Now().Add(time.Second)),
		"step": "1",
	}))
}

// labelValues is what Grafana makes of label_values(SELECTOR, LABEL).
func (a asked) labelValues(ctx context.Context, definition string) ([]string, error) {
	inner, isCall := strings.CutPrefix(strings.TrimSuffix(definition, ")"), "label_values(")
	at := strings.LastIndex(inner, ", ")
	if !isCall || at < 0 {
		return nil, fmt.Errorf("read the variable %q: expected label_values(SELECTOR, LABEL)",
			definition)
	}
	body, err := ask(ctx, a.lab, a.server, "label/"+inner[at+2:]+"/values",
		map[string]string{"match[]": inner[:at]})
	if err != nil {
		return nil, fmt.Errorf("ask: %w: %s", err, body)
	}
	var values struct{ Data []string }
	return values.Data, json.Unmarshal(body, &values)
}

// fill replaces the variables of a query as Grafana does.
func fill(expr string, variables map[string]string) string {
	for _, name := range []string{"__range", "__rate_interval", "namespace", "scenario", "pod"} {
		expr = strings.ReplaceAll(expr, "$"+name, variables[name])
	}
	return expr
}

// TestDashboardAndRules asks everything that the dashboard and the rules ask after both clients
// have measured, of each kind of Prometheus.
func TestDashboardAndRules(t *testing.T) {
	t.Parallel()
	const targets = 20
	lab := labtest.Start(t, "--image", "prometheus="+prometheusProgram(t), "--delay", "50ms")
	defineOperatorKind(t, lab, "podmonitors")
	defineOperatorKind(t, lab, "prometheusrules")
	lab.Kubectl("create", "-f", ruleObjectFile)
	scenarios := []string{"policy-creation", "pod-creation"}
	var runs []trial.Trial
	for _, scenario := range scenarios {
		runs = append(runs, setUpMonitored(t, lab, scenario, scenario, targets))
	}
	since := time.Now()
	servers := observers(t, lab, len(runs))
	for _, server := range servers {
		awaitProbing(t, lab, server, len(runs))
	}
	samples := make(map[string][]measure.Sample)
	for _, run := range runs {
		must(t, run.Trigger(t.Context()))
		found, err := run.Collect(t.Context())
		must(t, err)
		expectMeasured(t, found, targets)
		samples[run.Scenario] = found.Samples
	}
	for _, run := range runs {
		expectGoodPractice(t, run)
	}
	for name, server := range servers {
		t.Run(name, func(t *testing.T) {
			for _, scenario := range scenarios {
				measured := fmt.Sprintf(`sum(netpol_latency_targets_total{status="measured", scenario=%q})`, scenario)
				awaitQuery(t, lab, server, measured, func(v float64) bool { return v == targets })
			}
			a := asked{lab, server, since}
			expectHistograms(t, a, name)
			for _, variables := range choices(t, a, runs) {
				expectPanels(t, a, variables)
			}
			expectRules(t, a)
			expectFigures(t, a, name, samples)
		})
	}
}

// awaitProbing waits until a server has scraped every client, and one that probes twice: what
// begins to count before the first scrape has no rate.
func awaitProbing(t *testing.T, lab *labtest.Lab, server *corev1.Pod, clients int) {
	t.Helper()
	awaitQuery(t, lab, server, "count(netpol_latency_targets_expected)",
		func(v float64) bool { return v == float64(clients) })
	awaitQuery(t, lab, server,
		`sum(rate(netpol_latency_probes_total{scenario="policy-creation"}[1m]))`,
		func(v float64) bool { return v > 0 })
}

// setUpMonitored brings a trial up to the trigger, with a PodMonitor.
func setUpMonitored(
	t *testing.T, lab *labtest.Lab, name, scenario string, targets int, arguments ...string,
) trial.Trial {
	t.Helper()
	run := newTrial(t, lab, scenario, targets, arguments...)
	run.Name = name
	run.ManifestArgs = []string{"--pod-monitor"}
	must(t, run.Setup(t.Context()))
	return run
}

// expectGoodPractice has Prometheus' own checker judge the names and help texts of what a client
// exposes.
func expectGoodPractice(t *testing.T, run trial.Trial) {
	t.Helper()
	client := clientPods(t, run)[0]
	metrics, err := run.Client.CoreV1().Pods(client.Namespace).
		ProxyGet("http", client.Name, "9160", "metrics", nil).DoRaw(t.Context())
	must(t, err)
	if !strings.Contains(string(metrics), "netpol_latency_transition_seconds_bucket") {
		t.Errorf("the client exposes no latencies:\n%s", metrics)
	}
	check := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	check.Stdin = bytes.NewReader(metrics)
	if output, err := check.CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("promtool does not approve of the metrics: %v\n%s", err, output)
	}
}

// expectHistograms checks that a server keeps histograms in the way that it is there for.
func expectHistograms(t *testing.T, a asked, kind string) {
	t.Helper()
	has := func(expr string) bool {
		answer, err := a.instant(t.Context(), expr)
		must(t, err)
		return len(answer.Data.Result) > 0
	}
	classic, native := has("netpol_latency_transition_seconds_bucket"),
		has("netpol_latency_transition_seconds")
	if classic != (kind != "native") || native != (kind != "classic") {
		t.Errorf("this server has classic buckets: %v, native histograms: %v", classic, native)
	}
}

// choices are what a user may choose of the dashboard's variables: everything, and what each
// offers.
func choices(t *testing.T, a asked, runs []trial.Trial) []map[string]string {
	t.Helper()
	_, definitions := readDashboard(t)
	all := map[string]string{"__range": "10m", "__rate_interval": "10s", "namespace": ".*",
		"scenario": ".*", "pod": ".*"}
	one := map[string]string{"__range": "10m", "__rate_interval": "10s"}
	for i, name := range []string{"namespace", "scenario", "pod"} {
		values, err := a.labelValues(t.Context(), fill(definitions[i], one))
		must(t, err)
		if len(values) != len(runs) {
			t.Errorf("%s offers %q; want one for each of %d clients", definitions[i], values,
				len(runs))
		}
		one[name] = "(" + strings.Join(values, "|") + ")"
	}
	return []map[string]string{all, one}
}

// expectPanels asks every query of every panel.
func expectPanels(t *testing.T, a asked, variables map[string]string) {
	t.Helper()
	panels, _ := readDashboard(t)
	queries := 0
	for _, panel := range panels {
		for _, target := range panel.Targets {
			queries++
			ask := a.overTime
			if target.Instant {
				ask = a.instant
			}
			found, err := ask(t.Context(), fill(target.Expr, variables))
			numbers, histograms := found.values()
			if err != nil || len(numbers)+histograms == 0 {
				t.Errorf("panel %q, query %s returns no data: %v: %s", panel.Title, target.RefID,
					err, fill(target.Expr, variables))
			}
			if panel.Type == "heatmap" && histograms > 0 && len(numbers) > 0 {
				t.Errorf("panel %q returns native and classic histograms at once", panel.Title)
			}
		}
	}
	if queries < 20 {
		t.Errorf("the dashboard has %d queries only", queries)
	}
}

// ofTheMachine are the alerts that tell how much of a processor a client gets, and how long probes
// wait on their way, which a test that shares its machine with others cannot promise. That they are
// silent when all is well is in rules_test.yaml.
var ofTheMachine = []string{
	"NetpolLatencyProbesLate", "NetpolLatencyResolutionCoarse", "NetpolLatencyProbesAmbiguous",
}

// expectRules checks that the server has accepted every rule, that records have data, and that
// nothing is alerted.
func expectRules(t *testing.T, a asked) {
	t.Helper()
	for _, rule := range readRules(t) {
		found, err := a.instant(t.Context(), rule.Expr)
		must(t, err)
		numbers, _ := found.values()
		if rule.Alert != "" {
			switch busy := slices.Contains(ofTheMachine, rule.Alert); {
			case len(found.Data.Result) > 0 && busy:
				t.Logf("this machine is busy: %s finds %v", rule.Alert, found.Data.Result)
			case len(found.Data.Result) > 0:
				t.Errorf("all is well, and %s finds %v", rule.Alert, found.Data.Result)
			}
			continue
		}
		if len(numbers) == 0 {
			t.Errorf("the expression of %s returns no data", rule.Record)
		}
		a.lab.Await(rule.Record, patience, func(ctx context.Context) (bool, error) {
			found, err := a.instant(ctx, rule.Record)
			numbers, _ := found.values()
			return len(numbers) > 0, err
		})
	}
	body, err := ask(t.Context(), a.lab, a.server, "rules", nil)
	must(t, err)
	if healthy := strings.Count(string(body), `"health":"ok"`); healthy != len(readRules(t)) {
		t.Errorf("%d rules are in good health; want %d: %s", healthy, len(readRules(t)), body)
	}
}

// expectFigures holds the table of results against the samples that it is about. An estimate from a
// histogram lies in the bucket of the exact figure: the bounds of native ones differ by less than a
// tenth, those of classic ones by up to 2.5 times.
func expectFigures(t *testing.T, a asked, kind string, samples map[string][]measure.Sample) {
	t.Helper()
	panels, _ := readDashboard(t)
	at := slices.IndexFunc(panels, func(p panel) bool { return p.Type == "table" })
	everything := map[string]string{"__range": "10m", "namespace": ".*", "scenario": ".*",
		"pod": ".*"}
	ratio := 1.1
	if kind == "classic" {
		ratio = 2.5
	}
	for _, target := range panels[at].Targets {
		found, err := a.instant(t.Context(), fill(target.Expr, everything))
		must(t, err)
		numbers, _ := found.values()
		if len(numbers) != len(samples) {
			t.Fatalf("column %s has %d rows; want one for each of %d scenarios", target.RefID,
				len(numbers), len(samples))
		}
		for i, number := range numbers {
			scenario := found.Data.Result[i].Metric["scenario"]
			least, most := column(target.RefID, samples[scenario])
			if number < least/ratio || number > max(most*ratio, finest) {
				t.Errorf("column %s of %s is %v; the samples say %v to %v", target.RefID, scenario,
					number, least, most)
			}
			t.Logf("column %s of %s: %.4f, the samples say %.4f to %.4f", target.RefID, scenario,
				number, least, most)
		}
	}
}

// finest is the lowest bound of the classic histograms, in seconds.
const finest = .001

// column computes a column of the table of results from the samples. A percentile that falls
// between two of them may be either one: we take the lower, Prometheus counts native histograms
// from their other end.
func column(letter string, samples []measure.Sample) (least, most float64) {
	var latencies, resolutions []time.Duration
	for _, sample := range samples {
		latency, known, _ := sample.Observed()
		latencies = append(latencies, max(0, latency))
		if known == measure.Exact {
			resolutions = append(resolutions, sample.Latency().Resolution())
		}
	}
	one := 1 / float64(len(samples))
	percentile := func(all []time.Duration, q float64) (least, most float64) {
		ordered := measure.NewDistribution(all)
		return ordered.Quantile(q).Seconds(), ordered.Quantile(min(1, q+one)).Seconds()
	}
	switch letter {
	case "C":
		return percentile(latencies, .5)
	case "D":
		return percentile(latencies, .9)
	case "E":
		return percentile(latencies, .99)
	case "F":
		return percentile(resolutions, .5)
	case "G":
		return percentile(resolutions, .99)
	default: // the numbers of targets that were expected and measured
		return float64(len(samples)), float64(len(samples))
	}
}

// TestAlerts brings about what each alert is for.
func TestAlerts(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t, "--image", "prometheus="+prometheusProgram(t))
	defineOperatorKind(t, lab, "podmonitors")
	invalid := setUpMonitored(t, lab, "invalid", "policy-creation", 2)
	censored := setUpMonitored(t, lab, "censored", "policy-creation", 2, "--target-timeout=3s")
	slow := setUpMonitored(t, lab, "slow", "policy-creation", 3, "--relative-resolution=0.5")
	hindered := setUpMonitored(t, lab, "hindered", "policy-creation", 2, "--probe-interval=100ms")
	servers := observers(t, lab, 4)
	// What was denied is not any more, without the policy that the client waits for.
	must(t, invalid.Shell(t.Context(),
		"kubectl -n "+invalid.ClientNamespace()+" delete networkpolicies --all"))
	// One target stays closed, and the others open after longer than the alert's limit, and than
	// the time given. At half the time since the trigger between probes, the last one before the
	// change may have left at two thirds of the delay: that must be beyond the limit, too.
	target := pods(t, lab, slow.TargetNamespace(), "target=policy-creation")[0]
	lab.Kubectl("-n", target.Namespace, "label", "pod", target.Name, "closed=yes")
	closeToAll(t, lab, slow.TargetNamespace())
	lab.Set("--delay", "16s")
	must(t, censored.Trigger(t.Context()))
	must(t, slow.Trigger(t.Context()))
	expectAlerts(t, lab, servers, "NetpolLatencyTargetsCensored")
	must(t, invalid.Trigger(t.Context())) // whose targets have been reached for seconds
	expectAlerts(t, lab, servers, "NetpolLatencyTargetsInvalid")
	// A process that stands still does not send in time. One without descriptors cannot send what
	// the time after a trigger asks for: sockets that it has it uses again.
	client := clientPods(t, hindered)[0]
	halt(t, process(t, hindered), func() (bool, error) {
		return alerted(t, lab, servers, "NetpolLatencyProbesLate")
	})
	limitDescriptors(t, process(t, hindered))
	must(t, hindered.Trigger(t.Context()))
	expectAlerts(t, lab, servers, "NetpolLatencyProbesAmbiguous")
	must(t, syscall.Kill(process(t, hindered), syscall.SIGKILL))
	lab.AwaitReady(client.Namespace, client.Name, patience)
	expectAlerts(t, lab, servers, "NetpolLatencyClientRestarted")
	expectAlerts(t, lab, servers, "NetpolLatencyTargetsUnfinished", "NetpolLatencySlow",
		"NetpolLatencyResolutionCoarse")
}

// alerted reports whether the alert's expression finds something on every server.
func alerted(
	t *testing.T, lab *labtest.Lab, servers map[string]*corev1.Pod, alert string,
) (bool, error) {
	t.Helper()
	rules := readRules(t)
	at := slices.IndexFunc(rules, func(r rule) bool { return r.Alert == alert })
	if at < 0 {
		t.Fatalf("there is no alert %s", alert)
	}
	for _, server := range servers {
		found, err := asked{lab: lab, server: server}.instant(t.Context(), rules[at].Expr)
		if err != nil || len(found.Data.Result) == 0 {
			return false, err
		}
	}
	return true, nil
}

func expectAlerts(
	t *testing.T, lab *labtest.Lab, servers map[string]*corev1.Pod, alerts ...string,
) {
	t.Helper()
	for _, alert := range alerts {
		lab.Await("the expression of "+alert+" to find something", patience,
			func(context.Context) (bool, error) {
				return alerted(t, lab, servers, alert)
			})
	}
}

// process is the number of a client's process, which names its namespace in its arguments.
func process(t *testing.T, run trial.Trial) int {
	t.Helper()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, path := range commands {
		content, err := os.ReadFile(path)
		program, arguments, _ := strings.Cut(string(content), "\x00")
		ours := strings.HasSuffix(program, "enforcement-latency") &&
			strings.Contains(arguments, run.ClientNamespace())
		if err == nil && ours {
			number, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			must(t, err)
			return number
		}
	}
	t.Fatalf("the client of %s has no process", run.Name)
	return 0
}

// limitDescriptors has a process open no more files than it has. Its own user may do that, where
// root may lack the right.
func limitDescriptors(t *testing.T, pid int) {
	t.Helper()
	about, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	must(t, err)
	owner := about.Sys().(*syscall.Stat_t)
	limit := exec.CommandContext(t.Context(), "prlimit", "--nofile=3:3", "--pid", strconv.Itoa(pid))
	limit.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid,
		Gid: owner.Gid}}
	if output, err := limit.CombinedOutput(); err != nil {
		t.Fatalf("limit the descriptors of process %d: %v: %s", pid, err, output)
	}
}

// halt keeps a process from running for most of the time, until something is so.
func halt(t *testing.T, pid int, until func() (bool, error)) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		ok, err := until()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the process was halted for %s, and nothing came of it (last error: %v)",
				patience, err)
		}
		must(t, syscall.Kill(pid, syscall.SIGSTOP))
		stopped := pause(t, 150*time.Millisecond)
		must(t, errors.Join(stopped, syscall.Kill(pid, syscall.SIGCONT)))
	}
}

// pause is how long a process is halted: the disturbance itself, which nothing waits for.
func pause(t *testing.T, length time.Duration) error {
	select {
	case <-time.After(length):
		return nil
	case <-t.Context().Done():
		return t.Context().Err()
	}
}
