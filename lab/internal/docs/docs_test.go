// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	const text = "# Title\n\n<!-- run: lab, --delay 300ms, from the repository, exit 2, env " +
		"IMAGE=x, smaller --targets=2 --repeat=1 -->\n```bash\nrun IMAGE\n```\n\n" +
		"1. An item,\n   and a block in it:\n\n    further text\n\n   <!-- not run: needs a " +
		"cloud -->\n   ```sh\n   ls\n     cd\n   ```\n\n" +
		"<!-- a comment -->\n\nText.\n<!-- file: a.yaml -->\n````yaml\n```\n````\n"
	got, err := Parse("a.md", text)
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{File: "a.md", Line: 4, Language: "bash", Text: "run IMAGE\n", Mark: Mark{
			Kind: Run, Text: "lab, --delay 300ms, from the repository, exit 2, env IMAGE=x, " +
				"smaller --targets=2 --repeat=1",
			Lab: true, FromRepository: true, Smaller: []string{"--targets=2", "--repeat=1"},
			LabFlags: []string{"--delay", "300ms"}, Exit: 2, Env: map[string]string{"IMAGE": "x"},
		}},
		{File: "a.md", Line: 14, Language: "sh", Text: "ls\n  cd\n",
			Mark: Mark{Kind: NotRun, Text: "needs a cloud"}},
		{File: "a.md", Line: 23, Language: "yaml", Text: "```\n",
			Mark: Mark{Kind: File, Text: "a.yaml"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the blocks differ (-want +got):\n%s", diff)
	}
}

// A document may show those lines of an output that matter.
func TestParseSomeLines(t *testing.T) {
	blocks, err := Parse("a.md", "<!-- run: no cluster -->\n```sh\nseq 5\n```\n\n"+
		"<!-- output: some lines -->\n```\n2 of\n4 of\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	for printed, want := range map[string]bool{
		"0\n2 of\n1\n4 of\n": true, "2 of\n4 of\n": true, "2 of\n1 on\n": false,
	} {
		if got := Prints(blocks[1].Text, printed); got != want {
			t.Errorf("Prints(…, %q) is %v; want %v", printed, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"no mark": {"```\nls\n```\n", "a.md:1: the block has no mark"},
		"no reason": {"<!-- not run: -->\n```\nls\n```\n",
			"a.md:1: read the mark: expected a reason"},
		"nowhere": {"<!-- run: cloud -->\n```\nls\n```\n",
			`expected "lab" or "no cluster" first`},
		"unknown option": {"<!-- run: lab, slowly -->\n```\nls\n```\n", `option "slowly"`},
		"smaller by nothing": {"<!-- run: lab, smaller -->\n```\nls\n```\n",
			`option "smaller"`},
		"flag without lab": {"<!-- run: no cluster, --delay 1s -->\n```\nls\n```\n",
			`option "--delay 1s"`},
		"directory": {"<!-- file: ../a -->\n```\nls\n```\n",
			"expected a name without a directory"},
		"mark without text": {"<!-- run: lab -->\nText.\n",
			"a.md:2: the mark before this line belongs to no block"},
		"output of a kind":  {"<!-- output: all -->\n```\nls\n```\n", `or "some lines"`},
		"output of nothing": {"<!-- output -->\n```\nls\n```\n", "follows no block that is run"},
		"no language": {"<!-- run: lab -->\n```\nls\n```\n",
			"expected the language sh, bash or console"},
		"indented": {"Text:\n\n    ls\n", "a.md:3: an indented block"},
		"open":     {"<!-- run: lab -->\n```sh\nls\n", "the block of line 2 has no end"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse("a.md", test.text); err == nil ||
				!strings.Contains(err.Error(), test.want) {
				t.Errorf("got the error %v; want one that says %q", err, test.want)
			}
		})
	}
}

func TestSteps(t *testing.T) {
	block := Block{Language: "console", Mark: Mark{Env: map[string]string{"IMAGE": "x"}},
		Text: "$ run IMAGE $IMAGE MYIMAGE \\\n    more\nout\n\n" +
			"$ cat <<END\nIMAGE\nEND\nIMAGE\n$ true\n"}
	want := []Step{
		{Command: "run x $IMAGE MYIMAGE \\\n    more\n", Output: "out\n\n"},
		{Command: "cat <<END\nIMAGE\nEND\n", Output: "IMAGE\n"},
		{Command: "true\n"},
	}
	if diff := cmp.Diff(want, block.Steps()); diff != "" {
		t.Errorf("the steps differ (-want +got):\n%s", diff)
	}
}

func TestPrints(t *testing.T) {
	const got = "took 1.25s\nname   of  p50\n  node-0  20/20   4.6ms\nend\n"
	for want, prints := range map[string]bool{
		got: true,
		"took 300ms\nname of p50\nnode-12 3/20 12µs\nend\n": true,
		"took …\n…\nend\n":                                  true,
		"…\nnode-0 …\n…\n":                                  true,
		"…\n":                                               true,
		"took 1.25s\n":                                      false,
		"took 1.25s\n…\nend.\n":                             false,
		"took forever\n…\n":                                 false,
		"…\nnode-x …\n…\n":                                  false,
	} {
		if Prints(want, got) != prints {
			t.Errorf("Prints(%q, …) is %v; want %v", want, !prints, prints)
		}
	}
	if !Prints("p50 p99\n2.34ms 300ms\n", "p50 p99\n≤33.9ms >1200ms\n") {
		t.Error("a bound is no figure; want it to be one")
	}
}

func TestLinks(t *testing.T) {
	const text = "# The `run` command, and more\n\n[a](b.md#c-d) [web](https://example.com) " +
		"[e](#f)\n\n```\n# no heading [x](y)\n```\n## Two_words-here\n"
	if diff := cmp.Diff([]string{"b.md#c-d", "#f"}, Links(text)); diff != "" {
		t.Errorf("the links differ (-want +got):\n%s", diff)
	}
	want := map[string]bool{"the-run-command-and-more": true, "two_words-here": true}
	if diff := cmp.Diff(want, Anchors(text)); diff != "" {
		t.Errorf("the anchors differ (-want +got):\n%s", diff)
	}
}
