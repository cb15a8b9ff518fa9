// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package labtest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// labs are the shared labs of this process, by their flags.
var labs struct {
	sync.Mutex
	byFlags map[string]*sharedLab
}

// sharedLab is a lab that several tests use, perhaps at the same time.
type sharedLab struct {
	start func() (*Lab, error)
	stop  func() error
}

// Shared is the lab with these flags that the tests of a process share: it is started by the first
// that asks, and ends with the process. It is for tests that change nothing in it but namespaces of
// their own; they may run side by side. The package's TestMain calls [Main].
func Shared(t testing.TB, flags ...string) *Lab {
	t.Helper()
	binary := Binary(t)
	labs.Lock()
	key := strings.Join(flags, " ")
	one := labs.byFlags[key]
	if one == nil {
		one = &sharedLab{stop: func() error { return nil }}
		one.start = sync.OnceValues(func() (*Lab, error) {
			lab, stop, err := start(binary, flags)
			if err == nil {
				one.stop = stop
			}
			return lab, err
		})
		if labs.byFlags == nil {
			labs.byFlags = make(map[string]*sharedLab)
		}
		labs.byFlags[key] = one
	}
	labs.Unlock()

	lab, err := one.start()
	if err != nil {
		t.Fatal(err)
	}
	return lab.Of(t)
}

// Main runs a package's tests, stops the labs that they shared or gave back, and returns the exit
// code.
func Main(m *testing.M) int {
	idleLabs.open = true
	code := m.Run()
	stopped := idleLabs.close()
	for _, one := range labs.byFlags {
		stopped = errors.Join(stopped, one.stop())
	}
	if stopped != nil {
		fmt.Fprintln(os.Stderr, stopped)
		return max(code, 1)
	}
	return code
}
