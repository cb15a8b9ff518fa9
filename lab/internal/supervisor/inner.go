// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/controlplane"
	"github.com/netpol-latency/netpol-latency/lab/internal/engine"
	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
	"github.com/netpol-latency/netpol-latency/lab/internal/node"
	"github.com/netpol-latency/netpol-latency/lab/internal/relay"
	"github.com/netpol-latency/netpol-latency/lab/internal/socket"
	"github.com/netpol-latency/netpol-latency/lab/internal/topology"
	"github.com/netpol-latency/netpol-latency/lab/internal/witness"
)

// The descriptors that the outer process hands to the inner one.
const (
	fdListener = 3 + iota // accepts the host's connections to the API server
	fdStatus              // takes what the outer process must know, as labStatus
	fdLife                // ends when the outer process does
	fdLock                // keeps the state directory locked
)

// labStatus is what the inner process writes to fdStatus: that the lab is ready, and later why it
// failed.
type labStatus struct {
	// Namespaces maps node names to descriptors of the inner process.
	Namespaces map[string]int `json:"namespaces,omitempty"`
	Failure    string         `json:"failure,omitempty"`
}

// inner is process 1 of a lab.
type inner struct {
	options    Options
	components []*component
	family     family
	namespaces map[string]*netns.Namespace
	images     images
	failed     chan error
	witness    []*witness.Listener
	toOuter    *json.Encoder
	progress   io.Writer
	began      time.Time
}

// RunInner is the inner process: it builds the lab that the file describes and runs it until a
// signal comes, the outer process ends or a component dies. It tells the outer process its error.
func RunInner(file string) error {
	var options Options
	if err := readJSON(file, &options); err != nil {
		return fmt.Errorf("read the lab's options: %w", err)
	}
	for fd := fdListener; fd <= fdLock; fd++ {
		unix.CloseOnExec(fd) // the components and their containers have no business with them
	}

	toOuter := json.NewEncoder(os.NewFile(fdStatus, "status"))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	go func() {
		// Nothing is ever written: the read ends when the outer process has, however it ended.
		_, _ = os.NewFile(fdLife, "life").Read(make([]byte, 1))
		cancel()
	}()

	l := &inner{
		options: options, namespaces: make(map[string]*netns.Namespace),
		family: family{own: make(map[int]bool)},
		failed: make(chan error, 16), toOuter: toOuter, progress: os.Stderr, began: time.Now(),
	}

	err := l.run(ctx)
	l.shutdown()
	if options.Temporary {
		err = errors.Join(err, l.remove())
	}
	if err != nil && toOuter.Encode(labStatus{Failure: err.Error()}) == nil {
		err = nil
	}

	return err
}

// remove deletes a temporary state directory, after what is mounted in it.
func (l *inner) remove() error {
	err := unix.Unmount(string(l.options.Dir), unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: the lab ended before it was mounted
		return fmt.Errorf("unmount the state directory: %w", err)
	}
	if err := os.RemoveAll(string(l.options.Dir)); err != nil {
		return fmt.Errorf("remove the state directory: %w", err)
	}
	return nil
}

// run brings the lab up, says so, and waits for its end.
func (l *inner) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		select {
		case err := <-l.failed:
			return err
		case <-ctx.Done():
			return nil
		}
	})

	group.Go(func() error { return l.family.collect(ctx) })
	group.Go(func() error {
		if err := l.up(ctx, group); err != nil {
			if ctx.Err() != nil {
				return nil // it was told to end
			}
			return err
		}
		ready := labStatus{Namespaces: make(map[string]int)}
		for name, namespace := range l.namespaces {
			ready.Namespaces[name] = namespace.Fd()
		}
		return l.toOuter.Encode(ready)
	})

	return group.Wait()
}

// up builds everything in the order in which the parts need each other.
func (l *inner) up(ctx context.Context, group *errgroup.Group) error {
	steps := []struct {
		what string
		do   func(context.Context) error
	}{
		{"file systems and network", l.prepare},
		{"credentials", l.writeCredentials},
		{"kube-apiserver", l.prepareNodes},
		{"controllers, scheduler, nodes and policy engine", l.startTheRest},
		{"all parts ready", l.awaitReady},
	}

	for i, step := range steps {
		if err := step.do(ctx); err != nil {
			return err
		}
		if i == 0 {
			l.writeCommits(ctx, group)
		}
		fmt.Fprintf(l.progress, "lab: %-50s %5.1fs\n", step.what, time.Since(l.began).Seconds())
	}

	if err := l.openToHost(ctx, group); err != nil {
		return err
	}
	return l.openControl(ctx, group)
}

