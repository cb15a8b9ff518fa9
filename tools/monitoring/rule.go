// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
)

// ruleHead is the operator's object as far as the rules; these follow as its spec, indented.
const ruleHead = `# Copyright The netpol-latency Authors
# SPDX-License-Identifier: Apache-2.0
#
# Made by "make monitoring" from rules.yaml: change that.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: netpol-latency
  labels:
    app.kubernetes.io/part-of: netpol-latency
spec:
`

// renderRule makes the Prometheus operator's object of a file of rules. Its spec is such a file,
// line by line, so that comments and the order of keys stay.
func renderRule(file string) ([]byte, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the rules: %w", err)
	}

	_, rules, found := strings.Cut("\n"+string(content), "\ngroups:\n")
	if !found {
		return nil, fmt.Errorf("read the rules in %s: expected a line \"groups:\" at its beginning",
			file)
	}

	var object strings.Builder
	object.WriteString(ruleHead + "  groups:\n")
	for line := range strings.Lines(rules) {
		if strings.TrimSpace(line) != "" {
			line = "  " + line
		}
		object.WriteString(line)
	}

	return []byte(object.String()), nil
}
