// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// explained are the packages whose errors a user meets.
func explained() []string {
	return []string{
		"internal/cli", "internal/suite", "internal/setting", "internal/scenario",
		"internal/runner", "internal/kube", "internal/measure",
		"internal/protocol", "internal/interrupt", "internal/result", "internal/report",
		"internal/agent",
		"internal/overlay", "internal/gate", "internal/cli/wait", "internal/ownpod",
		"internal/probe",
		"internal/probe/pace", "manifests",
		"lab/internal/cli", "lab/internal/external", "lab/internal/socket",
		"lab/internal/supervisor", "lab/internal/topology", "lab/internal/witness",
	}
}

// neverShown are errors that programs tell apart and no person reads: what became of a single
// probe, and ways out that are none.
func neverShown() []string {
	return []string{
		"help was asked for", "the version was asked for", "…\nSee … --help.",
		"…: … of … pairs (…)…", "…: … of … pairs, in …", "…: … of …",
		"send the datagram: …", "send the request: …", "read the response: the answer is not HTTP",
		"read the response: the server closed the connection",
		"wait for the answer: none came in time",
		"it is opened again", "the agents are asked whether they are there",
		"wait for the answer: an ICMP message came", "wait for the answer: the pair was stopped",
		// the sockets that the kernel routes for do the work then
		"open a packet socket: …", "send to device …: …",
		"ask on the established connection: it was cut",
		"ask on the established connection: there is none yet",
	}
}

// Every message that the document on troubleshooting explains exists, and every message that exists
// is explained.
func TestTroubleshootingIsComplete(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	quotes := Quotes(string(text))
	used := make(map[string]bool)
	for _, dir := range explained() {
		found, err := ReadMessages(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range slices.Concat(found.Errors, found.Texts) {
			for _, quote := range quotes {
				used[quote] = used[quote] || Quoted(quote, message)
			}
		}
		for _, message := range found.Errors {
			if !slices.Contains(neverShown(), message) &&
				!slices.ContainsFunc(quotes, func(quote string) bool {
					return Quoted(quote, message)
				}) {
				t.Errorf("%s: %q is not explained", dir, message)
			}
		}
	}
	for _, quote := range quotes {
		if !used[quote] {
			t.Errorf("%q is explained, but no package says so", quote)
		}
	}
}

func TestReadMessages(t *testing.T) {
	dir := t.TempDir()
	const source = "package a\n\nimport \"fmt\"\n\nvar e = fmt.Errorf(\"open %q of %[2]d: " +
		"\"+\n\t\"expected %.1f: %w\", x)\n" +
		"var f = errors.New(`no \"file\"`)\nvar w = fmt.Errorf(\"%w: %w\", e, f)\nvar s = " +
		"say(\"text \" + name)\n"
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReadMessages(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"open … of …: expected …: …", `no "file"`},
		got.Errors); diff != "" {
		t.Errorf("the errors differ (-want +got):\n%s", diff)
	}
	if !slices.Contains(got.Texts, "text …") {
		t.Errorf("the texts %q lack one", got.Texts)
	}
}

func TestQuotes(t *testing.T) {
	const text = "| message | meaning |\n| --- | --- |\n| `a …`, `b` | `c` |\n\n" +
		"| other | x |\n| --- | --- |\n| `d` | e |\n"
	if diff := cmp.Diff([]string{"a …", "b"}, Quotes(text)); diff != "" {
		t.Errorf("the quotes differ (-want +got):\n%s", diff)
	}
	for quote, want := range map[string]bool{
		"open … of": true, "expected a": true, "pen": false, "open a": false, "expected … a": false,
	} {
		if Quoted(quote, "open … of b: expected a") != want {
			t.Errorf("Quoted(%q, …) is %v; want %v", quote, !want, want)
		}
	}
}
