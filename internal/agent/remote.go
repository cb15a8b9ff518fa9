// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/internal/protocol"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// RemoteConfig says how an agent works for a runner.
type RemoteConfig struct {
	// Config has the namespaces, the selector of the targets and how to probe.
	Config
	// Index is the agent's number among all Agents, from 0: it probes its share of the targets.
	Index, Agents int
	// Plan is the name of the config map with the plan.
	Plan string
	// Pod is the name of the pod that the agent runs in, empty if it does not know.
	Pod string
	// OpenConnections says that plans will ask for pairs whose connections stay open, too.
	OpenConnections bool
	// Skew is what is wrong with its clock, in tests.
	Skew Skew
}

// DefaultPlan is the name of the config map with the plan, unless there is another.
const DefaultPlan = protocol.PlanName

// share selects the targets of this agent: all of them if there is no other.
func (c RemoteConfig) share() string {
	if c.Agents == 1 {
		return c.TargetSelector
	}
	return fmt.Sprintf("%s,%s=%d", c.TargetSelector, protocol.AgentLabel, c.Index)
}

// RunRemote probes what the plan in the agent's namespace says, iteration after iteration, and
// writes numbered lines, until the plan says exit. That the context ends before is an error.
func RunRemote(ctx context.Context, config RemoteConfig, out io.Writer) (err error) {
	client, err := kube.ConnectAgent(config.Kubeconfig, "netpol-latency-agent")
	if err != nil {
		return err
	}
	objects, err := kube.ConnectMetadata(config.Kubeconfig, "netpol-latency-agent")
	if err != nil {
		return err
	}
	// All agents together send no more control probes than reads.
	config.ConntrackShare = config.Agents // until the plan says how many share a node
	engine, err := startEngine(config.Config,
		control(ctx, config.Kubeconfig, kube.ReadInterval(config.Agents)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	var prober prober = engineOf{engine}
	if config.OpenConnections {
		open, err := startEngine(config.ofOpen(), probe.Control{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, open.Close()) }()
		prober = twoEngines{engineOf{engine}, engineOf{open}}
	}

	r := newRemote(config, prober, out)
	r.read = readerOf(objects)
	if err := r.hello(engine); err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	home := kube.Namespace{Client: client, Name: config.ClientNamespace}
	targets := kube.Namespace{Client: client, Name: config.TargetNamespace}
	plans, pods := make(chan measure.Event), make(chan measure.Event)
	var watches errgroup.Group
	watches.Go(func() error {
		return home.WatchConfigMap(ctx, config.Plan, into(ctx, plans))
	})
	watches.Go(func() error {
		return targets.WatchPods(ctx, config.share(), into(ctx, pods), func() {})
	})
	defer func() {
		cancel()
		_ = watches.Wait() // it ends with the cancellation just asked for
	}()
	return r.run(ctx, plans, pods)
}

// remote is the state of an agent. It belongs to one goroutine.
type remote struct {
	config  RemoteConfig
	lines   *protocol.Lines
	plan    protocol.Plan
	scale   *timescale
	tracker *tracker
	// accepting says that pods which come become targets of this iteration, old has those from
	// before it.
	accepting bool
	old       map[string]bool
	// toldProved and toldPresumed are how many such pairs the runner knows of.
	toldProved, toldPresumed int
	samples                  int // written in this iteration
	// dying says that the pod is being ended: another may come in its place.
	dying bool

	// read reads what the trigger changes, nil if that cannot be. What was found out comes through
	// accepted; triggered is the start of this iteration, zero as long as it is not known.
	read        reader
	accepted    chan accepted
	stopReading context.CancelFunc
	triggered   measure.Start
}

func newRemote(config RemoteConfig, prober prober, out io.Writer) *remote {
	r := &remote{
		config: config, lines: protocol.NewLines(out),
		scale:    newTimescale(prober.Epoch(), config.Skew),
		accepted: make(chan accepted), stopReading: func() {},
	}
	r.tracker = newTracker(r, prober)
	return r
}

// hello says who the agent is, and on which kernel: processes of one kernel share their clock.
func (r *remote) hello(engine *probe.Engine) error {
	err := r.lines.Write(protocol.Line{Hello: &protocol.Hello{
		Agent: r.config.Index, Boot: protocol.BootID(), Mode: string(engine.Mode),
		Reason: engine.Reason,
	}})
	for _, warning := range engine.Warnings {
		err = errors.Join(err, r.lines.Write(protocol.Line{Warn: &protocol.Warning{Text: warning}}))
	}
	return err
}

// errEvicted is how an agent ends that is ended before its run. To the job that it is of it must
// have failed, or nothing would be started in its place.
var errEvicted = errors.New("this agent was ended before the run")

// notifyEvery is how often the runner is told how many pairs are proved.
const notifyEvery = 100 * time.Millisecond

func (r *remote) run(ctx context.Context, plans, pods <-chan measure.Event) error {
	tick := time.NewTicker(notifyEvery)
	defer tick.Stop()
	defer func() { r.stopReading() }()

	for {
		var err error
		select {
		case <-ctx.Done():
			r.dying = true
			return errors.Join(errEvicted, r.tracker.drain(errRunEnded))
		case event := <-plans:
			var exit bool
			if exit, err = r.execute(ctx, event); exit {
				return r.tracker.drain(errRunEnded)
			}
		case event := <-pods:
			r.observe(event)
		case accepted := <-r.accepted:
			if accepted.iteration == r.plan.Iteration {
				r.triggered = accepted.start
				r.tracker.accept(accepted.start.Latest())
			}
		case <-r.tracker.notices.ready:
			err = r.tracker.handle()
		case <-tick.C:
			r.scale.checkSteps()
			err = r.notify()
		}
		if err != nil {
			return err
		}
	}
}

// execute carries out a plan.
func (r *remote) execute(ctx context.Context, event measure.Event) (exit bool, err error) {
	if event.Type == measure.EventDeleted {
		return true, nil
	}
	plan, err := protocol.ParsePlan(event.Data[protocol.PlanName])
	if err != nil {
		return false, err
	}

	previous := r.plan
	r.plan = plan
	r.tracker.prober.DropsAreHere(plan.Egress)
	if plan.Share != previous.Share || plan.Left != previous.Left {
		r.tracker.prober.LimitConntrack(probe.ConntrackBudget(plan.Share, plan.Left))
	}
	if plan.Iteration != previous.Iteration {
		if err := r.begin(); err != nil {
			return false, err
		}
	}

	switch {
	case plan.Step == protocol.StepExit:
		return true, nil
	case plan.Step == previous.Step && plan.Iteration == previous.Iteration:
	case plan.Step == protocol.StepTrigger:
		r.tracker.trigger(event.Arrived)
		err = r.followTrigger(ctx)
	case plan.Step == protocol.StepFinish:
		r.accepting = false
		r.stopReading() // a change that has not been seen by now has no start from reads
		r.tracker.stopAll(errRunEnded)
		err = r.conclude()
	}
	if err != nil || plan.Ping == previous.Ping {
		return false, err
	}

	clock := protocol.Clock{
		Ping: plan.Ping, Received: r.scale.at(event.Arrived), Sent: r.scale.at(time.Now()),
	}
	return false, r.lines.Write(protocol.Line{Clock: &clock})
}

// begin starts an iteration: the pairs of the one before have ended, or nobody waits for them any
// more.
func (r *remote) begin() error {
	r.old = make(map[string]bool)
	for uid := range r.tracker.pods {
		r.old[uid] = true
	}
	r.accepting, r.samples, r.triggered = true, 0, measure.Start{}
	r.toldProved, r.toldPresumed = 0, 0
	r.start(r.tracker.restart())
	return r.lines.Write(protocol.Line{Proved: &protocol.Pairs{Iteration: r.plan.Iteration}})
}

// observe takes in a pod's event. A pod that has no address is not there yet.
func (r *remote) observe(event measure.Event) {
	if event.Type == measure.EventDeleted || event.Finished || len(event.Addresses) > 0 {
		r.start(r.tracker.observe(event))
	}
}

// start begins to probe pairs.
func (r *remote) start(pairs []*pair) {
	for _, p := range pairs {
		r.tracker.start(p)
		if r.plan.Step == protocol.StepTrigger {
			p.trigger(p.assigned)
		}
	}
}

// targets implements program: the plan names the groups, and the pods of each are shared among the
// agents.
func (r *remote) targets(pod measure.Event) []*pair {
	uid := pod.Object.UID
	_, reachable := r.address(pod)
	if !r.accepting || !reachable || r.plan.NewPods && r.old[uid] {
		return nil
	}

	var all []*pair
	for _, expect := range r.plan.Expect {
		if expect.Group == pod.Labels[protocol.GroupLabel] {
			all = append(all, r.newPair(pod, expect))
		}
	}
	return all
}

// address implements program: the one of the family that is asked for counts.
func (r *remote) address(pod measure.Event) (netip.Addr, bool) {
	for _, address := range pod.Addresses {
		if address.Is6() == r.plan.IPv6 {
			return address, true
		}
	}
	return netip.Addr{}, false
}

func (r *remote) newPair(pod measure.Event, expect protocol.Expect) *pair {
	p := &pair{
		pod: pod.Object, created: pod.Created, port: expect.Port, expect: expect,
		steps:     r.scale.steps,
		iteration: r.plan.Iteration, scenario: expect.Name(r.plan.Scenario),
		afterTrigger: r.plan.Step == protocol.StepTrigger && !r.plan.NewPods,
	}

	want := measure.StateAllowed
	if expect.Want == measure.StateBlocked.String() {
		want = measure.StateBlocked
	}

	p.observed.transition = measure.NewTransition(want, r.config.rules())
	if expect.Keep != "" {
		watch := measure.NewWatch(want.Opposite(), r.config.rules())
		p.observed.watch = &watch
	}
	p.observed.oldState.Announced = true
	if r.plan.Step != protocol.StepProve || r.plan.NewPods {
		p.observed.oldState.Close() // it is too late for a proof, or there is nothing to prove
	}

	return p
}

// notify tells the runner how many pairs are proved, and how many presumed to be blocked, if that
// has changed.
func (r *remote) notify() error {
	// While the rate is searched for no trigger must be written.
	if proved := r.tracker.proved; proved != r.toldProved && r.tracker.prober.Pace().Found {
		r.toldProved = proved
		line := protocol.Line{Proved: &protocol.Pairs{Iteration: r.plan.Iteration, Pairs: proved}}
		if err := r.lines.Write(line); err != nil {
			return err
		}
	}

	presumed := r.tracker.presumed
	if presumed == r.toldPresumed {
		return nil
	}

	r.toldPresumed = presumed
	return r.lines.Write(protocol.Line{Presumed: &protocol.Pairs{Iteration: r.plan.Iteration,
		Pairs: presumed}})
}

// finish implements program: it writes the pair's sample, and after the last one that the iteration
// has ended.
func (r *remote) finish(p *pair) error {
	if r.dying && errors.Is(p.cause, errRunEnded) {
		return nil // what has not been watched to its end is no result
	}
	r.samples++
	sample := r.scale.sample(r.sampleOf(p), p.steps)
	if err := writeSample(r.lines, sample); err != nil {
		return err
	}
	return r.conclude()
}

// conclude says that the iteration has no open pair, once it is to have none.
func (r *remote) conclude() error {
	if r.plan.Step != protocol.StepFinish || len(r.tracker.open) > 0 {
		return nil
	}
	klog.Infof("Iteration %d: %d samples", r.plan.Iteration, r.samples)
	return r.lines.Write(
		protocol.Line{
			Finished: &protocol.Finished{
				Iteration: r.plan.Iteration, Samples: r.samples,
				Entries: r.tracker.prober.ConntrackEntries(), Stay: probe.ConntrackLife,
			},
		},
	)
}

// writeSample writes a sample as a line.
func writeSample(lines *protocol.Lines, sample measure.Sample) error {
	text, err := result.Marshal(sample)
	if err != nil {
		return err
	}
	return lines.Write(protocol.Line{Sample: text})
}

// sampleOf is the sample of a pair that has ended. Its start is the arrival of the pod's address,
// or what reads have found of the trigger; the runner adds what its own write tells.
func (r *remote) sampleOf(p *pair) measure.Sample {
	sample := p.sample()
	sample.Iteration, sample.Agent, sample.Created = p.iteration, r.config.Index, p.created
	sample.Want = p.observed.transition.Want()

	switch {
	case r.plan.NewPods:
		return sample.WithStart(measure.Start{Source: measure.StartAddress, At: p.assigned}, 0)
	case p.afterTrigger:
		return sample.Invalidate(measure.ProbedLate)
	case sample.Status == measure.Unobserved:
		return sample
	case !p.observed.oldState.Proved() && sample.Status != measure.Deleted:
		return sample.Invalidate(measure.NeverSeen(sample.Want.Opposite()))
	case p.iteration == r.plan.Iteration && r.triggered.Source != "":
		return sample.WithStart(r.triggered, 0)
	}

	return sample
}
