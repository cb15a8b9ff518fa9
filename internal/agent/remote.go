// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"hash/fnv"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/probe"
	"github.com/netpol-latency/netpol-latency/internal/result"
)

// RemoteConfig says how an agent works for a runner.
type RemoteConfig struct {
	// Config has the namespaces, the selector of the targets and how to probe.
	Config
	// Index is the agent's number among all Agents, from 0: it probes its share of the targets.
	Index, Agents int
}

// RunRemote probes what the plan in the agent's namespace says, round after round, and writes numbered
// lines, until the plan says exit or the context ends.
func RunRemote(ctx context.Context, config RemoteConfig, out io.Writer) (err error) {
	client, err := kube.Connect(config.Kubeconfig, "netpol-latency-agent")
	if err != nil {
		return err
	}
	engine, err := startEngine(config.Config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	r := newRemote(config, engineOf{engine}, out)
	if err := r.hello(engine); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var watches errgroup.Group
	plans, pods := make(chan measure.Event), make(chan measure.Event)
	watches.Go(func() error {
		return kube.WatchConfigMap(ctx, client, config.ClientNamespace, result.PlanName, into(ctx, plans))
	})
	watches.Go(func() error {
		return kube.WatchPods(ctx, client, config.TargetNamespace, config.TargetSelector, into(ctx, pods), func() {})
	})
	defer func() {
		cancel()
		_ = watches.Wait() // it ends with the cancellation just asked for
	}()
	return r.run(ctx, plans, pods)
}

// remote is the state of an agent. It belongs to one goroutine.
type remote struct {
	config RemoteConfig
	prober prober
	lines  *result.Lines
	plan   result.Plan
	// targets are the living target pods that have an address, by UID; old are those from before the trigger.
	targets map[string]measure.Event
	old     map[string]bool
	pairs   map[*pair]bool // of this round, without a result
	done    map[pairKey]bool
	holders map[netip.Addr]string // the UID of the pod that an address belongs to
	proved  int
	told    int // how many proved pairs the runner knows of
	// presumed are pairs of this round that are presumed to be blocked; presumedTold are those that the runner knows of.
	presumed     *atomic.Int64
	presumedTold int64
	samples      int // written in this round

	provedMail, finished *mailbox[*pair]
}

// pairKey names a pair of a round.
type pairKey struct {
	uid  string
	port int
}

func newRemote(config RemoteConfig, prober prober, out io.Writer) *remote {
	return &remote{
		config: config, prober: prober, lines: result.NewLines(out),
		presumed: new(atomic.Int64), targets: make(map[string]measure.Event), old: make(map[string]bool),
		provedMail: newMailbox[*pair](), finished: newMailbox[*pair](),
	}
}

// hello says who the agent is, and on which kernel: processes of one kernel share their clock.
func (r *remote) hello(engine *probe.Engine) error {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		boot = nil // the runner then measures the difference of the clocks
	}
	err = r.lines.Write(result.Line{Hello: &result.Hello{
		Agent: r.config.Index, Boot: strings.TrimSpace(string(boot)), Mode: string(engine.Mode), Reason: engine.Reason,
	}})
	for _, warning := range engine.Warnings {
		err = errors.Join(err, r.lines.Write(result.Line{Warn: &result.Warning{Text: warning}}))
	}
	return err
}

// tellEvery is how often the runner hears how many pairs are proved.
const tellEvery = 100 * time.Millisecond

func (r *remote) run(ctx context.Context, plans, pods <-chan measure.Event) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return r.end()
		case event := <-plans:
			var exit bool
			if exit, err = r.obey(event); exit {
				return r.end()
			}
		case event := <-pods:
			r.observe(event)
		case <-r.provedMail.full:
			r.count()
		case <-r.finished.full:
			err = r.returned()
		case <-tick.C:
			err = r.tell()
		}
		if err != nil {
			return err
		}
	}
}

// end ends what is still open, so that its results are written.
func (r *remote) end() error {
	r.finish()
	for len(r.pairs) > 0 {
		<-r.finished.full
		if err := r.returned(); err != nil {
			return err
		}
	}
	return nil
}

