// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/netpol-latency/netpol-latency/lab/internal/witness"
)

// listen opens the witness of a node, before anything could commit there.
func (l *inner) listen(node string) error {
	if !l.options.Witness {
		return nil
	}
	return l.namespaces[node].Do(func() error {
		listener, err := witness.Listen(node)
		if err != nil {
			return err
		}
		l.witness = append(l.witness, listener)
		return nil
	})
}

// writeCommits writes down what the witnesses hear until ctx ends.
func (l *inner) writeCommits(ctx context.Context, group *errgroup.Group) {
	if len(l.witness) == 0 {
		return
	}
	group.Go(func() (err error) {
		log, err := witness.OpenLog(l.options.Dir.Commits())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, log.Close()) }()

		listeners, ctx := errgroup.WithContext(ctx)
		for _, one := range l.witness {
			listeners.Go(func() error { return one.Run(ctx, log.Write) })
		}
		return listeners.Wait()
	})
}
