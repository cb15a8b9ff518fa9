// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package result reads and writes samples as JSON Lines, the form in which they leave a process. The
// form is described field by field in docs/result-format.md.
package result
