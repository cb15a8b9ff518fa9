// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/netpol-latency/netpol-latency/release/internal/bom"
	"github.com/netpol-latency/netpol-latency/release/internal/build"
	"github.com/netpol-latency/netpol-latency/release/internal/cli"
)

const (
	root    = "../../.."
	version = "v1.2.3-test.1"
	epoch   = "1700000000"
	when    = "2023-11-14T22:13:20Z"
)

// serveRegistry is a registry on this machine, without or with the interface for referrers.
func serveRegistry(t *testing.T, referrers bool) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)),
		registry.WithReferrersSupport(referrers)))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// run runs the command line and returns what it printed.
func run(t *testing.T, arguments ...string) string {
	t.Helper()
	t.Setenv(build.EpochVariable, epoch)
	var stdout, stderr bytes.Buffer
	if code := cli.Main(arguments, &stdout, &stderr); code != cli.ExitOK {
		t.Fatalf("%s: exit code %d: %s", strings.Join(arguments, " "), code, &stderr)
	}
	return stdout.String()
}

// Every image is pushed to a registry, pulled back, and is what its users need.
func TestPush(t *testing.T) {
	prefix := serveRegistry(t, true) + "/team"
	printed := run(t, "images", "--source", root, "--push", prefix, "--version", version)
	for i, image := range []string{"netpol-latency", "netpol-latency-wait",
		"pod-creation-reachability-latency", "policy-creation-enforcement-latency"} {
		t.Run(image, func(t *testing.T) {
			tag, err := name.NewTag(prefix + "/" + image + ":" + version)
			check(t, err)
			index, err := remote.Index(tag)
			check(t, err)
			check(t, validate.Index(index)) // digests, sizes and contents fit together
			digest, err := index.Digest()
			check(t, err)
			if got, want := strings.Split(printed, "\n")[i],
				tag.String()+"@"+digest.String(); got != want {
				t.Errorf("it printed %q; want %q", got, want)
			}
			manifest, err := index.IndexManifest()
			check(t, err)
			if got := manifest.Annotations["org.opencontainers.image.version"]; got != version {
				t.Errorf("the version of the index is %q; want %q", got, version)
			}
			var platforms []string
			for _, one := range manifest.Manifests {
				platforms = append(platforms, one.Platform.String())
				child, err := index.Image(one.Digest)
				check(t, err)
				t.Run(one.Platform.Architecture, func(t *testing.T) {
					expectImage(t, child, image, one)
					expectBill(t, tag.Repository, one, image)
				})
			}
			if diff := cmp.Diff([]string{"linux/amd64", "linux/arm64"}, platforms); diff != "" {
				t.Errorf("the platforms differ (-want +got):\n%s", diff)
			}
		})
	}
}

func expectImage(t *testing.T, image v1.Image, title string, descriptor v1.Descriptor) {
	t.Helper()
	config, err := image.ConfigFile()
	check(t, err)
	if config.OS != "linux" || config.Architecture != descriptor.Platform.Architecture ||
		descriptor.ArtifactType != "" {
		t.Errorf("it is for %s/%s, listed as %+v", config.OS, config.Architecture, descriptor)
	}
	got := config.Config
	labels := got.Labels
	got.Labels = nil
	want := v1.Config{
		User: "65532:65532", WorkingDir: "/", Entrypoint: []string{"/" + title},
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the configuration differs (-want +got):\n%s", diff)
	}
	for label, want := range map[string]string{"title": title, "version": version, "created": when,
		"licenses": "Apache-2.0"} {
		if got := labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("the label %s is %q; want %q", label, got, want)
		}
	}
	files := extract(t, image)
	expectFiles(t, files, title)
	if descriptor.Platform.Architecture == runtime.GOARCH && runtime.GOOS == "linux" {
		expectPrograms(t, files, title)
	}
}

