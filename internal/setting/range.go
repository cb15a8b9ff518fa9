// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package setting

import (
	"fmt"
	"time"
)

// Range says which values a setting can have. Want is that in words, and Has tells whether one is
// among them; without it each of the type is.
type Range struct {
	Want string
	Has  func(value any) bool
}

func whole(least, most int) Range {
	return Range{
		Want: fmt.Sprintf("a whole number from %d to %d", least, most),
		Has:  func(value any) bool { return value.(int) >= least && value.(int) <= most },
	}
}

func anyDuration() Range {
	return Range{
		Want: "a duration of 0 or more with a unit, for example 300ms",
		Has:  func(value any) bool { return value.(time.Duration) >= 0 },
	}
}

func positiveDuration() Range {
	return Range{
		Want: "a duration of more than 0 with a unit, for example 1m30s",
		Has:  func(value any) bool { return value.(time.Duration) > 0 },
	}
}

func anyRate() Range {
	return Range{
		Want: "a number of 0 or more, for example 50",
		Has:  func(value any) bool { return value.(float64) >= 0 },
	}
}

func positiveRate() Range {
	return Range{
		Want: "a number of more than 0, for example 50",
		Has:  func(value any) bool { return value.(float64) > 0 },
	}
}

func anyText(want string) Range { return Range{Want: want} }

func port() Range {
	return Range{
		Want: "a port from 1 to 65535, with its name if it has one, for example 5432=postgres",
		Has: func(value any) bool {
			_, _, ok := ParsePort(value.(string))
			return ok || value == ""
		},
	}
}
