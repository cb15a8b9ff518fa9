// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package external

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

// Config is everything that the process of a node's engine needs to know. It is written to a file
// as JSON by the process that starts it.
type Config struct {
	// Engine is the name of the engine; see [Find].
	Engine string `json:"engine"`
	// Node is the name of the Node whose pods the engine guards, and NodeIPs are its addresses.
	Node    string       `json:"node"`
	NodeIPs []netip.Addr `json:"nodeIPs"`
	// PodCIDRs hold the addresses of the node's pods, ClusterCIDRs those of all pods and
	// ServiceCIDRs those of services.
	PodCIDRs     []netip.Prefix `json:"podCIDRs"`
	ClusterCIDRs []netip.Prefix `json:"clusterCIDRs"`
	ServiceCIDRs []netip.Prefix `json:"serviceCIDRs"`
	// Kubeconfig is the path of the engine's credentials, and ServiceAccount a directory with the
	// same rights as a pod finds them.
	Kubeconfig     string         `json:"kubeconfig"`
	ServiceAccount string         `json:"serviceAccount"`
	APIServer      netip.AddrPort `json:"apiServer"`
}

// Run becomes the engine's program, in the network namespace of the calling process: it returns
// only if it can not.
func Run(c Config) error {
	e, err := Find(c.Engine)
	if err != nil {
		return err
	}
	program, err := e.path()
	if err != nil {
		return err
	}
	if err := c.setEnvironment(); err != nil {
		return err
	}
	if e.prepare != nil {
		if err := e.prepare(); err != nil {
			return err
		}
	}

	return netns.OnThread(func() error {
		if err := mountServiceAccount(c.ServiceAccount); err != nil {
			return err
		}
		arguments := append([]string{e.program}, e.arguments(c)...)
		if err := syscall.Exec(program, arguments, os.Environ()); err != nil {
			return fmt.Errorf("run %s: %w", program, err)
		}
		return nil
	})
}

// runDirectory is where programs keep what is gone with them: locks, sockets, and in a pod the
// credentials.
const runDirectory = "/var/run"

// serviceAccountDirectory is where client libraries look for the credentials of a pod.
const serviceAccountDirectory = runDirectory + "/secrets/kubernetes.io/serviceaccount"

// mountServiceAccount gives the calling thread, which must be disposable, a view of the file system
// in which the credentials are where a pod finds them. Beside them runDirectory is empty: nothing
// can be added to that of the machine, and engines of several nodes would share its locks.
func mountServiceAccount(credentials string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("create a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}

	source, err := os.Open(credentials) // it may be below what is hidden next
	if err != nil {
		return fmt.Errorf("find the engine's credentials: %w", err)
	}
	defer source.Close()
	if err := unix.Mount("tmpfs", runDirectory, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount %s: %w", runDirectory, err)
	}
	if err := os.MkdirAll(serviceAccountDirectory, 0o755); err != nil {
		return fmt.Errorf("create the directory of credentials: %w", err)
	}
	from := fmt.Sprintf("/proc/thread-self/fd/%d", source.Fd())
	err = unix.Mount(from, serviceAccountDirectory, "", unix.MS_BIND, "")
	if err != nil {
		return fmt.Errorf("mount the engine's credentials: %w", err)
	}
	return nil
}

// setEnvironment adds to the machine's environment what a pod of a cluster would be told.
func (c Config) setEnvironment() error {
	host, port, err := net.SplitHostPort(c.APIServer.String())
	if err != nil {
		return fmt.Errorf("read the address of the API server: %w", err)
	}
	for name, value := range map[string]string{
		"PATH":                    os.Getenv("PATH") + ":" + systemDirectories,
		"NODE_NAME":               c.Node,
		"NODE_IPS":                join(c.NodeIPs),
		"POD_CIDRS":               join(c.PodCIDRs),
		"CLUSTER_CIDRS":           join(c.ClusterCIDRs),
		"SERVICE_CIDRS":           join(c.ServiceCIDRs),
		"KUBECONFIG":              c.Kubeconfig,
		"KUBERNETES_SERVICE_HOST": host,
		"KUBERNETES_SERVICE_PORT": port,
	} {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("tell the engine its %s: %w", name, err)
		}
	}
	return nil
}

// join lists addresses or prefixes with commas between them.
func join[T fmt.Stringer](all []T) string {
	var texts []string
	for _, one := range all {
		texts = append(texts, one.String())
	}
	return strings.Join(texts, ",")
}

// Ready says why the engine of the calling thread's network namespace does not enforce yet. A
// command is taken to be ready once it runs.
func (e Engine) Ready() error { return e.ready() }
