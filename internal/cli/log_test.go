// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"strings"
	"testing"

	"k8s.io/klog/v2"
)

// What libraries log comes once, and a terminal acts on nothing in it.
func TestLibrariesLogVisibly(t *testing.T) {
	var stderr strings.Builder
	logTo(&stderr)
	t.Cleanup(func() { logTo(os.Stderr) })
	klog.Warningf("the watch broke: %s", "\x1b]0;title\a")
	klog.Errorf("an error")
	text := stderr.String()
	if !strings.HasPrefix(text, "W") || strings.Count(text, "\n") != 2 ||
		!strings.Contains(text, `] the watch broke: \x1b]0;title\x07`+"\n") {
		t.Errorf("the log is %q", text)
	}
}