// obey carries out a plan.
func (r *remote) obey(event measure.Event) (exit bool, err error) {
	if event.Type == measure.EventDeleted {
		return true, nil
	}
	plan, err := result.ParsePlan(event.Data[result.PlanName])
	if err != nil {
		return false, err
	}
	previous := r.plan
	r.plan = plan
	if plan.Ping != previous.Ping {
		clock := result.Clock{Ping: plan.Ping, Received: event.Arrived, Sent: time.Now()}
		if err := r.lines.Write(result.Line{Clock: &clock}); err != nil {
			return false, err
		}
	}
	if plan.Round != previous.Round {
		if err := r.begin(); err != nil {
			return false, err
		}
	}
	switch {
	case plan.Step == result.StepExit:
		return true, nil
	case plan.Step == previous.Step && plan.Round == previous.Round:
	case plan.Step == result.StepTrigger:
		r.trigger(event.Arrived)
	case plan.Step == result.StepFinish:
		r.finish()
		return false, r.conclude()
	}
	return false, nil
}

// begin starts a round: the pairs of the one before have ended, or nobody waits for them any more.
func (r *remote) begin() error {
	for p := range r.pairs {
		p.end(errRunEnded)
	}
	r.pairs, r.done, r.holders = make(map[*pair]bool), make(map[pairKey]bool), make(map[netip.Addr]string)
	r.old = make(map[string]bool)
	r.proved, r.told, r.samples = 0, 0, 0
	r.presumed, r.presumedTold = new(atomic.Int64), 0
	for uid, target := range r.targets {
		r.old[uid] = true
		if !r.plan.NewPods {
			r.follow(target)
		}
	}
	return r.lines.Write(result.Line{Proved: &result.Pairs{Round: r.plan.Round}})
}

// observe takes in a target pod's event.
func (r *remote) observe(event measure.Event) {
	uid := event.Object.UID
	if event.Type == measure.EventDeleted || event.Finished {
		delete(r.targets, uid)
		r.gone(uid)
		return
	}
	if _, known := r.targets[uid]; known || len(event.Addresses) == 0 {
		return
	}
	r.targets[uid] = event
	waiting := r.plan.Step == result.StepProve || r.plan.Step == result.StepTrigger
	if waiting && (!r.plan.NewPods || !r.old[uid]) {
		r.follow(event)
	}
}

// gone ends the pairs of a pod.
func (r *remote) gone(uid string) {
	for p := range r.pairs {
		if p.pod.UID == uid {
			p.end(errTargetGone)
		}
	}
}

// mine reports whether the target is in this agent's share.
func (r *remote) mine(uid string) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(uid)) // it never fails
	return int(h.Sum32()%uint32(r.config.Agents)) == r.config.Index
}

// follow starts to probe the pairs of a target that the plan names and that have no result yet.
func (r *remote) follow(target measure.Event) {
	address, ok := r.address(target)
	if !ok || !r.mine(target.Object.UID) {
		return
	}
	if old := r.holders[address]; old != "" && old != target.Object.UID {
		r.gone(old) // its address is another pod's now: what answers there would be taken for it
	}
	r.holders[address] = target.Object.UID
	for _, expect := range r.plan.Expect {
		key := pairKey{target.Object.UID, expect.Port}
		if expect.Group != target.Labels[result.GroupLabel] || r.done[key] {
			continue
		}
		r.done[key] = true
		p := r.newPair(target, address, expect)
		r.pairs[p] = true
		p.probing = r.prober.follow(netip.AddrPortFrom(address, uint16(expect.Port)), p)
		if r.plan.Step == result.StepTrigger {
			p.probing.Trigger(target.Arrived)
		}
	}
}

// address is the target's address of the family that is asked for.
func (r *remote) address(target measure.Event) (netip.Addr, bool) {
	for _, address := range target.Addresses {
		if address.Is6() == r.plan.IPv6 {
			return address, true
		}
	}
	return netip.Addr{}, false
}

