// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/lab/internal/labtest"
)

// Each agent watches its plan and the target pods, once each, and lists neither more than once:
// four more agents make four more watches of each, by the API server's own count.
func TestRunRequestsOfAgents(t *testing.T) {
	t.Parallel()
	lab := labtest.Start(t)
	cost := func(agents int) map[string]int {
		before := requests(t, lab)
		measureRun(t, lab, exitOK, "policy-creation", "--targets=8",
			fmt.Sprintf("--agents=%d", agents), "--target-image=nginx")
		after := requests(t, lab)
		if after["configmaps WATCH"] == 0 || after["pods WATCH"] == 0 {
			t.Fatalf("the API server has counted no watch: %v", after)
		}
		for key := range after {
			after[key] -= before[key]
		}
		return after
	}
	few, many := cost(1), cost(5)
	more := func(what string) int { return many[what] - few[what] }
	if watches, lists := more("configmaps WATCH"), more("configmaps LIST"); watches != 4 ||
		lists > 4 {
		t.Errorf("four more agents make %d more watches and %d more lists of config maps; want "+
			"4, and at most 4", watches, lists)
	}
	// Lists of pods are the runner's too, who looks at the targets until they are ready.
	if watches := more("pods WATCH"); watches != 4 {
		t.Errorf("four more agents make %d more watches of pods; want 4", watches)
	}
}

// requests are the requests for resources of one namespace that the API server has counted, by
// resource and verb.
func requests(t *testing.T, lab *labtest.Lab) map[string]int {
	t.Helper()
	text := lab.Kubectl("get", "--raw", "/metrics")
	form := regexp.MustCompile(`resource="(configmaps|pods)",scope="(?:namespace|resource)",subresource="",verb="(LIST|WATCH)".*} (\d+)$`)
	counts := make(map[string]int)
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "apiserver_request_total{") {
			continue
		}
		if parts := form.FindStringSubmatch(strings.TrimSpace(line)); parts != nil {
			count, err := strconv.Atoi(parts[3])
			must(t, err)
			counts[parts[1]+" "+parts[2]] += count
		}
	}
	return counts
}
