// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package result reads and writes what a run has found: samples as JSON Lines (samples.go), the
// form in which they leave a process, and directories that hold those of a run and what the run was
// (directory.go). Both are described field by field in docs/result-format.md.
package result