func (r *remote) newPair(target measure.Event, address netip.Addr, expect result.Expect) *pair {
	p := &pair{
		pod: target.Object, node: target.Node, created: target.Created, assigned: target.Arrived, address: address, expect: expect,
		round: r.plan.Round, scenario: expect.Name(r.plan.Scenario),
		afterTrigger: r.plan.Step == result.StepTrigger && !r.plan.NewPods,
	}
	if !expect.Forbidden {
		p.follow.presumed = r.presumed
	}
	want := measure.StateAllowed
	if expect.Want == measure.StateBlocked.String() {
		want = measure.StateBlocked
	}
	p.follow.renew = func() measure.Transition { return measure.NewTransition(want, r.config.rules()) }
	p.follow.transition, p.follow.finished = p.follow.renew(), r.finished
	if r.plan.Step == result.StepProve && !r.plan.NewPods {
		p.follow.proved = r.provedMail
	}
	return p
}

// count takes in the pairs whose old state has been seen, or has been refuted. After the trigger was announced nothing is
// proved any more.
func (r *remote) count() {
	for _, p := range r.provedMail.take() {
		shown := p.follow.shown.Load()
		if p.round != r.plan.Round || shown == p.proved || shown && r.plan.Step != result.StepProve {
			continue
		}
		if p.proved = shown; shown {
			r.proved++
		} else {
			r.proved--
		}
	}
}

// tell tells the runner how many pairs are proved, and how many presumed to be blocked, if that is news.
func (r *remote) tell() error {
	if r.proved != r.told {
		r.told = r.proved
		if err := r.lines.Write(result.Line{Proved: &result.Pairs{Round: r.plan.Round, Pairs: r.proved}}); err != nil {
			return err
		}
	}
	presumed := r.presumed.Load()
	if presumed == r.presumedTold {
		return nil
	}
	r.presumedTold = presumed
	return r.lines.Write(result.Line{Presumed: &result.Pairs{Round: r.plan.Round, Pairs: int(presumed)}})
}

// trigger lets the pairs be probed as often as the time after a trigger asks for.
func (r *remote) trigger(at time.Time) {
	for p := range r.pairs {
		p.follow.armed.Store(true)
		p.probing.Trigger(at)
	}
	r.count()
}

// finish ends the pairs that have no result.
func (r *remote) finish() {
	for p := range r.pairs {
		p.end(errRunEnded)
	}
}

// returned takes back the pairs whose probing has ended, and writes their samples.
func (r *remote) returned() error {
	for _, p := range r.finished.take() {
		if !r.pairs[p] {
			continue // of an earlier round
		}
		delete(r.pairs, p)
		r.samples++
		if err := r.lines.WriteSample(r.judge(p)); err != nil {
			return err
		}
	}
	return r.conclude()
}

// conclude says that the round has no open pair, once it is to have none.
func (r *remote) conclude() error {
	if r.plan.Step != result.StepFinish || len(r.pairs) > 0 {
		return nil
	}
	klog.Infof("Round %d: %d samples", r.plan.Round, r.samples)
	return r.lines.Write(result.Line{Round: &result.Round{Round: r.plan.Round, Samples: r.samples}})
}

// judge makes the sample of a pair that has ended. The runner adds the start, unless it is the arrival of
// the pod's address.
func (r *remote) judge(p *pair) measure.Sample {
	sample := p.sample(p.expect.Port)
	sample.Round, sample.Agent, sample.Created = p.round, r.config.Index, p.created
	sample.Want = p.follow.transition.Want()
	if r.config.Probe == probe.Established && !p.expect.Forbidden {
		sample.Kind = measure.KindOpen
	}
	switch {
	case r.plan.NewPods:
		return sample.WithStart(measure.Start{Source: measure.StartAddress, At: p.assigned}, 0)
	case p.afterTrigger:
		return sample.Invalidate(measure.ProbedLate)
	case !p.proved && sample.Status != measure.Deleted:
		return sample.Invalidate(measure.NeverSeen(opposite(p.expect)))
	}
	return sample
}

// opposite names the state that a pair leaves.
func opposite(expect result.Expect) measure.State {
	if expect.Want == measure.StateBlocked.String() {
		return measure.StateAllowed
	}
	return measure.StateBlocked
}
