// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package cli is the command line of netpol-latency: arguments become calls, results messages and
// exit codes.
package cli
