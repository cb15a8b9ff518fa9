// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package probe

// agenda holds a worker's pairs by when their next probe is due: a heap, the earliest first. Every probe moves its
// pair, so the instants lie beside each other and a pair has four children: container/heap, with two children and a
// look into the pairs themselves, takes twice as long for it (BenchmarkAgenda).
type agenda []entry

// entry is a pair in an agenda, with a copy of the instant at which it is due.
type entry struct {
	due  instant
	pair *Pair
}

// children is how many entries hang on one.
const children = 4

// due reports whether the earliest pair's probe is due by an instant.
func (a agenda) due(by instant) bool { return len(a) > 0 && a[0].due <= by }

// push adds a pair.
func (a *agenda) push(p *Pair) {
	*a = append(*a, entry{})
	a.up(len(*a)-1, entry{p.due, p})
}

// remove takes a pair out.
func (a *agenda) remove(p *Pair) {
	place, last := p.place, len(*a)-1
	moved := (*a)[last]
	(*a)[last] = entry{}
	*a = (*a)[:last]
	if place < last {
		a.put(place, moved)
	}
	p.place = none
}

// reschedule moves a pair to another instant.
func (a *agenda) reschedule(p *Pair, due instant) {
	p.due = due
	a.put(p.place, entry{due, p})
}

// put writes an entry to a place, or to where it belongs above or below.
func (a *agenda) put(place int, e entry) {
	if place > 0 && e.due < (*a)[(place-1)/children].due {
		a.up(place, e)
		return
	}
	a.down(place, e)
}

func (a *agenda) up(place int, e entry) {
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

func (a *agenda) down(place int, e entry) {
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

func (a agenda) set(place int, e entry) {
	a[place] = e
	e.pair.place = place
}
