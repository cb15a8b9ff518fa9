// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/result"
	"github.com/netpol-latency/netpol-latency/internal/setting"
	"github.com/netpol-latency/netpol-latency/internal/visible"
)

// pairKey names a pair of one iteration: the pod and the port that are probed, or the pod that
// probes from inside and what.
type pairKey struct {
	iteration int
	uid       string
	port      uint16
	scenario  string
}

// agentLog is what one incarnation of an agent has written.
type agentLog struct {
	pod     measure.Object
	node    string
	created time.Time
	hello   *protocol.Hello
	seen    int       // the newest line's number
	heard   time.Time // when it was read
	clock   clock
	proved  protocol.Pairs
	// presumed are pairs that wait for the proof that they are blocked.
	presumed protocol.Pairs
	finished int // the newest iteration that it has finished
	left     leftover
	answered int // the newest ping that it has answered
	// reopen has the log opened again, rereading says that it was, flowed when anything came from
	// it, and trouble why it could not be read last.
	reopen    chan struct{}
	rereading bool
	flowed    time.Time
	trouble   string
	// lost is why nothing is expected of the agent, empty as long as it is heard.
	lost string
	// complaint is the newest warning or error that the agent's libraries have written.
	complaint string
}

// collector gathers what the agents write. Its methods may be called from any goroutine.
type collector struct {
	namespace kube.Namespace
	shared    bool // whether agents on this kernel share the clock
	boot      string
	say       func(text string) // tells a person at once; nil if nobody is to be told
	outage    func() time.Time  // when the API server was away last
	wayOut    string            // what keeps agents from being cut off, if anything does

	mu       sync.Mutex
	agents   map[string]*agentLog // by pod UID
	samples  map[pairKey]measure.Sample
	fresh    []pairKey            // of samples that nobody has counted yet
	clocks   map[int]*clock       // by the agent's number
	newest   map[int]*agentLog    // of the newest pods, by the agent's number
	began    map[string]time.Time // when agents said hello, by the UIDs of their pods
	warnings map[string]bool
	pings    map[int]time.Time // when each was sent
	changed  chan struct{}     // closed and replaced at every change
	failed   error             // what ends the run: nothing that is waited for can come any more
	met      bool              // whether all agents have answered a plan, once
	reopened time.Time         // when a log was read again
	reading  sync.WaitGroup
}

func newCollector(namespace kube.Namespace, clocks string) *collector {
	return &collector{
		namespace: namespace,
		shared:    clocks == setting.ClockAuto,
		outage:    func() time.Time { return time.Time{} },
		boot:      protocol.BootID(),
		agents:    make(map[string]*agentLog),
		samples:   make(map[pairKey]measure.Sample),
		clocks:    make(map[int]*clock),
		newest:    make(map[int]*agentLog),
		began:     make(map[string]time.Time),
		warnings:  make(map[string]bool),
		pings:     make(map[int]time.Time),
		changed:   make(chan struct{}),
	}
}

// run reads the logs of all agents, also of those that are started later, until the context ends.
func (c *collector) run(ctx context.Context, selector string) error {
	err := c.namespace.WatchPods(ctx, selector,
		func(event measure.Event) { c.observe(ctx, event) }, func() {})
	c.reading.Wait()
	return err
}

func (c *collector) observe(ctx context.Context, event measure.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.notify()

	uid := event.Object.UID
	if event.Type == measure.EventDeleted {
		delete(c.agents, uid)
		return
	}

	if c.agents[uid] != nil || len(event.Addresses) == 0 || event.Finished {
		return
	}
	agent := &agentLog{
		pod: event.Object, node: event.Node, created: event.Created,
		reopen: make(chan struct{}, 1),
	}
	c.agents[uid] = agent
	c.reading.Go(func() {
		c.readLog(ctx, agent)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.agents, uid)
		c.notify()
	})
}

// readLog reads an agent's log until its end.
func (c *collector) readLog(ctx context.Context, agent *agentLog) {
	err := kube.Log{
		Namespace: c.namespace, Pod: agent.pod.Name, Container: agentName, Reopen: agent.reopen,
		Take: func(line []byte) error { return c.take(agent, line) },
		Broken: func(err error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			agent.trouble = err.Error()
		},
	}.Follow(ctx)
	if err != nil && ctx.Err() == nil {
		c.logEnded("agent pod "+agent.pod.Name, err)
	}
}

