// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

const (
	// volumeRetry is the pause before the volumes of a pod are tried again, for example because the
	// namespace has no kube-root-ca.crt yet.
	volumeRetry = 200 * time.Millisecond
	// volumeRefresh is how often tokens are renewed (if due) and changed ConfigMaps and Secrets
	// arrive.
	volumeRefresh = time.Minute
	// rejected is the reason of a pod whose network annotation cannot be honoured.
	rejected = "InvalidAddress"
)

// pod runs one pod. Its goroutine goes through the pod's life once, from top to bottom of run;
// everything else only notifies it.
type pod struct {
	agent     *agent
	uid       types.UID
	namespace string
	name      string
	*stopper

	// sandbox is set before the containers start and never changes.
	sandbox *sandbox
	init    []*container
	main    []*container

	mu        sync.Mutex
	api       *v1.Pod // the newest object that the API server has shown
	startTime metav1.Time
	networkOK bool
	failure   string // why the pod cannot run, as a reason and a message
	ended     bool   // everything has been taken down
	deleted   bool   // the API object is gone
}

func newPod(ctx context.Context, a *agent, object *v1.Pod) *pod {
	p := &pod{
		agent: a, uid: object.UID, namespace: object.Namespace, name: object.Name,
		stopper: newStopper(ctx), api: object, startTime: metav1.Now(),
	}
	if object.Status.StartTime != nil {
		p.startTime = *object.Status.StartTime
	}

	for i := range object.Spec.InitContainers {
		p.init = append(p.init, p.newContainer(&object.Spec.InitContainers[i],
			object.Status.InitContainerStatuses))
	}
	for i := range object.Spec.Containers {
		p.main = append(p.main, p.newContainer(&object.Spec.Containers[i],
			object.Status.ContainerStatuses))
	}

	return p
}

// newContainer continues the restart count of a container that an earlier agent ran.
func (p *pod) newContainer(spec *v1.Container, before []v1.ContainerStatus) *container {
	c := &container{pod: p, spec: spec}
	c.status = v1.ContainerStatus{
		Name: spec.Name, Image: spec.Image, Started: new(bool),
		State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "ContainerCreating"}},
	}

	if len(p.init) > 0 {
		c.status.State.Waiting.Reason = "PodInitializing"
	}
	old, ok := podutil.GetContainerStatus(before, spec.Name)
	switch {
	case !ok || old.ContainerID == "":
	case podutil.IsPodTerminal(p.api):
		c.status, c.latest = old, old.RestartCount
	default:
		c.latest = old.RestartCount
		c.status.RestartCount = old.RestartCount + 1
		c.status.LastTerminationState = lastTermination(old)
	}

	return c
}

// lastTermination is how the container ended that an earlier agent ran: as it reported, or with it.
func lastTermination(old v1.ContainerStatus) v1.ContainerState {
	switch {
	case old.State.Terminated != nil:
		return old.State
	case old.State.Running == nil:
		return old.LastTerminationState
	}
	return v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
		ExitCode: 137, Reason: "ContainerStatusUnknown", Message: "The node agent was restarted",
		StartedAt: old.State.Running.StartedAt, FinishedAt: metav1.Now(),
		ContainerID: old.ContainerID,
	}}
}

// run is the pod's life. It returns when the pod is gone from the API, or ctx ends.
func (p *pod) run(ctx context.Context) {
	defer p.release()
	if !podutil.IsPodTerminal(p.object()) {
		p.live()
	}
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	if ctx.Err() == nil {
		p.publish()
	}
}

// live runs the pod's network, volumes and containers until they are over.
func (p *pod) live() {
	network, err := p.network()
	if err != nil {
		if !p.stopping() {
			p.fail(err)
		}
		return
	}

	p.sandbox = network
	p.mu.Lock()
	p.networkOK = true
	p.mu.Unlock()
	if network.ns != nil {
		defer p.agent.pool.put(network)
	}

	if p.needsVolumes() {
		p.publish()
		defer p.removeVolumes()
		if !p.writeVolumes() {
			return
		}
		var refresh sync.WaitGroup
		ctx, cancel := context.WithCancel(p.hard)
		refresh.Go(func() { p.refreshVolumes(ctx) })
		defer refresh.Wait()
		defer cancel()
	}
	p.runContainers()
}

