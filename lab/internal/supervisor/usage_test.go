// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"testing"
	"time"
)

func TestParseCPUTime(t *testing.T) {
	for _, test := range []struct {
		name, stat string
		want       time.Duration
	}{
		{"its own and its children's", "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0",
			1270 * time.Millisecond},
		{"too short", "7 (a) S 1 7", -1},
		{"no numbers", "7 (a) S 1 7 7 0 -1 4194560 1 2 3 4 x 20 3 4 20", -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseCPUTime([]byte(test.stat))
			if test.want < 0 {
				if err == nil {
					t.Errorf("%v and no error", got)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("%v, %v; want %v", got, err, test.want)
			}
		})
	}
}
