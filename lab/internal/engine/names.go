// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

func guardChain(id string) string      { return "guard-" + digest(id) }
func policyChainName(id string) string { return "policy-" + digest(id) }

// dispatchMap leads from a pod's address to its guard.
func dispatchMap(d direction, f family) string { return fmt.Sprintf("%v-%v", d, f) }

// shorten fits a comment into what nft accepts.
func shorten(comment string) string { return comment[:min(len(comment), 127)] }

// setName is the kernel's name of a set's part in one family.
func setName(id string, f family) string { return "set-" + digest(id) + "-" + f.String() }

// digest is a short name for a long one.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}
