// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/lab/truth"
)

func TestConfigJSON(t *testing.T) {
	want := Config{
		Node: "node-0", Kubeconfig: "k", PodCIDRs: testPodCIDRs, TruthPath: "t", ControlSocket: "s",
		Settings: Settings{
			Delay: 300 * time.Millisecond, Jitter: time.Second, Batch: 3, Gap: time.Millisecond,
			Reject: truth.Reset,
			Faults: Faults{Never: "fault=never", Leak: time.Second,
				Flap: Flap{time.Second, time.Minute}, NoExcept: true},
		},
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"delay":"300ms"`) {
		t.Errorf("the configuration is written as %s", text)
	}
	var got Config
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	same := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("read differs from written (-want +got):\n%s", diff)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

// All mistakes show at once.
func TestConfigMistakes(t *testing.T) {
	err := Config{Settings: Settings{Delay: -1, Jitter: -1, Gap: -1, Batch: -1, Reject: "no",
		Faults: Faults{Leak: -1}}}.Validate()
	if err == nil {
		t.Fatal("an empty configuration is accepted")
	}
	for _, mistake := range []string{"node", "kubeconfig", "podCIDRs", "truthPath", "controlSocket",
		"delay", "jitter", "gap", "batch", "reject", "leak"} {
		if !strings.Contains(err.Error(), mistake) {
			t.Errorf("the message does not name %s: %v", mistake, err)
		}
	}
}
