// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package verify tests that the checks of the Makefile find what they look for, and what they
// cannot look for: rules of this project for its workflows.
package verify