// network is the pod's sandbox: the node's own network, one at particular addresses, or any.
func (p *pod) network() (*sandbox, error) {
	object := p.object()
	if object.Spec.HostNetwork {
		return &sandbox{addresses: p.agent.cfg.NodeIPs}, nil
	}
	s, err := p.pooled(object.Annotations)
	if err != nil || p.agent.cfg.InterfaceNames == "" {
		return s, err
	}

	name := interfaceName(p.agent.cfg.InterfaceNames, object.Namespace, object.Name)
	if err := p.agent.pool.wiring.rename(s, name); err != nil {
		p.agent.pool.put(s)
		return nil, err
	}
	return s, nil
}

// pooled is a sandbox at the addresses that the annotations ask for, or at any.
func (p *pod) pooled(annotations map[string]string) (*sandbox, error) {
	text, ok := annotations[AddressAnnotation]
	if !ok {
		return p.agent.pool.get(p.soft)
	}
	offset, err := p.agent.pool.book.parse(text)
	if err != nil {
		return nil, err
	}
	return p.agent.pool.getAt(p.soft, offset)
}

// runContainers runs the init containers one after the other, then the others side by side. It
// returns when all have ended.
func (p *pod) runContainers() {
	sidecars := newStopper(p.hard)
	defer sidecars.release()

	var background sync.WaitGroup
	defer background.Wait()

	// Sidecars end after the containers that they serve.
	defer func() { sidecars.stop(p.grace()) }()

	for _, c := range p.init {
		if !podutil.IsRestartableInitContainer(c.spec) {
			if !c.run(p.lifetime) {
				return
			}
			continue
		}
		background.Go(func() { c.run(sidecars.lifetime) })
		if !p.awaitStarted(c) {
			return
		}
	}

	var all sync.WaitGroup
	for _, c := range p.main {
		all.Go(func() { c.run(p.lifetime) })
	}
	all.Wait()
}

// awaitStarted waits until a sidecar is up, since the next init container may need it.
func (p *pod) awaitStarted(c *container) bool {
	for !c.isStarted() {
		if !p.sleep(10 * time.Millisecond) {
			return false
		}
	}
	return true
}

// needsVolumes is false for pods of nothing but built-in servers: nobody could read a volume, and
// each would cost two requests to the API server.
func (p *pod) needsVolumes() bool {
	for _, c := range append(append([]*container{}, p.init...), p.main...) {
		img, err := p.agent.cfg.resolveImage(c.spec.Image)
		if err == nil && !img.servedBuiltin(c.spec.Command) {
			return true
		}
	}
	return false
}

// writeVolumes fills the volumes, however often it takes.
func (p *pod) writeVolumes() bool {
	for {
		err := p.volumes().write(p.soft)
		if err == nil {
			return true
		}
		for _, c := range append(append([]*container{}, p.init...), p.main...) {
			c.setWaiting("ContainerCreating", "MountVolume.SetUp failed: "+err.Error())
		}
		if !p.sleep(volumeRetry) {
			return false
		}
	}
}

func (p *pod) refreshVolumes(ctx context.Context) {
	tick := time.NewTicker(volumeRefresh)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := p.volumes().write(ctx); err != nil {
				klog.ErrorS(err, "Refreshing volumes", "pod", klog.KRef(p.namespace, p.name))
			}
		case <-ctx.Done():
			return
		}
	}
}

func (p *pod) removeVolumes() {
	if err := p.volumes().remove(); err != nil {
		klog.ErrorS(err, "Removing volumes", "pod", klog.KRef(p.namespace, p.name))
	}
}

func (p *pod) volumes() volumes {
	return volumes{downward: p.downward(), tokens: p.agent.tokens,
		dir: filepath.Join(p.agent.volumesDir(), string(p.uid))}
}

func (p *pod) downward() downward {
	return downward{client: p.agent.client, pod: p.object(), podIPs: p.addresses(),
		hostIPs: p.agent.cfg.NodeIPs}
}

