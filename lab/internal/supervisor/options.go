// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package supervisor runs a lab. An outer process on the host starts an inner one in namespaces of
// its own, and the inner one starts everything else: when it ends, however it ends, the kernel
// takes down all processes, interfaces and rules of the lab with it.
//
//	outer.go      on the host: starts the inner process and ends it
//	directory.go  the state directory, which only one lab can use at a time
//	inner.go      process 1 of the lab: network, credentials, components, readiness
//	component.go  one child process
//	family.go     children, and those that process 1 inherits from a child that died
//	control.go    the socket through which a running lab is changed
package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/netpol-latency/netpol-latency/lab/internal/engine"
	"github.com/netpol-latency/netpol-latency/lab/internal/external"
	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
	"github.com/netpol-latency/netpol-latency/lab/internal/oci"
	"github.com/netpol-latency/netpol-latency/lab/internal/topology"
)

// The policy engines that a lab can run, beside those of package external.
const (
	EngineReference = "reference"
	EngineQueue     = "queue" // the reference engine's rules, behind verdicts in user space
	EngineNone      = "none"
)

// maxRunnerDelay is the longest round trip with which clients of the API server still get through
// their TLS handshakes, which they give ten seconds.
const maxRunnerDelay = 2 * time.Second

// Options say what a lab is made of.
type Options struct {
	// Dir is the state directory, an absolute path; empty stands for a temporary one.
	Dir layout.Dir `json:"dir"`
	// Temporary directories are removed when the lab ends. Start sets it.
	Temporary bool `json:"temporary"`
	// Nodes is the number of nodes.
	Nodes int `json:"nodes"`
	// Family says which IP families there are.
	Family topology.Family `json:"family"`
	// Engine is the policy engine of every node, and Settings those of the reference engine.
	Engine   string          `json:"engine"`
	Settings engine.Settings `json:"settings"`
	// Witness says whether the kernel's announcements of commits are written down.
	Witness bool `json:"witness"`
	// InterfaceNames begins the names of the node's ends of pods' interfaces, which a hash of the
	// pod follows, as with CNI plugins; empty is for numbers.
	InterfaceNames string `json:"interfaceNames"`
	// Verdicts is how many packets a second the engine of that name filters; 0 for the others.
	Verdicts int `json:"verdicts"`
	// RunnerDelay is the round trip between the host and the API server, 0 for none but the real
	// one.
	RunnerDelay time.Duration `json:"runnerDelay"`
	// LogSize is after how many bytes containers' logs are rotated, 0 if they never are, and
	// LogStall whether those who follow one do not notice, as with kubelets before 1.27.
	LogSize  int64 `json:"logSize"`
	LogStall bool  `json:"logStall"`
	// Images maps image names to programs on this machine, or to images in OCI layouts: oci:DIR or
	// oci:DIR:TAG.
	Images map[string]string `json:"images"`
	// Env are environment variables of every container, as NAME=VALUE. The pod's own come after
	// them.
	Env []string `json:"env"`
}

// ownEngine says whether the engine is the lab's own, with settings and a truth log.
func (o Options) ownEngine() bool {
	return o.Engine == EngineReference || o.Engine == EngineQueue
}

// externalEngine says whether the engine is a program of its own.
func (o Options) externalEngine() bool { return !o.ownEngine() && o.Engine != EngineNone }

func (o Options) validateEngine() error {
	if o.externalEngine() {
		_, err := external.Find(o.Engine)
		if errors.Is(err, errors.ErrUnsupported) {
			err = fmt.Errorf("unknown engine %q: expected %s, %s, %s, %s or %sCOMMAND", o.Engine,
				EngineReference, EngineQueue, strings.Join(external.Names(), ", "), EngineNone,
				external.Command)
		}
		if err != nil {
			return err
		}
	}

	if o.Engine != EngineQueue && o.Verdicts != 0 {
		return fmt.Errorf("--verdicts goes with --engine %s, and the engine is %s", EngineQueue,
			o.Engine)
	}
	if o.Engine == EngineQueue && (o.Verdicts < 1 || o.Verdicts > engine.MaxVerdicts) {
		return fmt.Errorf("--engine %s filters %d packets a second: expected --verdicts with 1 "+
			"to %d, for example 2000", EngineQueue, o.Verdicts, engine.MaxVerdicts)
	}

	return nil
}

