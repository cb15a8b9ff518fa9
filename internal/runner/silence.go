// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// An agent that is not heard may be dead or cut off, its node may not answer, or only the stream of
// its log stands still. Pings tell: while a run waits, a plan that says nothing new is published
// every few seconds, and each agent answers it.
const (
	// pingEvery is how often.
	pingEvery = 5 * time.Second
	// silence is after what time without an answer a log is opened again.
	silence = 10 * time.Second
	// contact is after what time the run ends if no agent answers: a plan that is published reaches
	// one within an instant. Not so if the API server was away before: that breaks the logs off as
	// well, and clients pause for up to half a minute, and as long again by chance, before they try
	// it again, which takes them reconnect.
	contact   = 13 * time.Second
	reconnect = time.Minute
	// unheardAfter is after what time nothing is expected any more of an agent that is silent
	// while others answer.
	unheardAfter = 25 * time.Second
)

// silent are the living agents that have answered no ping from a number on, and that are still
// expected to. The caller holds the lock.
func (c *collector) silent(ping int) []*agentLog {
	var all []*agentLog
	for agent := range c.current() {
		if agent.hello != nil && agent.lost == "" && agent.answered < ping {
			all = append(all, agent)
		}
	}
	return all
}

// all reports whether something is so of every living agent that is heard.
func (c *collector) all(holds func(*agentLog) bool) bool {
	for agent := range c.current() {
		if agent.hello != nil && agent.lost == "" && !holds(agent) {
			return false
		}
	}
	return true
}

// expectAnswer sees to what becomes of agents that do not answer a ping which has just been sent.
// What one costs is its own pairs. The run ends if no agent answers within a time, or one that
// never has.
func (c *collector) expectAnswer(ping int, within time.Duration, servers []netip.AddrPort) {
	sent := time.Now()
	// One that writes is busy, and has perhaps not come to the plan yet.
	quiet := func(one *agentLog) bool { return one.heard.Before(sent) }
	undisturbed := func(one *agentLog) bool {
		return quiet(one) && time.Since(c.reopened) > reconnect &&
			time.Since(c.outage()) > reconnect
	}
	// A ping that the API server was away after says nothing: the next one does.
	always := func(*agentLog) bool { return c.outage().Before(sent) }

	time.AfterFunc(silence, func() { c.reopenLogs(ping, quiet) })
	time.AfterFunc(within, func() { c.endIfCutOff(ping, within, servers, undisturbed) })
	time.AfterFunc(unheardAfter, func() { c.giveUp(ping, unheardAfter, undisturbed) })
	time.AfterFunc(reconnect, func() { c.giveUp(ping, reconnect, always) })
	last := max(within, reconnect)
	time.AfterFunc(last, func() { c.endIfCutOff(ping, last, servers, always) })
}

// cutOffAfter is after what time of silence of all agents the run ends. From the second iteration
// on they are isolated as they were in the first, when they answered: if all are silent they are
// slow, as is everything on a busy cluster, and get as long as anything that is set up.
func (e *environment) cutOffAfter() time.Duration {
	if e.iterations > 1 {
		return e.options.SetupTimeout
	}
	return contact
}

// silentAnd are those of the silent agents of which something holds.
func (c *collector) silentAnd(ping int, holds func(*agentLog) bool) []*agentLog {
	return slices.DeleteFunc(c.silent(ping), func(one *agentLog) bool { return !holds(one) })
}

// reopenLogs has the logs of silent agents opened again from which nothing comes, and gives up
// those whose nodes are not ready: they cannot be read.
func (c *collector) reopenLogs(ping int, holds func(*agentLog) bool) {
	c.mu.Lock()
	silent := slices.DeleteFunc(c.silentAnd(ping, holds), func(one *agentLog) bool {
		return time.Since(one.flowed) < silence
	})
	for _, one := range silent {
		one.rereading, one.flowed = true, time.Now()
		select {
		case one.reopen <- struct{}{}:
		default: // it is on its way
		}
	}
	c.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), contact-silence)
	defer cancel()
	for _, one := range silent {
		if problem := c.namespace.NodeProblem(ctx, one.node); problem != "" {
			c.mu.Lock()
			c.markLost(ping, one, problem)
			c.mu.Unlock()
		}
	}
}

// endIfCutOff ends the run if no agent answers any more, or one never has.
func (c *collector) endIfCutOff(
	ping int, within time.Duration, servers []netip.AddrPort, holds func(*agentLog) bool,
) {
	c.mu.Lock()
	defer c.mu.Unlock()
	silent := c.silentAnd(ping, holds)
	if len(silent) == 0 || c.met && len(silent) < c.ready() {
		return
	}

	text := ""
	switch one := silent[0]; {
	case one.complaint != "":
		text = "; it says: " + one.complaint
	case one.trouble != "":
		text = "; its log: " + one.trouble
	}
	c.failed = fmt.Errorf("reach the agents: pod %s has not answered for %s: do its policies "+
		"let it reach the API server (%s), and can its log be read?%s%s", silent[0].pod.Name,
		within, strings.Join(texts(servers), ", "), c.wayOut, text)
	c.notify()
}

// giveUp expects nothing more of silent agents while others answer.
func (c *collector) giveUp(ping int, within time.Duration, holds func(*agentLog) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	silent := c.silentAnd(ping, holds)
	if len(silent) == c.ready() {
		return
	}

	for _, one := range silent {
		why := fmt.Sprintf("it has not answered for %s", within)
		if one.trouble != "" {
			why += ": " + one.trouble
		}
		c.markLost(ping, one, why)
	}
}

// markLost expects nothing more of an agent until it is heard again, and says why. The caller holds
// the lock.
func (c *collector) markLost(ping int, one *agentLog, why string) {
	if one.answered >= ping || one.lost != "" {
		return
	}

	one.lost = why
	text := fmt.Sprintf("agent pod %s is not heard: %s: its pairs have no result", one.pod.Name,
		why)
	c.warnings[text] = true
	if c.say != nil {
		c.say(text)
	}
	c.notify()
}

// texts are addresses as texts.
func texts(addresses []netip.AddrPort) []string {
	all := make([]string, len(addresses))
	for i, address := range addresses {
		all[i] = address.String()
	}
	return all
}

// errPing ends a wait, to go on after a ping.
var errPing = errors.New("the agents are asked whether they are there")

// await waits as the collector does, and asks the agents meanwhile whether they are there.
func (e *environment) await(ctx context.Context, condition func() bool) error {
	for {
		bounded, cancel := context.WithTimeoutCause(ctx, pingEvery, errPing)
		err := e.collector.await(bounded, condition)
		cancel()
		if !errors.Is(err, errPing) {
			return err
		}
		if err := e.publish(ctx, e.plan); err != nil {
			return err
		}
	}
}

// living are the UIDs of the agents' pods that are heard, by number. The caller holds the lock.
func (c *collector) living() map[int]string {
	all := make(map[int]string)
	for agent := range c.current() {
		if agent.hello != nil && agent.lost == "" {
			all[agent.hello.Agent] = agent.pod.UID
		}
	}
	return all
}

// livingAgents are the UIDs of the agents' pods that are heard, by number.
func (e *environment) livingAgents() map[int]string {
	e.collector.mu.Lock()
	defer e.collector.mu.Unlock()
	return e.collector.living()
}

// lostAgents are the numbers of the agents that are not heard.
func (e *environment) lostAgents() map[int]string {
	e.collector.mu.Lock()
	defer e.collector.mu.Unlock()
	return e.collector.lost()
}
