// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKustomizeBases holds the bases against the templates; -update writes them.
func TestKustomizeBases(t *testing.T) {
	for _, scenario := range []string{"pod-creation", "policy-creation"} {
		for step, directory := range map[Step]string{Setup: "", Trigger: "trigger"} {
			path := filepath.Join("kustomize", scenario, directory, "objects.yaml")
			t.Run(path, func(t *testing.T) {
				want := render(t, step, DefaultValues(scenario))
				if flag.Lookup("update").Value.String() == "true" {
					if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				got, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, string(got)); diff != "" {
					t.Errorf("the base differs from the templates: run \"go test ./manifests "+
						"-update\" (-templates +base):\n%s", diff)
				}
			})
		}
	}
}

// TestMain defines the flag.
func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the kustomize bases")
	flag.Parse()
	os.Exit(m.Run())
}
