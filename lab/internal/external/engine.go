// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package external runs policy engines that are programs of their own: two that clusters run in
// production, and any other that a command starts.
//
//	engine.go       which engines there are, and how each is started
//	requirement.go  what an engine needs of a machine: programs, and features of the kernel
//	run.go          the process of one node's engine: credentials as in a pod, then the program
//	queue.go        new connections for engines that filter in user space
package external

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The engines with names. Any other is Command and a command line.
const (
	KubeRouter          = "kube-router"
	KubeRouterNFT       = "kube-router-nft"
	KubeNetworkPolicies = "kube-network-policies"
	Command             = "exec:"
)

// Engine is a policy engine that is a program of its own, of which each node runs a process.
type Engine struct {
	// Name is how users ask for the engine.
	Name string

	// program is found in the directory, which is that of this program if it is empty, or as the
	// machine finds it.
	program, directory string
	// arguments are those of the program on a node.
	arguments func(Config) []string
	// prepare changes the node's namespace before the program starts; nil for nothing.
	prepare func() error
	// ready says in the node's namespace why the engine does not enforce yet.
	ready func() error
	needs []requirement
}

// Find is the engine of a name, which may be [Command] and a command line.
func Find(name string) (Engine, error) {
	if line, ok := strings.CutPrefix(name, Command); ok {
		if strings.TrimSpace(line) == "" {
			return Engine{}, fmt.Errorf("--engine is %q: expected a command after it, for example "+
				"%q", name, Command+"my-engine --kubeconfig $KUBECONFIG")
		}
		return Engine{
			Name: name, program: "sh", ready: func() error { return nil },
			arguments: func(Config) []string { return []string{"-c", line} },
		}, nil
	}

	index := slices.IndexFunc(engines, func(e Engine) bool { return e.Name == name })
	if index < 0 {
		return Engine{}, fmt.Errorf("find engine %q: %w", name, errors.ErrUnsupported)
	}
	return engines[index], nil
}

// In is the engine of which the program is in a directory, as one finds it that runs from there.
func (e Engine) In(directory string) Engine {
	e.directory = directory
	return e
}

// Names are those of the engines that have one.
func Names() []string {
	var names []string
	for _, e := range engines {
		names = append(names, e.Name)
	}
	return names
}

var engines = []Engine{
	{
		Name: KubeRouter, program: "kube-router", ready: kubeRouterReady,
		arguments: kubeRouterArguments,
		needs:     append(programs("iptables", iptablesPrograms()...), ipsets()...),
	},
	{
		Name: KubeRouterNFT, program: "kube-router", ready: kubeRouterReady,
		arguments: func(c Config) []string {
			return append(kubeRouterArguments(c), "--"+nftablesFlag+"=true")
		},
		needs: append(programs("nftables", "nft"), append(
			programs("iptables", iptablesPrograms()...), kubeRouterKnows(nftablesFlag))...),
	},
	{
		Name: KubeNetworkPolicies, program: "kube-network-policies", prepare: addQueueRules,
		ready: queueHasReader,
		arguments: func(c Config) []string {
			return []string{"--hostname-override=" + c.Node, "--disable-nri",
				fmt.Sprintf("--nfqueue-id=%d", queueNumber)}
		},
		needs: []requirement{queues()},
	},
}

// nftablesFlag has kube-router use nftables. No release has it yet: v2.10.0 does not.
const nftablesFlag = "use-nftables-for-netpol"

// kubeRouterKnows is the need of a kube-router that has a flag.
func kubeRouterKnows(flag string) requirement {
	return requirement{"a kube-router that has --" + flag, "newer than v2.10.0", func() error {
		path, err := Engine{program: "kube-router"}.path()
		if err != nil {
			return nil // which is a need of its own
		}
		help, err := exec.Command(path, "--help").CombinedOutput()
		if err == nil && !strings.Contains(string(help), flag) {
			err = errors.ErrUnsupported
		}
		return err
	}}
}

// kubeRouterArguments run the part of kube-router that enforces policy, and nothing else of it. It
// enforces in the cluster's first family only: with both, v2.1.0 gives up its syncs half-way. A
// range of services of a family that is not enabled ends it.
func kubeRouterArguments(c Config) []string {
	services := c.ServiceCIDRs[0]
	return []string{
		"--run-firewall=true", "--run-router=false", "--run-service-proxy=false",
		"--kubeconfig=" + c.Kubeconfig, "--hostname-override=" + c.Node,
		fmt.Sprintf("--enable-ipv4=%t", services.Addr().Is4()),
		fmt.Sprintf("--enable-ipv6=%t", services.Addr().Is6()),
		"--service-cluster-ip-range=" + services.String(), "--health-port=0", "--v=1",
	}
}

// kubeRouterChain is the chain that forwarded packets pass, which kube-router makes once it has
// read the API. What it has to do afterwards it does as for any change.
const kubeRouterChain = "KUBE-ROUTER-FORWARD"

// kubeRouterReady looks for the chain in either family, with the programs that kube-router uses:
// the kernel has two places for what they make.
func kubeRouterReady() error {
	var missing []error
	for _, name := range []string{"iptables", "ip6tables"} {
		program, err := lookPath(name)
		if err != nil {
			return fmt.Errorf("look for the chain %s: %w", kubeRouterChain, err)
		}
		output, err := exec.Command(program, "-n", "-L", kubeRouterChain).CombinedOutput()
		if err == nil {
			return nil
		}
		missing = append(missing, fmt.Errorf("find the chain %s with %s: %w: %s", kubeRouterChain,
			name, err, strings.TrimSpace(string(output))))
	}
	return errors.Join(missing...)
}

// path is where the engine's program is.
func (e Engine) path() (string, error) {
	directory := e.directory
	if directory == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find this program: %w", err)
		}
		directory = filepath.Dir(self)
	}
	beside := filepath.Join(directory, e.program)
	if info, err := os.Stat(beside); err == nil && !info.IsDir() {
		return beside, nil
	}

	path, err := lookPath(e.program)
	if err != nil {
		return "", fmt.Errorf("find the program of engine %s (\"make engines\" builds it): %w",
			e.Name, err)
	}
	return path, nil
}

// Version is that of the module that the engine's program was built from, empty if it does not
// say.
func (e Engine) Version() string {
	path, err := e.path()
	if err != nil {
		return ""
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return ""
	}
	return info.Main.Version
}

// systemDirectories hold the programs of administrators, which not every user's path has.
const systemDirectories = "/usr/sbin:/sbin"

// lookPath finds a program as the engine will.
func lookPath(program string) (string, error) {
	path, err := exec.LookPath(program)
	for _, directory := range filepath.SplitList(systemDirectories) {
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(directory, program))
	}
	return path, err
}
