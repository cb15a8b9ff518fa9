// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package scenario holds what can be measured, as data: the policies in force when the old state is
// proved, the change that is the trigger, and what must become of which pairs. One file each; the
// catalogue lists them.
package scenario
