// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netpol-latency/netpol-latency/internal/measure"
)

// What was seen of a pair through a disruption comes back as it was, whatever its kind.
func TestWatchedIsReadBack(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)).UTC() }
	episode := measure.Episode{
		Began: measure.Bracket{Lower: at(10), Upper: at(20)}, Probes: 7, Merged: 2,
		Ended: measure.Bracket{Lower: at(30), Upper: at(40)}, Unwatched: time.Millisecond,
	}
	open := measure.Episode{Began: episode.Began, Ended: measure.Bracket{Lower: at(50)}}
	span := measure.Span{Least: 1, Most: 2}
	want := measure.Watched{
		From: at(1), To: at(60), Lateness: 3,
		Breaches: measure.Episodes{List: []measure.Episode{episode, open}, Count: 4, Longest: span,
			Total: span},
		Unknown: measure.Episodes{List: []measure.Episode{episode}, Count: 1, Longest: span},
	}
	for _, kind := range measure.Kinds() {
		text, err := Marshal(measure.Sample{Kind: kind, Status: measure.Measured, Watched: want})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Unmarshal(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Watched); diff != "" || got.Kind != kind {
			t.Errorf("%s comes back as %s (-want +got):\n%s", kind, got.Kind, diff)
		}
	}
}
