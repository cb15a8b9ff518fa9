// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package layout names the files of a lab's state directory.
package layout

import "path/filepath"

// Dir is a lab's state directory, an absolute path.
type Dir string

func (d Dir) at(elements ...string) string {
	return filepath.Join(append([]string{string(d)}, elements...)...)
}

// Kubeconfig is the administrator's way in from the host.
func (d Dir) Kubeconfig() string { return d.at("kubeconfig") }

// Truth is the reference engine's log of what it enforced and when.
func (d Dir) Truth() string { return d.at("truth.jsonl") }

// Commits is the witness's log of what the kernel announced.
func (d Dir) Commits() string { return d.at("commits.jsonl") }

// State describes the running lab: process and namespaces.
func (d Dir) State() string { return d.at("lab.json") }

// Lock is held as long as the lab runs.
func (d Dir) Lock() string { return d.at("lock") }

// Control is the supervisor's socket.
func (d Dir) Control() string { return d.at("control.sock") }

// EngineControl is the socket of an engine.
func (d Dir) EngineControl(component string) string { return d.at(component + ".sock") }

// NodeControl is the socket of a node agent.
func (d Dir) NodeControl(name string) string { return d.at(name + ".sock") }

// Log is the log of a component.
func (d Dir) Log(component string) string { return d.at("logs", component+".log") }

// Credentials is a file of the lab's certificates and keys.
func (d Dir) Credentials(name string) string { return d.at("pki", name) }

// ServiceAccount holds what a pod finds of its service account, for engines that are programs of
// their own.
func (d Dir) ServiceAccount() string { return d.at("pki", "engine-service-account") }

// Config is the configuration file of a component.
func (d Dir) Config(component string) string { return d.at("config", component) }

// Bin holds the kubectl that scripts find when the machine has none.
func (d Dir) Bin() string { return d.at("bin") }

// Cache is where kubectl remembers the API of this lab, and not in the user's home.
func (d Dir) Cache() string { return d.at("cache") }

// Volatile is where a file system in memory is mounted that only the lab sees.
func (d Dir) Volatile() string { return d.at("volatile") }

// Images holds the files of images, which all nodes share.
func (d Dir) Images() string { return d.at("images") }

// Node is the state directory of a node agent.
func (d Dir) Node(name string) string { return d.at("nodes", name) }
