// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package archive makes the files that a release is downloaded as.
//
//	content.go    what is in the archives
//	pack.go       a list of files becomes a tar.gz, the same bytes each time
//	release.go    all of them, with bills of materials, notes and checksums
//	changelog.go  what has changed
package archive