// openControl lets commands change the running lab.
func (l *inner) openControl(ctx context.Context, group *errgroup.Group) error {
	listener, err := net.Listen("unix", l.options.Dir.Control())
	if err != nil {
		return fmt.Errorf("open the control socket: %w", err)
	}
	group.Go(func() error { return socket.Serve(ctx, listener, 5*time.Second, l.controlHandler()) })
	return nil
}

// prepare makes mounts private, gives the lab its own view of processes and a file system in
// memory, and builds the network.
func (l *inner) prepare(context.Context) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC,
		""); err != nil {
		return fmt.Errorf("mount /proc for the lab's processes: %w", err)
	}

	// A mount of its own takes along at the end what anyone has mounted in it, dead node agents
	// too.
	dir := string(l.options.Dir)
	if err := unix.Mount(dir, dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount the state directory: %w", err)
	}
	if err := os.MkdirAll(l.options.Dir.Volatile(), 0o700); err != nil {
		return fmt.Errorf("create the directory of volatile files: %w", err)
	}
	if err := unix.Mount("tmpfs", l.options.Dir.Volatile(), "tmpfs", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount volatile files: %w", err)
	}
	if err := l.checkExternalEngine(); err != nil { // better known before anything is up
		return err
	}
	if err := buildControlPlaneNetwork(l.options.Family); err != nil {
		return err
	}

	for _, node := range l.options.nodes() {
		namespace, err := attachNode(l.options.Family, node)
		if err != nil {
			return err
		}
		l.namespaces[node.Name] = namespace
		if err := l.listen(node.Name); err != nil {
			return err
		}
	}

	return nil
}

// writeCredentials writes certificates and kubeconfigs: one for the host, the others for the parts.
func (l *inner) writeCredentials(context.Context) error {
	dir := l.options.Dir
	if err := os.MkdirAll(dir.Config(""), 0o700); err != nil {
		return fmt.Errorf("create the directory of configurations: %w", err)
	}
	if err := controlplane.WritePKI(dir, l.options.Family, l.options.nodes()); err != nil {
		return err
	}

	for _, who := range []string{"admin", "kube-controller-manager", "kube-scheduler", "node",
		"engine"} {
		err := controlplane.WriteKubeconfig(dir, who,
			controlplane.Server(l.options.Family), dir.Config(who+".kubeconfig"))
		if err != nil {
			return err
		}
	}

	return nil
}

// launch adds a component and starts it.
func (l *inner) launch(name string, namespace *netns.Namespace, arguments ...string) error {
	c := &component{
		name: name, arguments: append([]string{ComponentProcess}, arguments...),
		log: l.options.Dir.Log(name), namespace: namespace, family: &l.family, failed: l.failed,
	}
	l.components = append(l.components, c)
	return c.start()
}

// prepareNodes starts what nodes need before they can start: the API server, and meanwhile the
// files of images.
func (l *inner) prepareNodes(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.startAPIServer(ctx) })
	group.Go(l.unpackImages)
	return group.Wait()
}

func (l *inner) startAPIServer(ctx context.Context) error {
	dir := l.options.Dir
	if err := l.launch("etcd", nil, "etcd", "--data", filepath.Join(dir.Volatile(),
		"etcd")); err != nil {
		return err
	}
	if err := awaitListener(ctx, controlplane.EtcdAddress); err != nil {
		return fmt.Errorf("wait for etcd: see %s: %w", dir.Log("etcd"), err)
	}

	err := l.launch("kube-apiserver", nil, append([]string{"kube-apiserver"},
		controlplane.APIServer(dir, l.options.Family)...)...)
	if err != nil {
		return err
	}

	client, err := controlplane.Client(dir.Config("admin.kubeconfig"))
	if err != nil {
		return err
	}
	if err := controlplane.AwaitAPIServer(ctx, client); err != nil {
		return fmt.Errorf("wait for kube-apiserver: see %s: %w", dir.Log("kube-apiserver"), err)
	}

	return controlplane.GrantPermissions(ctx, client)
}

func (l *inner) startTheRest(context.Context) error {
	dir := l.options.Dir
	err := errors.Join(
		l.launch("kube-controller-manager", nil,
			append([]string{"kube-controller-manager"}, controlplane.ControllerManager(dir)...)...),
		l.launch("kube-scheduler", nil, append([]string{"kube-scheduler"},
			controlplane.Scheduler(dir)...)...),
	)
	if err != nil {
		return err
	}

	for _, n := range l.options.nodes() {
		if err := l.startNode(n); err != nil {
			return err
		}
	}

	return nil
}

// startNode starts a node's agent, and before it its engine, so that no pod is ever without one.
func (l *inner) startNode(n topology.Node) error {
	dir, namespace := l.options.Dir, l.namespaces[n.Name]
	if l.options.ownEngine() {
		if err := l.writeEngineConfig(n, l.options.Settings); err != nil {
			return err
		}
		if err := l.launch(n.Engine(), namespace, "engine", "--config",
			dir.Config(n.Engine())); err != nil {
			return err
		}
	}
	if err := writeJSON(dir.Config(n.Name), l.nodeConfig(n)); err != nil {
		return err
	}

	return l.launch(n.Name, namespace, "node", "--config", dir.Config(n.Name))
}

