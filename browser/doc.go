// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package browser holds tests of the HTML report in a real browser. They are a module of their own,
// so that what drives the browser reaches nobody who uses the tool.
package browser
