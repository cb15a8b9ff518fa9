// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/netpol-latency/netpol-latency/internal/setting"
	"github.com/netpol-latency/netpol-latency/internal/version"
)

// invoke runs the program under the name of a file.
func invoke(file string, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = Main("v1.2.3", append([]string{file}, args...), &out, &err)
	return code, out.String(), err.String()
}

func TestStartedAs(t *testing.T) {
	tests := []struct{ file, call string }{
		{"netpol-latency", "netpol-latency"},
		{"/usr/local/bin/netpol-latency-v1.2.3", "netpol-latency"},
		{"/root/.krew/bin/kubectl-netpol_latency", "kubectl netpol-latency"},
		{"kubectl-netpol_latency.exe", "kubectl netpol-latency"},
		{"./kubectl_complete-netpol_latency", "kubectl netpol-latency"},
	}
	for _, test := range tests {
		if got := startedAs(test.file); got.call != test.call {
			t.Errorf("started as %s, the user types %q; want %q", test.file, got.call, test.call)
		}
	}
}

// No text of the plugin tells its user to type the name of a program that is not there.
func TestPluginTexts(t *testing.T) {
	root := newRoot(startedAs(pluginFile), version.Read(Name, ""), setting.All())
	visit(root, func(cmd *cobra.Command) {
		var help bytes.Buffer
		cmd.SetOut(&help)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(help.String()) {
			line = strings.TrimSuffix(line, "\n")
			for _, child := range root.Commands() {
				text := strings.ReplaceAll(line, "kubectl netpol-latency", "")
				if strings.Contains(text, Name+" "+child.Name()) {
					t.Errorf("%s --help says: %s", cmd.CommandPath(), line)
				}
			}
			if len([]rune(line)) > 100 {
				t.Errorf("%s --help has a line of more than 100 columns: %s", cmd.CommandPath(),
					line)
			}
		}
	})
}

func TestPlugin(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	tests := []struct {
		name   string
		file   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{
			"usage", pluginFile, []string{"run", "--help"}, ExitOK,
			"Usage:\n  kubectl netpol-latency run [SCENARIO…] [flags]\n\nExamples:\n  kubectl " +
				"netpol-latency run --targets 20", "",
		},
		{"the tree", pluginFile, []string{"--help"}, ExitOK,
			`Use "kubectl netpol-latency [command] --help"`, ""},
		{
			"a mistake", pluginFile, []string{"meassure"}, ExitFailure, "",
			`kubectl netpol-latency: unknown command "meassure" for "kubectl netpol-latency"`,
		},
		{"the program's own name", pluginFile, []string{"version"}, ExitOK,
			"netpol-latency v1.2.3\n", ""},
		{"completion is kubectl's", pluginFile, []string{"completion"}, ExitOK, "/usr/local/bin/" +
			completeFile, ""},
		{
			"what kubectl asks for completions", completeFile, []string{"run", "--family", ""},
			ExitOK,
			"IPv4\nIPv6\n:", "Completion ended",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := invoke(test.file, test.args...)
			if code != test.code {
				t.Errorf("exit code %d; want %d", code, test.code)
			}
			if !strings.Contains(stdout, test.stdout) {
				t.Errorf("standard output lacks %q:\n%s", test.stdout, stdout)
			}
			if !strings.Contains(stderr, test.stderr) {
				t.Errorf("standard error lacks %q:\n%s", test.stderr, stderr)
			}
		})
	}
}

// Messages of the packages below name commands as everybody else does; the user sees what to type.
func TestPluginMessages(t *testing.T) {
	root := newRoot(startedAs(pluginFile), version.Read(Name, ""), setting.All())
	tests := []struct{ text, want string }{
		{`start one with "netpol-latency manifests"`,
			`start one with "kubectl netpol-latency manifests"`},
		{"netpol-latency run --output has written",
			"kubectl netpol-latency run --output has written"},
		{"image netpol-latency/netpol-latency:latest",
			"image netpol-latency/netpol-latency:latest"},
		{"the label netpol-latency is missing", "the label netpol-latency is missing"},
		{"netpol-latency runs", "netpol-latency runs"},
	}
	for _, test := range tests {
		if got := reword(root, test.text); got != test.want {
			t.Errorf("%q becomes %q; want %q", test.text, got, test.want)
		}
		if got := reword(newRoot(standalone(), version.Read(Name, ""), setting.All()),
			test.text); got != test.text {
			t.Errorf("%q becomes %q in a program of its own", test.text, got)
		}
	}
}