func (l *inner) writeEngineConfig(n topology.Node, settings engine.Settings) error {
	return writeJSON(l.options.Dir.Config(n.Engine()), engine.Config{
		Node: n.Name, Kubeconfig: l.options.Dir.Config("engine.kubeconfig"),
		PodCIDRs:      l.options.Family.Pods(),
		TruthPath:     l.options.Dir.Truth(),
		ControlSocket: l.options.Dir.EngineControl(n.Engine()),
		Verdicts:      l.options.Verdicts,
		Settings:      settings,
	})
}

func (l *inner) nodeConfig(n topology.Node) node.Config {
	dir := l.options.Dir
	return node.Config{
		Name: n.Name, NodeIPs: n.IPs(), PodCIDRs: n.PodCIDRs,
		Kubeconfig:      dir.Config("node.kubeconfig"),
		KubeletCertFile: dir.Credentials("kubelet-" + n.Name + ".crt"),
		KubeletKeyFile:  dir.Credentials("kubelet-" + n.Name + ".key"),
		ClientCAFile:    dir.Credentials("ca.crt"),
		StateDir:        dir.Node(n.Name),
		ControlSocket:   dir.NodeControl(n.Name),
		LogSize:         l.options.LogSize,
		LogStall:        l.options.LogStall,
		InterfaceNames:  l.options.InterfaceNames,
		Images:          l.images.programs,
		Unpacked:        l.images.unpacked,
		Env:             l.options.Env,
		ServiceIPs:      []netip.Addr{l.options.Family.KubernetesService()},
		APIServers:      []netip.AddrPort{l.options.Family.APIServer()},
	}
}

// awaitReady waits until pods can be created, run and are subject to policy.
func (l *inner) awaitReady(ctx context.Context) error {
	client, err := controlplane.Client(l.options.Dir.Config("admin.kubeconfig"))
	if err != nil {
		return err
	}
	for _, n := range l.options.nodes() {
		if l.options.ownEngine() {
			if err := awaitEngine(ctx, l.options.Dir.EngineControl(n.Engine())); err != nil {
				return fmt.Errorf("wait for %s: see %s: %w", n.Engine(),
					l.options.Dir.Log(n.Engine()), err)
			}
		}
		if err := controlplane.AwaitNode(ctx, client, n.Name); err != nil {
			return fmt.Errorf("wait for %s: see %s: %w", n.Name, l.options.Dir.Log(n.Name), err)
		}
	}
	if l.options.externalEngine() {
		if err := l.startExternalEngines(ctx, client); err != nil {
			return err
		}
	}
	if err := controlplane.AwaitServiceAccount(ctx, client); err != nil {
		return fmt.Errorf("wait for service accounts: see %s: %w",
			l.options.Dir.Log("kube-controller-manager"), err)
	}

	return nil
}

// openToHost passes connections to the host's listener on to the API server, as slowly as from the
// distance that the lab's users are meant to be at.
func (l *inner) openToHost(ctx context.Context, group *errgroup.Group) error {
	listener, err := net.FileListener(os.NewFile(fdListener, "listener"))
	if err != nil {
		return fmt.Errorf("take over the host's listener: %w", err)
	}
	way := relay.Relay{
		To:        net.JoinHostPort("127.0.0.1", fmt.Sprint(topology.APIServerPort)),
		RoundTrip: l.options.RunnerDelay,
	}
	group.Go(func() error { return way.Serve(ctx, listener) })

	dir := l.options.Dir
	return controlplane.WriteKubeconfig(dir, "admin", "https://"+listener.Addr().String(),
		dir.Kubeconfig())
}

// shutdown ends the components that have something to finish; the end of this process takes the
// rest.
func (l *inner) shutdown() {
	var group errgroup.Group
	for _, c := range l.components {
		if c.namespace != nil {
			group.Go(func() error { return c.end(syscall.SIGTERM) })
		}
	}
	_ = group.Wait() // one that has died already was reported
}

// awaitListener waits until something listens at the address.
func awaitListener(ctx context.Context, address string) error {
	return poll(ctx, func(ctx context.Context) error {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			_ = connection.Close() // it has shown what it was for
		}
		return err
	})
}

func awaitEngine(ctx context.Context, socket string) error {
	return poll(ctx, func(ctx context.Context) error {
		return call(ctx, socket, http.MethodGet, "/healthz", nil, nil)
	})
}

// poll tries every 20 ms for at most 60 s: these conditions have no event to wait for.
func poll(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