// extract unpacks an image; links are only listed. It returns the directory and checks that no file
// is younger than the source.
func extract(t *testing.T, image v1.Image) string {
	t.Helper()
	to := t.TempDir()
	stream := mutate.Extract(image)
	defer stream.Close()
	for reader := tar.NewReader(stream); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return to
		}
		check(t, err)
		if header.ModTime.Unix() != 1700000000 || header.Uid != 0 || header.Gid != 0 {
			t.Errorf("%s is of %s and belongs to %d:%d", header.Name, header.ModTime, header.Uid,
				header.Gid)
		}
		path := filepath.Join(to, header.Name)
		switch header.Typeflag {
		case tar.TypeDir:
			check(t, os.MkdirAll(path, 0o755))
		case tar.TypeSymlink:
			check(t, os.Symlink(header.Linkname, path))
		default:
			content, err := io.ReadAll(reader)
			check(t, err)
			check(t, os.WriteFile(path, content, os.FileMode(header.Mode)))
		}
	}
}

// expectFiles checks that an image has just the files that it needs: a shell if ClusterLoader2
// starts it, none otherwise.
func expectFiles(t *testing.T, files, title string) {
	t.Helper()
	if title == "netpol-latency-wait" {
		info, err := os.Stat(filepath.Join(files, title))
		check(t, err)
		if info.Size() > 10_000_000 {
			t.Errorf("the program has %d bytes; want at most 10 MB", info.Size())
		}
	}
	want := []string{title, "etc/group", "etc/passwd", "licenses/LICENSE",
		"licenses/THIRD-PARTY-NOTICES"}
	if hasShell(title) {
		want = append(want, "bin/busybox", "bin/sh", "licenses/busybox/copyright")
	}
	seen := make(map[string]bool)
	check(t, filepath.WalkDir(files, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			relative, _ := filepath.Rel(files, path)
			seen[relative] = true
		}
		return err
	}))
	for _, file := range want {
		if !seen[file] {
			t.Errorf("it has no %s", file)
		}
		delete(seen, file)
	}
	for file := range seen {
		t.Errorf("it has a file %s", file)
	}
}

// hasShell reports whether ClusterLoader2 starts what is in the image.
func hasShell(title string) bool { return !strings.HasPrefix(title, "netpol-latency") }

// expectPrograms runs what is in an image of this machine's platform.
func expectPrograms(t *testing.T, files, title string) {
	t.Helper()
	output, err := exec.Command(filepath.Join(files, title), "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(output), title) {
		t.Errorf("%s --help: %v:\n%s", title, err, output)
	}
	if !hasShell(title) {
		return
	}
	shell := exec.Command(filepath.Join(files, "bin/sh"), "-c", "./"+title+" -version")
	shell.Dir, shell.Args[0], shell.Env = files, "sh", []string{}
	output, err = shell.CombinedOutput()
	if err != nil || !strings.Contains(string(output), title+" "+version) {
		t.Errorf("in its shell, ./%s -version: %v:\n%s", title, err, output)
	}
}

// expectBill checks that a registry lists a bill of materials among an image's referrers, and that
// it names what is in the image.
func expectBill(t *testing.T, repository name.Repository, subject v1.Descriptor, title string) {
	t.Helper()
	referrers, err := remote.Referrers(repository.Digest(subject.Digest.String()))
	check(t, err)
	list, err := referrers.IndexManifest()
	check(t, err)
	if len(list.Manifests) != 1 {
		t.Fatalf("%d artifacts refer to it; want one", len(list.Manifests))
	}
	artifact, err := remote.Image(repository.Digest(list.Manifests[0].Digest.String()))
	check(t, err)
	manifest, err := artifact.Manifest()
	check(t, err)
	if manifest.ArtifactType != bom.MediaType || manifest.Subject == nil ||
		manifest.Subject.Digest != subject.Digest {
		t.Errorf("its referrer is of type %q and about %+v", manifest.ArtifactType,
			manifest.Subject)
	}
	layers, err := artifact.Layers()
	check(t, err)
	content, err := layers[0].Uncompressed()
	check(t, err)
	defer content.Close()
	document := new(cdx.BOM)
	check(t, cdx.NewBOMDecoder(content, cdx.BOMFileFormatJSON).Decode(document))
	if got := document.Metadata.Component; got.Name != title || got.Version != version ||
		document.Metadata.Timestamp != when {
		t.Errorf("the bill is about %s %s of %s", got.Name, got.Version,
			document.Metadata.Timestamp)
	}
	names := make(map[string]string)
	for _, component := range *document.Components {
		names[component.Name] = component.PackageURL
	}
	want := []string{"stdlib", "golang.org/x/sys"}
	if title != "netpol-latency-wait" {
		want = append(want, "k8s.io/client-go")
	}
	if hasShell(title) {
		want = append(want, "busybox-static")
		if !strings.Contains(names["busybox-static"], "arch="+subject.Platform.Architecture) {
			t.Errorf("the shell is %q; want it for %s", names["busybox-static"],
				subject.Platform.Architecture)
		}
	}
	for _, name := range want {
		if names[name] == "" {
			t.Errorf("the bill does not list %s", name)
		}
	}
}

