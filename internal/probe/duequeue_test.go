// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestDueQueue adds, moves and removes pairs by chance: the earliest is always in front, and every
// pair knows its place.
func TestDueQueue(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var all dueQueue
	var pairs []*pair
	for step := range 20_000 {
		switch n := random.IntN(10); {
		case n < 3 || len(pairs) == 0:
			p := &pair{number: step, due: instant(random.IntN(1000)), place: none}
			all.push(p)
			pairs = append(pairs, p)
		case n < 5:
			i := random.IntN(len(pairs))
			all.remove(pairs[i])
			if pairs[i].place != none {
				t.Fatalf("step %d: a removed pair has place %d", step, pairs[i].place)
			}
			pairs = slices.Delete(pairs, i, i+1)
		default:
			all.reschedule(pairs[random.IntN(len(pairs))], instant(random.IntN(1000)))
		}
		if len(all) != len(pairs) {
			t.Fatalf("step %d: %d queued for %d pairs", step, len(all), len(pairs))
		}
		for _, p := range pairs {
			if all[p.place].pair != p || all[p.place].due != p.due {
				t.Fatalf("step %d: pair %d is not at its place", step, p.number)
			}
			if all[0].due > p.due {
				t.Fatalf("step %d: pair %d is due at %d, before the first, at %d", step, p.number,
					p.due, all[0].due)
			}
		}
	}
}

// BenchmarkDueQueue moves the first pair on by one interval, as every probe does, with ours and
// with container/heap.
func BenchmarkDueQueue(b *testing.B) {
	const pairs, interval = 10_000, 1_000_000
	b.Run("dueQueue", func(b *testing.B) {
		var all dueQueue
		for number := range pairs {
			all.push(&pair{due: instant(number * interval / pairs)})
		}
		for b.Loop() {
			all.reschedule(all[0].pair, all[0].due+interval)
		}
	})
	b.Run("container/heap", func(b *testing.B) {
		var all byDue
		for number := range pairs {
			heap.Push(&all, &pair{due: instant(number * interval / pairs)})
		}
		for b.Loop() {
			all[0].due += interval
			heap.Fix(&all, 0)
		}
	})
}

// byDue is the heap.Interface that the due queue is compared with.
type byDue []*pair

func (a byDue) Len() int           { return len(a) }
func (a byDue) Less(i, j int) bool { return a[i].due < a[j].due }
func (a byDue) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].place, a[j].place = i, j
}

func (a *byDue) Push(x any) {
	x.(*pair).place = len(*a)
	*a = append(*a, x.(*pair))
}

func (a *byDue) Pop() any {
	p := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return p
}
