// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package node is the lab's node agent: a kubelet, a container runtime and a network plugin in one
// process, small and fast. It runs inside the node's network namespace, as root of the lab's mount
// and process namespaces.
//
// A pod is real where a network test looks: a network namespace with a routed veth, and processes
// in it. Where it differs from a pod under a kubelet:
//   - Nothing is pulled. An image is one that was unpacked before, a program of this machine, the
//     built-in server or the machine's shell; without a real image the root file system shows the
//     machine's /usr and /etc, read-only.
//   - Nothing limits memory or CPU; the node's capacity is nominal.
//   - preStop and postStart hooks are not run. There is no exec, attach or port-forward.
//   - There is no DNS and no service proxy, except for the API server's Service.
//   - A container that keeps ending is restarted after at most 30 s.
//   - Volumes are emptyDir, configMap, secret, downwardAPI and projected.
//   - The logs of deleted pods stay until the lab's directory is removed.
//
// The files, in the order in which a pod meets them: run.go (the watch), pod.go (its life),
// pool.go, sandbox.go and address.go (its network), volume.go and env.go, container.go, image.go,
// user.go, security.go, then builtin.go or process.go with rootfs.go and logwriter.go, prober.go,
// status.go and statuswriter.go, and kubelet.go (its logs). nodeobject.go, control.go and
// router.go are the node itself.
package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kubernetes/pkg/kubelet/token"
	httpprobe "k8s.io/kubernetes/pkg/probe/http"
)

// concurrentStarts is how many container processes are prepared at once.
const concurrentStarts = 4

// agent holds what the pods share.
type agent struct {
	cfg        Config
	client     kubernetes.Interface
	pool       *sandboxPool
	tokens     tokenSource
	writer     *statusWriter
	starts     *semaphore.Weighted
	httpProber httpprobe.Prober

	mu sync.Mutex
	// notReady ends when the node is no longer ready, which setNotReady brings about.
	notReady    context.Context
	setNotReady context.CancelFunc

	byUID  map[types.UID]*pod
	byName map[types.NamespacedName]*pod
}

// Run is the node agent: it registers the node, runs the pods that are bound to it and serves their
// logs, until ctx ends. Containers of an agent that was killed are started afresh.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	client, err := newClient(cfg.Kubeconfig)
	if err != nil {
		return err
	}

	wiring, err := newWiring()
	if err != nil {
		return err
	}
	defer wiring.close()

	if err := configureRouter(cfg, wiring.node); err != nil {
		return err
	}
	a := newAgent(cfg, client, newSandboxPool(wiring, newAddressBook(cfg.PodCIDRs)))
	if err := a.prepareDirectories(); err != nil {
		return err
	}

	// what stays vanishes with the lab
	defer func() { _ = unix.Unmount(a.volumesDir(), unix.MNT_DETACH) }()

	if err := a.registerFirst(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.pool.Run(ctx) })
	group.Go(func() error { return a.writer.Run(ctx) })
	group.Go(func() error { return a.runPods(ctx) })
	group.Go(func() error { return a.heartbeat(ctx) })
	group.Go(func() error { return a.serveControl(ctx) })
	group.Go(func() error { return a.keepLogsShort(ctx) })
	group.Go(func() error { return a.serveKubelet(ctx) })
	return group.Wait()
}

func newAgent(cfg Config, client kubernetes.Interface, pool *sandboxPool) *agent {
	a := &agent{
		cfg: cfg, client: client, pool: pool,
		tokens: token.NewManager(client), httpProber: httpprobe.New(false),
		starts: semaphore.NewWeighted(concurrentStarts),
		byUID:  map[types.UID]*pod{}, byName: map[types.NamespacedName]*pod{},
	}
	a.notReady, a.setNotReady = context.WithCancel(context.Background())
	a.writer = newStatusWriter(client, a.pod)
	return a
}

// newClient speaks protobuf and has no rate limit of its own: the API server's is the honest one.
func newClient(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the node agent's kubeconfig: %w", err)
	}
	config.QPS = -1
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	rest.AddUserAgent(config, "node-agent")
	return kubernetes.NewForConfig(config)
}

// staging is the directory that containers' roots are built on, each in a mount namespace of
// its own.
func (a *agent) staging() string { return filepath.Join(a.cfg.StateDir, "staging") }

// volumesDir is a tmpfs, so that volumes with their secrets vanish with the lab.
func (a *agent) volumesDir() string { return filepath.Join(a.cfg.StateDir, "volumes") }

// streamsDir is where logs have the names by which they are followed, if their rotation is not to
// be noticed. It is on the file system of the logs.
func (a *agent) streamsDir() string { return filepath.Join(a.cfg.StateDir, "streams") }

func (a *agent) prepareDirectories() error {
	pods := filepath.Join(a.cfg.StateDir, "pods")
	for _, dir := range []string{a.staging(), a.volumesDir(), a.streamsDir(), pods} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the state directory: %w", err)
		}
	}
	if err := unix.Unmount(a.volumesDir(), unix.MNT_DETACH); err != nil &&
		!errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("remove the volumes of an earlier agent: %w", err)
	}
	if err := unix.Mount("tmpfs", a.volumesDir(), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV,
		"mode=0755"); err != nil {
		return fmt.Errorf("mount the volumes: %w", err)
	}

	return nil
}

// runPods watches the pods that are bound to this node, and gives each a goroutine.
func (a *agent) runPods(ctx context.Context) error {
	var pods sync.WaitGroup
	defer pods.Wait()

	_, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(a.client.CoreV1().RESTClient(), "pods", "",
			fields.OneTermEqualSelector("spec.nodeName", a.cfg.Name)),
		ObjectType: &v1.Pod{},
		Transform:  dropManagedFields,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(object any) { a.observe(ctx, &pods, object.(*v1.Pod)) },
			UpdateFunc: func(_, object any) { a.observe(ctx, &pods, object.(*v1.Pod)) },
			DeleteFunc: func(object any) {
				if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
					object = unknown.Obj
				}
				a.removePod(object.(*v1.Pod))
			},
		},
	})

	controller.RunWithContext(ctx)
	return nil
}

// dropManagedFields saves memory; the API server keeps its own when an update has none.
func dropManagedFields(object any) (any, error) {
	if pod, ok := object.(*v1.Pod); ok {
		pod.ManagedFields = nil
	}
	return object, nil
}

// observe takes every pod of this node, and every change of one.
func (a *agent) observe(ctx context.Context, pods *sync.WaitGroup, object *v1.Pod) {
	if p := a.pod(object.UID); p != nil {
		p.observe(object)
		return
	}
	// A pod of the same name can only follow one that is gone.
	if before := a.podNamed(object.Namespace, object.Name); before != nil {
		a.removePod(before.object())
	}

	p := newPod(ctx, a, object)
	a.mu.Lock()
	a.byUID[p.uid] = p
	a.byName[types.NamespacedName{Namespace: p.namespace, Name: p.name}] = p
	a.mu.Unlock()
	p.observe(object)
	pods.Go(func() { p.run(ctx) })
}

// removePod kills what is left of a pod whose API object is gone.
func (a *agent) removePod(object *v1.Pod) {
	p := a.pod(object.UID)
	if p == nil {
		return
	}
	p.kill()
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.byUID, p.uid)
	name := types.NamespacedName{Namespace: p.namespace, Name: p.name}
	if a.byName[name] == p {
		delete(a.byName, name)
	}
}

func (a *agent) pod(uid types.UID) *pod {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.byUID[uid]
}

func (a *agent) podNamed(namespace, name string) *pod {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.byName[types.NamespacedName{Namespace: namespace, Name: name}]
}