// observe takes a newer object, and begins the pod's end when that has been asked for.
func (p *pod) observe(object *v1.Pod) {
	p.mu.Lock()
	if isNewer(object, p.api) {
		p.api = object
	}
	p.mu.Unlock()
	if object.DeletionTimestamp != nil {
		p.stop(time.Duration(first(object.DeletionGracePeriodSeconds)) * time.Second)
		p.publish() // an ended pod has nothing else that would delete its object
	}
}

// isNewer compares resource versions, which are decimal numbers that grow with every write.
func isNewer(a, b *v1.Pod) bool {
	x, errX := strconv.ParseUint(a.ResourceVersion, 10, 64)
	y, errY := strconv.ParseUint(b.ResourceVersion, 10, 64)
	return errX != nil || errY != nil || x > y
}

// kill ends the pod whose API object no longer exists.
func (p *pod) kill() {
	p.mu.Lock()
	p.deleted = true
	p.mu.Unlock()
	p.stop(0)
}

// fail gives up on the pod before anything of it has run.
func (p *pod) fail(err error) {
	p.mu.Lock()
	p.failure = err.Error()
	p.mu.Unlock()
}

// publish asks for the pod's present status to be written; several requests become one write.
func (p *pod) publish() { p.agent.writer.enqueue(p.uid) }

func (p *pod) object() *v1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.api
}

func (p *pod) spec() v1.PodSpec { return p.object().Spec }

func (p *pod) grace() time.Duration {
	return time.Duration(first(p.object().Spec.TerminationGracePeriodSeconds)) * time.Second
}

// addresses are the pod's own, as soon as it has any.
func (p *pod) addresses() []netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.networkOK {
		return nil
	}
	return p.sandbox.addresses
}

// hostname is the pod's name, cut to what the kernel accepts.
func (p *pod) hostname() string {
	spec := p.spec()
	name := nameOr(spec.Hostname, p.name)
	if spec.HostNetwork {
		name = p.agent.cfg.Name
	}
	return strings.TrimRight(name[:min(len(name), 63)], "-.")
}

// baseEnvironment is what every container finds. No service but the API server's is listed: the lab
// has no service proxy.
func (p *pod) baseEnvironment() []v1.EnvVar {
	env := []v1.EnvVar{
		{Name: "PATH", Value: strings.TrimPrefix(systemPath, "PATH=")},
		{Name: "HOSTNAME", Value: p.hostname()},
		{Name: "HOME", Value: "/"},
	}
	if len(p.agent.cfg.ServiceIPs) > 0 {
		env = append(env,
			v1.EnvVar{Name: "KUBERNETES_SERVICE_HOST", Value: p.agent.cfg.ServiceIPs[0].String()},
			v1.EnvVar{Name: "KUBERNETES_SERVICE_PORT", Value: "443"},
			v1.EnvVar{Name: "KUBERNETES_SERVICE_PORT_HTTPS", Value: "443"})
	}
	for _, variable := range p.agent.cfg.Env {
		name, value, _ := strings.Cut(variable, "=")
		env = append(env, v1.EnvVar{Name: name, Value: value})
	}
	return env
}

// etcFiles are the files of /etc that are the pod's own. There is no DNS server in the lab, and an
// empty resolv.conf makes lookups fail at once instead of after a timeout.
func (p *pod) etcFiles() map[string]string {
	var hosts, resolver strings.Builder
	hosts.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, addr := range p.addresses() {
		fmt.Fprintf(&hosts, "%s\t%s\n", addr, p.hostname())
	}

	spec := p.spec()
	for _, alias := range spec.HostAliases {
		fmt.Fprintf(&hosts, "%s\t%s\n", alias.IP, strings.Join(alias.Hostnames, "\t"))
	}
	if dns := spec.DNSConfig; dns != nil {
		for _, server := range dns.Nameservers {
			fmt.Fprintf(&resolver, "nameserver %s\n", server)
		}
	}

	return map[string]string{"hosts": hosts.String(), "resolv.conf": resolver.String(),
		"hostname": p.hostname() + "\n"}
}
