// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/netpol-latency/netpol-latency/internal/need"
	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
	"github.com/netpol-latency/netpol-latency/lab/truth"
)

// Each commit is heard once, whatever it changes, with who made it; the stamp is after the commit
// began, and soon after it ended.
func TestCommits(t *testing.T) {
	namespace, err := netns.New()
	need.Machine(t, err, "run as root")
	defer namespace.Close()
	var listener *Listener
	err = namespace.Do(func() (err error) {
		listener, err = Listen("node-0")
		return err
	})
	need.Machine(t, err, "run as root")
	defer listener.Close()
	path := filepath.Join(t.TempDir(), "commits")
	log, err := OpenLog(path)
	must(t, err)

	const commits = 5
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan truth.Commit, commits)
	ended := make(chan error, 1)
	go func() {
		ended <- listener.Run(ctx, func(commit truth.Commit) error {
			heard <- commit
			return log.Write(commit)
		})
	}()

	var last uint32
	for range commits {
		before := time.Now()
		must(t, namespace.Do(addTable))
		commit := <-heard
		if commit.Node != "node-0" || commit.PID == 0 ||
			commit.Process != filepath.Base(os.Args[0]) ||
			last != 0 && commit.Generation != last+1 {
			t.Errorf("heard %+v; want generation %d of this process in node-0", commit, last+1)
		}
		if !truth.Witnessed([]truth.Commit{commit}, before, time.Now()) {
			t.Errorf("the stamp %s is not between those around the commit", commit.At)
		}
		last = commit.Generation
	}

	cancel()
	must(t, <-ended)
	must(t, log.Close())
	written, err := truth.ReadCommits(path)
	must(t, err)
	if len(written) != commits || written[commits-1].Generation != last {
		t.Errorf("the log has %+v; want %d commits, the last one generation %d", written, commits,
			last)
	}
}

// addTable commits a table with a set of more elements than an announcement of them would fit.
func addTable() error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := &nftables.Table{Name: "test", Family: nftables.TableFamilyINet}
	conn.AddTable(table)
	conn.DelTable(table)
	conn.AddTable(table)
	set := &nftables.Set{Table: table, Name: "set", KeyType: nftables.TypeIPAddr}
	var elements []nftables.SetElement
	for i := range 500 {
		elements = append(elements, nftables.SetElement{Key: []byte{10, 0, byte(i >> 8), byte(i)}})
	}
	if err := conn.AddSet(set, elements); err != nil {
		return err
	}
	return conn.Flush()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