// logEnded takes in that there is no more of a log. What this user may not read ends the run.
func (c *collector) logEnded(whose string, err error) {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		c.fail(err)
		return
	}
	c.warn(fmt.Sprintf("the log of %s ended: %v", whose, err))
}

// fail ends the run.
func (c *collector) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = err
	c.notify()
}

// notify wakes those who wait. The caller holds the lock.
func (c *collector) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// wake has those who wait look again: time has passed.
func (c *collector) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notify()
}

// warn keeps a warning once.
func (c *collector) warn(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warnings[text] = true
}

// take reads one line of an agent's log.
func (c *collector) take(agent *agentLog, text []byte) error {
	came := time.Now()
	return c.read(agent, text, func(line protocol.Line) error {
		return c.record(agent, line, came)
	})
}

// takeSample reads one line of a log for its sample, if it has one.
func (c *collector) takeSample(log *agentLog, text []byte, record func(measure.Sample)) error {
	return c.read(log, text, func(line protocol.Line) error {
		if line.Sample == nil {
			return nil
		}
		sample, err := result.Unmarshal(line.Sample)
		if err == nil {
			record(sample)
		}
		return err
	})
}

// read hands a line on, under the lock. The lines that it has read before come again when a log had
// to be opened anew, and what libraries write is no line of ours.
func (c *collector) read(agent *agentLog, text []byte, record func(protocol.Line) error) error {
	if !bytes.HasPrefix(text, []byte(protocol.LinePrefix)) {
		c.mu.Lock()
		defer c.mu.Unlock()
		agent.complain(string(text))
		return nil
	}
	var line protocol.Line
	if err := json.Unmarshal(text, &line); err != nil {
		c.warn(unreadable(agent, err))
		return nil
	}
	visible.Fields(&line)

	c.mu.Lock()
	defer c.mu.Unlock()

	agent.flowed = time.Now()
	if line.Seq <= agent.seen {
		if !agent.rereading {
			c.reopened = time.Now()
		}
		return nil
	}
	if lost := line.Seq - agent.seen - 1; lost > 0 {
		text := fmt.Sprintf("%d lines of agent pod %s are missing from its log: "+
			"their results are lost", lost, agent.pod.Name)
		c.warnings[text] = true
	}

	agent.seen, agent.heard = line.Seq, agent.flowed
	agent.rereading, agent.trouble, agent.lost = false, "", ""
	defer c.notify()

	if line.Hello != nil {
		if err := protocol.CheckVersion("pod "+agent.pod.Name, line.Hello.Protocol); err != nil {
			c.failed = fmt.Errorf("read the log of an agent: %w", err)
			return err
		}
	}
	if err := record(line); err != nil {
		c.warnings[unreadable(agent, err)] = true
	}

	return nil
}

// complain keeps what a library has written, if it is a warning or an error: klog's lines begin
// with the severity and the date, and have the text after a bracket.
func (a *agentLog) complain(line string) {
	head, text, found := strings.Cut(line, "] ")
	if found && len(head) > 1 && strings.ContainsRune("WEF", rune(head[0])) &&
		head[1] >= '0' && head[1] <= '9' {
		a.complaint = text
	}
}

// record takes in a new line.
func (c *collector) record(agent *agentLog, line protocol.Line, came time.Time) error {
	switch {
	case line.Hello != nil:
		c.greet(agent, line.Hello)
	case line.Clock != nil:
		agent.answered = max(agent.answered, line.Clock.Ping)
		c.met = c.met || len(c.silent(1)) == 0
		sent, known := c.pings[line.Clock.Ping]
		if known && agent.clock.exchange(sent, *line.Clock, came) {
			text := fmt.Sprintf("the clock of agent %s or of this machine was set during the run",
				agent.pod.Name)
			c.warnings[text] = true
		}
	case line.Proved != nil:
		agent.proved = *line.Proved
	case line.Presumed != nil:
		agent.presumed = *line.Presumed
	case line.Finished != nil:
		agent.finished = line.Finished.Iteration
		agent.left = leftover{line.Finished.Entries, came.Add(line.Finished.Stay)}
	case line.Warn != nil:
		c.warnings[line.Warn.Text] = true
	case line.Sample != nil:
		sample, err := result.Unmarshal(line.Sample)
		if err != nil {
			return err
		}
		sample.Client, sample.ClientNode = agent.pod, agent.node
		key := pairKey{
			sample.Iteration,
			sample.Target.Pod.UID,
			sample.Target.Address.Port(),
			sample.Scenario,
		}
		if _, again := c.samples[key]; !again {
			c.samples[key] = sample
			c.fresh = append(c.fresh, key)
		}
	}

	return nil
}

