// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package protocol is what a runner and its agents say to each other. The runner writes plans
// (plan.go) into a config map, so that they do not depend on the network that is measured. Agents
// and starting pods write numbered lines (line.go) into their logs. Both say which version they
// speak (version.go).
package protocol
