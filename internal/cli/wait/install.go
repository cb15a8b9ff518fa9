// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package wait

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// newInstall copies the program to where other containers of its pod find it: its own image has
// nothing to copy files with.
func newInstall(name string) *cobra.Command {
	return &cobra.Command{
		Use:   "install DIRECTORY",
		Short: "Copy this program into a directory, for other containers of the pod",
		Long: "Copy this program into a directory, such as a volume that a pod's containers " +
			"share, so that the\nprobe of a container can execute it whose image does not have it.",
		Example: "  " + name + " install /gate",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return install(filepath.Join(args[0], name))
		},
	}
}

// install copies the running program to a file.
func install(to string) error {
	from, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	program, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read this program: %w", err)
	}
	// Another container may run as another user.
	if err := os.WriteFile(to, program, 0o755); err != nil {
		return fmt.Errorf("install this program: %w", err)
	}
	return nil
}