// Built from a copy of the source in another directory, without Git, an image has the same digest;
// of another version, another one.
func TestReproducible(t *testing.T) {
	copied := filepath.Join(t.TempDir(), "another directory")
	copySource(t, copied)
	// A revision is part of the source, and a copy without Git has none: neither may the other.
	bare := filepath.Join(t.TempDir(), "one")
	copySource(t, bare)
	layoutOf := func(source, version string) string {
		directory := t.TempDir()
		run(t, "images", "netpol-latency", "--platform", "linux/amd64", "--source", source,
			"--output", directory, "--version", version)
		return directory
	}
	one, two := layoutOf(bare, version), layoutOf(copied, version)
	if diff := cmp.Diff(readAll(t, one), readAll(t, two)); diff != "" {
		t.Errorf("built twice, the files differ (-one +two):\n%.2000s", diff)
	}
	other := layoutOf(copied, "v9.9.9")
	if indexDigest(t, one) == indexDigest(t, other) {
		t.Error("another version has the same digest")
	}
}

func copySource(t *testing.T, to string) {
	t.Helper()
	for _, part := range []string{"cmd", "internal", "manifests"} {
		check(t, os.CopyFS(filepath.Join(to, part), os.DirFS(filepath.Join(root, part))))
	}
	for _, file := range []string{"go.mod", "go.sum", "LICENSE", "README.md", "CHANGELOG.md"} {
		content, err := os.ReadFile(filepath.Join(root, file))
		check(t, err)
		check(t, os.WriteFile(filepath.Join(to, file), content, 0o644))
	}
}

// readAll is the content of all files, as digests.
func readAll(t *testing.T, directory string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	check(t, filepath.WalkDir(directory, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if info, err := entry.Info(); err != nil || info.Mode() != 0o644 {
			t.Errorf("%s has mode %v, %v; want one that everyone can read", path, info.Mode(), err)
		}
		content, err := os.ReadFile(path)
		relative, _ := filepath.Rel(directory, path)
		hash, _, _ := v1.SHA256(bytes.NewReader(content))
		all[relative] = hash.String()
		return err
	}))
	return all
}

func indexDigest(t *testing.T, directory string) string {
	t.Helper()
	index, err := layout.ImageIndexFromPath(filepath.Join(directory, "netpol-latency"))
	check(t, err)
	manifest, err := index.IndexManifest()
	check(t, err)
	return manifest.Manifests[0].Digest.String()
}

