// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"time"
)

// FormatDuration writes a duration wherever a person reads it: milliseconds with as many digits as
// mean something, for example 304ms, 12.3ms or 0.45ms.
func FormatDuration(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch size := max(ms, -ms); {
	case size >= 100:
		return fmt.Sprintf("%.0fms", ms)
	case size >= 10:
		return fmt.Sprintf("%.1fms", ms)
	default:
		return fmt.Sprintf("%.2fms", ms)
	}
}

// NamedQuantile is a quantile that summaries show, from 0 to 1.
type NamedQuantile struct {
	Name string
	Q    float64
}

// ShownQuantiles are the quantiles of tables, pages and records, in ascending order.
func ShownQuantiles() []NamedQuantile {
	return []NamedQuantile{
		{"min", 0}, {"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"max", 1},
	}
}
