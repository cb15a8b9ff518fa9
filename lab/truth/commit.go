// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package truth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// Commit is a commit of nftables as the kernel announces it, whoever made it: the witness's record,
// in a log of its own beside that of the engine. A verdict of rules of nftables, and of iptables
// where that is made of nftables, can only change at a commit.
type Commit struct {
	// Node is the node in whose network namespace it was made.
	Node string `json:"node"`
	// At is when the announcement arrived, after the commit took effect.
	At time.Time `json:"at"`
	// Generation counts the commits of the namespace.
	Generation uint32 `json:"generation"`
	// PID and Process are who made it: a thread, as the machine numbers them, and its name, which
	// is that of the program if that does not change it.
	PID     uint32 `json:"pid"`
	Process string `json:"process"`
}

// ReadCommits returns the commits of a witness's log in the order of the file. A line without its
// end is left out.
func ReadCommits(path string) ([]Commit, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the witness's log: %w", err)
	}
	var commits []Commit
	decoder := json.NewDecoder(bytes.NewReader(content[:bytes.LastIndexByte(content, '\n')+1]))
	for decoder.More() {
		var commit Commit
		if err := decoder.Decode(&commit); err != nil {
			return nil, fmt.Errorf("read record %d of the witness's log %s: %w", len(commits)+1,
				path, err)
		}
		commits = append(commits, commit)
	}
	return commits, nil
}

// announcement is the longest that an announcement takes from its commit to its stamp. On a machine
// with two cores and a load of 60 the longest of 47 took 7 ms.
const announcement = 20 * time.Millisecond

// Witnessed reports whether one of the commits may have been made between two instants: it was
// announced after the first, and no later after the second than an announcement takes.
func Witnessed(commits []Commit, from, to time.Time) bool {
	return slices.ContainsFunc(commits, func(c Commit) bool {
		return !c.At.Before(from) && !c.At.After(to.Add(announcement))
	})
}