// A base in a registry takes the place of Debian's shell, by the name and digest that it has there;
// and a registry that lists no referrers gets the bill of materials as well, by the tag that stands
// for that.
func TestRegistryBase(t *testing.T) {
	host := serveRegistry(t, false)
	shell, err := random.Image(1024, 1)
	check(t, err)
	settings, err := shell.ConfigFile()
	check(t, err)
	settings.OS, settings.Architecture = "linux", "amd64"
	shell, err = mutate.ConfigFile(shell, settings)
	check(t, err)
	base := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: shell,
		Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	baseDigest, err := base.Digest()
	check(t, err)
	baseTag, err := name.NewTag(host + "/shell:1")
	check(t, err)
	check(t, remote.WriteIndex(baseTag, base))

	run(t, "images", "policy-creation-enforcement-latency", "--source", root, "--platform",
		"linux/amd64",
		"--push", host+"/team", "--version", version, "--base", baseTag.String())
	tag, err := name.NewTag(host + "/team/policy-creation-enforcement-latency:" + version)
	check(t, err)
	image, err := remote.Image(tag, remote.WithPlatform(v1.Platform{OS: "linux",
		Architecture: "amd64"}))
	check(t, err)
	config, err := image.ConfigFile()
	check(t, err)
	for label, want := range map[string]string{"name": baseTag.Name(),
		"digest": baseDigest.String()} {
		if got := config.Config.Labels["org.opencontainers.image.base."+label]; got != want {
			t.Errorf("the label base.%s is %q; want %q", label, got, want)
		}
	}
	digest, err := image.Digest()
	check(t, err)
	referrers, err := remote.Referrers(tag.Digest(digest.String()))
	check(t, err)
	list, err := referrers.IndexManifest()
	check(t, err)
	if len(list.Manifests) != 1 {
		encoded, _ := json.Marshal(list)
		t.Errorf("the referrers are %s; want one", encoded)
	}
	if missing := runError(t, "images", "--source", root, "--output", t.TempDir(), "--base",
		host+"/nothing:1", "--platform", "linux/amd64",
		"pod-creation-reachability-latency"); !strings.Contains(missing,
		"pull the base "+host+"/nothing:1 for linux/amd64") {
		t.Errorf("a base that does not exist gives %q", missing)
	}
}

// Mistakes cost no build, leave nothing, and say what to do.
func TestMistakes(t *testing.T) {
	output := filepath.Join(t.TempDir(), "images")
	tests := []struct {
		name      string
		arguments []string
		want      string
	}{
		{"no destination", []string{"images"},
			"expected either --output, a directory, or --push, a registry and a path"},
		{"two destinations", []string{"images", "--output", output, "--push", "x"},
			"expected either --output"},
		{"unknown image", []string{"images", "--output", output, "busybox"},
			`image "busybox": expected some of netpol-latency, netpol-`},
		{"unknown platform", []string{"images", "--output", output, "--platform", "linux/s390x"},
			`platform "linux/s390x": expected some of [linux/amd64 linux/arm64]`},
		{"version that is no tag", []string{"images", "--output", output, "--source", root,
			"--version", "1 2"},
			`version "1 2": expected what can be an image's tag, for example v1.2.3`},
		{"registry that is none", []string{"images", "--push", "UPPER/case", "--source", root,
			"--version", version},
			`push to "UPPER/case": expected a registry and a repository, for example registry.example/team`},
		{"source that is none", []string{"images", "--output", output, "--source", "."},
			"expected the directory with the go.mod of " + build.Module},
		{"base that is no reference", []string{"images", "--output", output, "--source", root,
			"--base", "::"}, `base "::": expected the reference of an image`},
		{"archives without a directory", []string{"archives"},
			"--output is missing: expected a directory for the archives"},
		{"release without notes", []string{"archives", "--source", root, "--output", output,
			"--version", "v9.9.9"},
			`expected a section "## v9.9.9" in CHANGELOG.md`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := runError(t, test.arguments...); !strings.Contains(got, test.want) {
				t.Errorf("it said %q; want %q", got, test.want)
			}
			if _, err := os.Stat(output); err == nil {
				t.Errorf("%s is left", output)
			}
		})
	}
}

// runError runs a command line that must not succeed, and returns what it said.
func runError(t *testing.T, arguments ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := cli.Main(arguments, &stdout, &stderr); code != cli.ExitFailure {
		t.Errorf("exit code %d; want %d", code, cli.ExitFailure)
	}
	return stderr.String()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fmt.Errorf("unexpected: %w", err))
	}
}