// greet takes in who an agent is. Of several pods with its number the newest one is it: another may
// be there as long as its node does not answer.
func (c *collector) greet(agent *agentLog, hello *protocol.Hello) {
	agent.hello, c.began[agent.pod.UID] = hello, time.Now()
	agent.clock.shared = c.shared && c.boot != "" && hello.Boot == c.boot
	known := c.newest[hello.Agent]
	if known != nil {
		c.warnings[fmt.Sprintf("agent %d was replaced during the run by another pod: pairs "+
			"of the iteration under way have no result", hello.Agent)] = true
	}
	if known == nil || !agent.created.Before(known.created) {
		c.newest[hello.Agent], c.clocks[hello.Agent] = agent, &agent.clock
	}
}

// await waits until a condition holds, the context ends or no agent can be understood. The
// condition is asked under the lock.
func (c *collector) await(ctx context.Context, condition func() bool) error {
	for {
		c.mu.Lock()
		holds, changed, failed := condition(), c.changed, c.failed
		c.mu.Unlock()
		switch {
		case failed != nil:
			return failed
		case holds:
			return nil
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// takeFresh are the keys of the samples that have come since the last call. The caller holds the
// lock.
func (c *collector) takeFresh() []pairKey {
	fresh := c.fresh
	c.fresh = nil
	return fresh
}

// failure is what ends the run, nil if nothing does.
func (c *collector) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// unreadable is the warning about a line that is lost.
func unreadable(agent *agentLog, err error) string {
	return fmt.Sprintf("agent pod %s wrote a line that cannot be read: %v", agent.pod.Name, err)
}

// current are the agents that count: the newest pod of each number. The caller holds the lock.
func (c *collector) current() iter.Seq[*agentLog] {
	return func(yield func(*agentLog) bool) {
		for _, agent := range c.agents {
			superseded := agent.hello != nil && c.newest[agent.hello.Agent] != agent
			if !superseded && !yield(agent) {
				return
			}
		}
	}
}

// ready counts the agents that have said hello and are heard. The caller holds the lock.
func (c *collector) ready() int {
	count := 0
	for agent := range c.current() {
		if agent.hello != nil && agent.lost == "" {
			count++
		}
	}
	return count
}

// lost says why agents that have said hello are not heard any more, by their numbers. The caller
// holds the lock.
func (c *collector) lost() map[int]string {
	all := make(map[int]string)
	for agent := range c.current() {
		if agent.hello != nil && agent.lost != "" {
			all[agent.hello.Agent] = agent.lost
		}
	}
	return all
}

// byNode counts the agents on each node.
func (c *collector) byNode() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	nodes := make(map[string]int)
	for _, agent := range c.agents {
		nodes[agent.node]++
	}
	return nodes
}

// proved counts the pairs of an iteration that are proved, and the agents that know of it. The
// caller holds the lock.
func (c *collector) proved(iteration int) (pairs, agents int) {
	for agent := range c.current() {
		if agent.lost == "" && agent.proved.Iteration == iteration {
			pairs += agent.proved.Pairs
			agents++
		}
	}
	return pairs, agents
}

// presumed counts the pairs of an iteration that are presumed to be blocked. The caller holds the
// lock.
func (c *collector) presumed(iteration int) int {
	pairs := 0
	for agent := range c.current() {
		if agent.lost == "" && agent.presumed.Iteration == iteration {
			pairs += agent.presumed.Pairs
		}
	}
	return pairs
}

// finished reports whether every living agent has finished an iteration. The caller holds the lock.
func (c *collector) finished(iteration int) bool {
	return c.all(func(agent *agentLog) bool { return agent.finished >= iteration })
}

// answered reports whether every living agent has answered a ping, and so does what the plan with
// it says. The caller holds the lock.
func (c *collector) answered(ping int) bool {
	return c.all(func(agent *agentLog) bool { return agent.answered >= ping })
}

// clockOf is the clock of the newest agent with a number. The caller holds the lock.
func (c *collector) clockOf(number int) *clock {
	if known, ok := c.clocks[number]; ok {
		return known
	}
	return new(clock)
}

// pinged notes when a ping was sent.
func (c *collector) pinged(ping int, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pings[ping] = at
	delete(c.pings, ping-exchanges)
}

// errSetupTimeout is why something that had to come up did not.
var errSetupTimeout = errors.New("it took too long")
