// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/netpol-latency/netpol-latency/lab/internal/oci"
)

// DefaultMaxPods is the pod capacity of a node that does not set Config.MaxPods. It fits the /20
// that a node gets.
const DefaultMaxPods = 4000

// Config is everything a node agent needs to know. It is written to a file as JSON by the process
// that starts the agent.
type Config struct {
	// Name is the name of the Node object.
	Name string `json:"name"`
	// NodeIPs are the addresses of the node's eth0, at most one a family; the first is the primary.
	NodeIPs []netip.Addr `json:"nodeIPs"`
	// PodCIDRs are the ranges that pod addresses are taken from, at most one a family, in the order
	// of a pod's addresses.
	PodCIDRs []netip.Prefix `json:"podCIDRs"`
	// Kubeconfig is the path of the agent's credentials.
	Kubeconfig string `json:"kubeconfig"`
	// KubeletCertFile and KubeletKeyFile are the serving certificate of the kubelet endpoint.
	KubeletCertFile string `json:"kubeletCertFile"`
	KubeletKeyFile  string `json:"kubeletKeyFile"`
	// ClientCAFile signs the client certificates that the kubelet endpoint accepts.
	ClientCAFile string `json:"clientCAFile"`
	// StateDir holds the container logs (pods/) and the mount points of the agent.
	StateDir string `json:"stateDir"`
	// Images maps an image name to the program on this machine that stands for the image.
	Images map[string]string `json:"images"`
	// Unpacked maps an image name to a real image. Its files are read-only to the agent.
	Unpacked map[string]oci.Unpacked `json:"unpacked,omitempty"`
	// Env are environment variables of every container, as NAME=VALUE.
	Env []string `json:"env,omitempty"`
	// ServiceIPs are the addresses of the `kubernetes` Service, at most one a family.
	ServiceIPs []netip.Addr `json:"serviceIPs"`
	// APIServers are the addresses behind the ServiceIPs, at most one a family.
	APIServers []netip.AddrPort `json:"apiServers"`
	// ControlSocket is the path of the Unix socket that takes actions; see [Actions].
	ControlSocket string `json:"controlSocket"`
	// LogSize is after how many bytes a log is rotated, 0 if it never is. LogStall is whether those
	// who follow a log read on in the file that was rotated away, as with kubelets before 1.27.
	LogSize  int64 `json:"logSize,omitempty"`
	LogStall bool  `json:"logStall,omitempty"`
	// InterfaceNames begins the names of the node's ends of pods' interfaces, before a hash of the
	// pod's namespace and name; empty is for numbers.
	InterfaceNames string `json:"interfaceNames,omitempty"`
	// MaxPods is the node's pod capacity; 0 means DefaultMaxPods.
	MaxPods int `json:"maxPods"`
}

// Validate reports every mistake of the configuration at once.
func (c Config) Validate() error {
	var mistakes []error
	required := func(name string, set bool) {
		if !set {
			mistakes = append(mistakes, fmt.Errorf("node configuration: %s is missing", name))
		}
	}

	required("name", c.Name != "")
	required("nodeIPs", len(c.NodeIPs) > 0)
	required("podCIDRs", len(c.PodCIDRs) > 0)
	required("kubeconfig", c.Kubeconfig != "")
	required("kubeletCertFile", c.KubeletCertFile != "")
	required("kubeletKeyFile", c.KubeletKeyFile != "")
	required("clientCAFile", c.ClientCAFile != "")
	required("stateDir", c.StateDir != "")
	required("controlSocket", c.ControlSocket != "")
	for image, program := range c.Images {
		if err := validateProgram(program); err != nil {
			mistakes = append(mistakes, fmt.Errorf("image %q: %w", image, err))
		}
	}

	return errors.Join(mistakes...)
}

// validateProgram catches the mistake that would otherwise show only when the first pod starts.
func validateProgram(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("find its program: %w", err)
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("its program %s is not an executable file; build it first, or give "+
			"another path", path)
	}
	return nil
}

func (c Config) maxPods() int {
	if c.MaxPods == 0 {
		return DefaultMaxPods
	}
	return c.MaxPods
}
