// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package report turns summaries into what a person reads. It reads nothing but what it is given.
package report