// longestPrefix leaves room for the hash in the name of an interface.
const longestPrefix = 4

// validateInterfaceNames reports a prefix that interfaces cannot have.
func (o Options) validateInterfaceNames() error {
	names := o.InterfaceNames
	if len(names) > longestPrefix || strings.ContainsAny(names, "/: \t\n%") ||
		names != "" && strings.HasPrefix("eth0", names) { // which the node has
		return fmt.Errorf("--interface-names is %q: expected a prefix of at most %d characters, "+
			"for example cali, and none that eth0 begins with", names, longestPrefix)
	}
	return nil
}

// Validate reports the first mistake.
func (o Options) Validate() error {
	if err := o.validateEngine(); err != nil {
		return err
	}
	if o.Nodes < 1 || o.Nodes > topology.MaxNodes {
		return fmt.Errorf("%d nodes: expected 1 to %d", o.Nodes, topology.MaxNodes)
	}
	if err := o.Family.Validate(); err != nil {
		return err
	}
	if o.RunnerDelay < 0 || o.RunnerDelay > maxRunnerDelay {
		return fmt.Errorf("--runner-delay is %v: expected a round trip between 0s and %v, for "+
			"example 50ms", o.RunnerDelay, maxRunnerDelay)
	}
	if err := errors.Join(o.Settings.Validate(), o.validateInterfaceNames()); err != nil {
		return err
	}

	if o.LogSize < 0 {
		return fmt.Errorf("--log-size is %d: expected a number of bytes, for example 10485760",
			o.LogSize)
	}
	for _, variable := range o.Env {
		if name, _, ok := strings.Cut(variable, "="); !ok || name == "" {
			return fmt.Errorf("--env is %q: expected NAME=VALUE", variable)
		}
	}
	for name, source := range o.Images {
		reference, isLayout, err := oci.Parse(source)
		if err == nil && isLayout {
			_, err = oci.Open(reference)
		}
		if err != nil {
			return fmt.Errorf("use image %q: %w", name, err)
		}
		if info, err := os.Stat(source); !isLayout && (err != nil || info.IsDir() ||
			info.Mode()&0o111 == 0) {
			return fmt.Errorf("image %q is mapped to %q: expected an executable file on this "+
				"machine", name, source)
		}
	}

	return nil
}

// nodes are the lab's nodes.
func (o Options) nodes() []topology.Node {
	var all []topology.Node
	for i := range o.Nodes {
		all = append(all, o.Family.NewNode(i))
	}
	return all
}

// OwnImages maps the project's own images to the programs beside this one, as far as they are
// built.
func OwnImages() (map[string]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	images := make(map[string]string)
	for _, name := range []string{
		"pod-creation-reachability-latency", "policy-creation-enforcement-latency",
		"netpol-latency", "netpol-latency-wait",
	} {
		program := filepath.Join(filepath.Dir(self), name)
		if info, err := os.Stat(program); err == nil && !info.IsDir() {
			images[name] = program
		}
	}

	return images, nil
}

// Lab describes a running lab to other processes on the host.
type Lab struct {
	Dir layout.Dir `json:"dir"`
	// PID is the inner process as the host numbers it.
	PID int `json:"pid"`
	// Rootless labs have a user namespace of their own.
	Rootless   bool   `json:"rootless"`
	Kubeconfig string `json:"kubeconfig"`
	Truth      string `json:"truth"`
	// Nodes maps node names to their network namespaces.
	Nodes map[string]string `json:"nodes"`
}

// Load reads the description of the lab that runs in the directory.
func Load(dir layout.Dir) (Lab, error) {
	var lab Lab
	if !held(dir) {
		return lab, fmt.Errorf("no lab runs in %s: start one with \"netpol-latency-lab up --dir "+
			"DIR\"", string(dir))
	}
	err := readJSON(dir.State(), &lab)
	if errors.Is(err, os.ErrNotExist) {
		return lab, fmt.Errorf("the lab in %s is not ready yet: try again when it is", string(dir))
	}
	return lab, err
}

func readJSON(path string, value any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	if err := json.Unmarshal(content, value); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", filepath.Base(path), err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("create the directory of %s: %w", filepath.Base(path), err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}
