// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package protocol

import "fmt"

// Version is the version of the protocol that this program speaks. It is raised with every change
// that the other side has to know of. Programs from before there were versions say 0.
const Version = 2

// VersionError says that the two sides speak different versions.
type VersionError struct {
	// Side is who speaks the other version, for example "agent pod agent-0".
	Side    string
	Version int
}

// CheckVersion is nil if a side speaks the version of this program, else a [VersionError].
func CheckVersion(side string, version int) error {
	if version == Version {
		return nil
	}
	return VersionError{Side: side, Version: version}
}

// Error implements error.
func (e VersionError) Error() string {
	return fmt.Sprintf(
		"%s speaks protocol version %d, expected version %d: runner and agents must be of "+
			"one release: name the image with --image",
		e.Side,
		e.Version,
		Version,
	)
}
