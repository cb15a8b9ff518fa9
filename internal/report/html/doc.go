// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package html turns runs into one HTML document that needs nothing else: no server, no network,
// and no file beside it. What a person reads first, the verdict and the statistics, is written by
// the templates; charts and the tables of pairs are drawn by scripts that are part of the document,
// from data that is part of it.
//
// Names of pods and nodes come from a cluster and are not to be trusted. They enter the document
// through html/template, and the scripts write them as text only. The document's
// Content-Security-Policy permits exactly the scripts and styles that are in it, by their hashes,
// and no request of any kind.
package html
