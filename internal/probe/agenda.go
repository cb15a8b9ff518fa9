// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

import "container/heap"

// agenda holds a worker's pairs by when their next probe is due; it is a heap.Interface.
type agenda []*Pair

// Len implements heap.Interface.
func (a agenda) Len() int { return len(a) }

// Less implements heap.Interface.
func (a agenda) Less(i, j int) bool { return a[i].due < a[j].due }

// Swap implements heap.Interface.
func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].place, a[j].place = i, j
}

// Push implements heap.Interface.
func (a *agenda) Push(x any) {
	p := x.(*Pair)
	p.place = len(*a)
	*a = append(*a, p)
}

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	p := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	p.place = -1
	return p
}

// reschedule moves a pair to another instant.
func (a *agenda) reschedule(p *Pair, due instant) {
	p.due = due
	heap.Fix(a, p.place)
}
