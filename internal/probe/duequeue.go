// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

// dueQueue holds a worker's pairs by when their next probe is due: a heap, the earliest first.
// Every probe moves its pair, so the instants lie beside each other and a pair has four children:
// container/heap, with two children and a look into the pairs themselves, takes twice as long for
// it (BenchmarkDueQueue).
type dueQueue []queued

// queued is a pair in a due queue, with a copy of the instant at which it is due.
type queued struct {
	due  instant
	pair *pair
}

// children is how many pairs hang on one.
const children = 4

// due reports whether the earliest pair's probe is due by an instant.
func (a dueQueue) due(by instant) bool { return len(a) > 0 && a[0].due <= by }

// push adds a pair.
func (a *dueQueue) push(p *pair) {
	*a = append(*a, queued{})
	a.up(len(*a)-1, queued{p.due, p})
}

// remove takes a pair out.
func (a *dueQueue) remove(p *pair) {
	place, last := p.place, len(*a)-1
	moved := (*a)[last]
	(*a)[last] = queued{}
	*a = (*a)[:last]
	if place < last {
		a.put(place, moved)
	}
	p.place = none
}

// reschedule moves a pair to another instant.
func (a *dueQueue) reschedule(p *pair, due instant) {
	p.due = due
	a.put(p.place, queued{due, p})
}

// put writes a pair to a place, or to where it belongs above or below.
func (a *dueQueue) put(place int, e queued) {
	if place > 0 && e.due < (*a)[(place-1)/children].due {
		a.up(place, e)
		return
	}
	a.down(place, e)
}

func (a *dueQueue) up(place int, e queued) {
	all := *a
	for place > 0 {
		parent := (place - 1) / children
		if all[parent].due <= e.due {
			break
		}
		all.set(place, all[parent])
		place = parent
	}
	all.set(place, e)
}

func (a *dueQueue) down(place int, e queued) {
	all := *a
	for first := place*children + 1; first < len(all); first = place*children + 1 {
		least := first
		for child := first + 1; child < min(first+children, len(all)); child++ {
			if all[child].due < all[least].due {
				least = child
			}
		}
		if e.due <= all[least].due {
			break
		}
		all.set(place, all[least])
		place = least
	}

	all.set(place, e)
}

func (a dueQueue) set(place int, e queued) {
	a[place] = e
	e.pair.place = place
}

// rebuild gives every pair another instant.
func (a *dueQueue) rebuild(due func(*pair) instant) {
	all := *a
	for i := range all {
		p := all[i].pair
		p.due = due(p)
		all[i].due = p.due
	}
	for place := len(all) / children; place >= 0; place-- {
		if place < len(all) {
			a.down(place, all[place])
		}
	}
}
