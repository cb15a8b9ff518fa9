// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/netpol-latency/netpol-latency/internal/kube"
)

// ExitUnsupported is the exit code of an agent, a starting pod or a target whose node lacks for
// good what it needs, such as a protocol of the kernel: another attempt would end alike
// (sysexits.h, EX_UNAVAILABLE).
const ExitUnsupported = 69

const (
	// diagnoseEvery is how often pods that are waited for are looked at.
	diagnoseEvery = 3 * time.Second
	// lastingProblem is how long pods may have a problem that no room in the cluster solves: the
	// kubelet has tried several times by then.
	lastingProblem = 30 * time.Second
)

// diagnosed does what waits for pods of a namespace, says meanwhile what keeps them from starting,
// and ends it with an error when that lasts, or at once when the pods say that it does.
func (e *environment) diagnosed(
	ctx context.Context, namespace string, wait func(context.Context) error,
) error {
	waiting, end := context.WithCancelCause(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		if err := e.diagnose(waiting, namespace); err != nil {
			end(err)
		}
	})
	err := wait(waiting)

	end(nil)
	looking.Wait()
	return err
}

// diagnose says what keeps pods of a namespace from starting, each problem once, until the context
// ends or one lasts, which is an error.
func (e *environment) diagnose(ctx context.Context, namespace string) error {
	told := make(map[string]bool)
	var since time.Time // of a problem that may last
	for {
		select {
		case <-time.After(diagnoseEvery):
		case <-ctx.Done():
			return nil
		}
		problems, err := e.problems(ctx, namespace)
		if err != nil {
			continue // the wait has its own requests, and their errors
		}

		for _, problem := range problems {
			if !told[problem.Reason] {
				told[problem.Reason] = true
				e.progress(Progress{Scenario: e.scenario.Name, Problem: problem.String()})
			}
		}

		never := slices.IndexFunc(problems, func(p kube.Problem) bool {
			return p.ExitCode == ExitUnsupported
		})
		lasts := slices.IndexFunc(problems, func(p kube.Problem) bool { return p.Lasting })
		switch {
		case never >= 0:
			return fmt.Errorf("start pods: %s", problems[never])
		case lasts < 0:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= lastingProblem:
			return fmt.Errorf("start pods: %s", problems[lasts])
		}
	}
}

// problems are what keeps the pods of a namespace that the run has created from starting.
func (e *environment) problems(ctx context.Context, namespace string) ([]kube.Problem, error) {
	home := kube.Namespace{Client: e.cluster, Name: namespace}
	return home.Problems(ctx, e.parameters.Prefix,
		labels.FormatLabels(e.scoped(map[string]string{RunLabel: e.options.RunID})))
}

// explain is an error that says what keeps the pods of a namespace from starting, as far as that is
// known.
func (e *environment) explain(namespace string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	problems, err := e.problems(ctx, namespace)
	if err != nil {
		return err
	}
	var all []error
	seen := make(map[string]bool)
	for _, problem := range problems {
		if !seen[problem.Text] {
			seen[problem.Text] = true
			all = append(all, errors.New(problem.String()))
		}
	}

	if len(all) == 0 {
		return fmt.Errorf("neither the pods in namespace %s nor its events say why", namespace)
	}
	return errors.Join(all...)
}
