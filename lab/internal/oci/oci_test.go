// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// entries are the files of a layer: a directory's name ends with a slash.
func layerOf(t *testing.T, entries ...tar.Header) v1.Layer {
	t.Helper()
	var content bytes.Buffer
	writer := tar.NewWriter(&content)
	for _, entry := range entries {
		text := entry.Name
		if entry.Typeflag == 0 && strings.HasSuffix(entry.Name, "/") {
			entry.Typeflag = tar.TypeDir
		}
		if entry.Typeflag == 0 {
			entry.Typeflag, entry.Size = tar.TypeReg, int64(len(text))
		}
		entry.Mode |= 0o755
		check(t, writer.WriteHeader(&entry))
		if entry.Typeflag == tar.TypeReg {
			_, err := io.WriteString(writer, text)
			check(t, err)
		}
	}
	check(t, writer.Close())
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	})
	check(t, err)
	return layer
}

func imageOf(t *testing.T, architecture string, layers ...v1.Layer) v1.Image {
	t.Helper()
	image, err := mutate.AppendLayers(empty.Image, layers...)
	check(t, err)
	config, err := image.ConfigFile()
	check(t, err)
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	config.Config = v1.Config{Entrypoint: []string{"/start"}, Cmd: []string{"now"},
		WorkingDir: "/work", User: "7:8", Env: []string{"A=b"}}
	image, err = mutate.ConfigFile(image, config)
	check(t, err)
	return image
}

func file(name string) tar.Header { return tar.Header{Name: name} }

// layoutOf is a layout of images by their tags.
func layoutOf(t *testing.T, images map[string]mutate.Appendable) string {
	t.Helper()
	dir := t.TempDir()
	made, err := layout.Write(dir, empty.Index)
	check(t, err)
	for tag, image := range images {
		named := layout.WithAnnotations(map[string]string{nameAnnotation: tag})
		switch image := image.(type) {
		case v1.Image:
			check(t, made.AppendImage(image, named))
		case v1.ImageIndex:
			check(t, made.AppendIndex(image, named))
		}
	}
	return dir
}

// platforms is an index of an image for each architecture.
func platforms(t *testing.T, architectures ...string) v1.ImageIndex {
	t.Helper()
	index := v1.ImageIndex(empty.Index)
	for _, architecture := range architectures {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: imageOf(t, architecture, layerOf(t, file(architecture))),
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux",
				Architecture: architecture}},
		})
	}
	return index
}

func list(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	check(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if relative, _ := filepath.Rel(root, path); err == nil && relative != "." {
			if entry.IsDir() {
				relative += "/"
			}
			all = append(all, relative)
		}
		return err
	}))
	return all
}

// Layers add files, replace them, and hide those of the layers below, one at a time or whole
// directories.
func TestUnpack(t *testing.T) {
	image := imageOf(t, runtime.GOARCH,
		layerOf(t, file("keep"), file("hidden"), file("tree/"), file("tree/one"), file("tree/two"),
			file("opaque/"), file("opaque/old/"), file("opaque/old/file"), file("was-file"),
			file("was-dir/"), file("was-dir/file")),
		layerOf(t, file(".wh.hidden"), file("tree/.wh.one"), file("opaque/"),
			file("opaque/.wh..wh..opq"), file("opaque/new"),
			file("was-file/"), file("was-file/inside"), file("was-dir"),
			tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "keep"},
			tar.Header{Name: "soft", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}))
	dir := layoutOf(t, map[string]mutate.Appendable{"v1": image})
	opened, err := Open(Reference{Dir: dir})
	check(t, err)
	below := t.TempDir()
	unpacked, err := opened.Unpack(below)
	check(t, err)
	want := []string{
		"hard", "keep", "opaque/", "opaque/new", "soft", "tree/", "tree/two", "was-dir",
		"was-file/", "was-file/inside",
	}
	if diff := cmp.Diff(want, list(t, unpacked.Root)); diff != "" {
		t.Errorf("the files differ (-want +got):\n%s", diff)
	}
	digest, err := image.Digest()
	check(t, err)
	wantImage := Unpacked{
		Digest: digest.String(), Root: filepath.Join(below, "sha256-"+digest.Hex),
		Entrypoint: []string{"/start"}, Cmd: []string{"now"},
		Env: []string{"A=b"}, WorkingDir: "/work", User: "7:8",
	}
	if diff := cmp.Diff(wantImage, unpacked); diff != "" {
		t.Errorf("the image differs (-want +got):\n%s", diff)
	}
	again, err := opened.Unpack(below)
	if err != nil || len(list(t, below)) != 1+len(want) || again.Root != unpacked.Root {
		t.Errorf("unpacked again: %v: %v", err, list(t, below))
	}
}

// What a layout says of its content is not believed, and no file leaves the image.
func TestUnpackRefuses(t *testing.T) {
	tests := []struct {
		name    string
		image   v1.Image
		corrupt func(t *testing.T, dir string, image v1.Image)
		want    string
	}{
		{"a file outside", imageOf(t, runtime.GOARCH, layerOf(t, file("../outside"))), nil,
			"outside"},
		{"another layer", imageOf(t, runtime.GOARCH, layerOf(t, file("a"))),
			func(t *testing.T, dir string, image v1.Image) {
				layers, err := image.Layers()
				check(t, err)
				other, err := layerOf(t, file("b")).Compressed()
				check(t, err)
				content, err := io.ReadAll(other)
				check(t, err)
				overwrite(t, dir, layers[0], content)
			}, "layer 1: the digest is sha256:"},
		{"another configuration", imageOf(t, runtime.GOARCH, layerOf(t, file("a"))),
			func(t *testing.T, dir string, image v1.Image) {
				content, err := image.RawConfigFile()
				check(t, err)
				manifest, err := image.Manifest()
				check(t, err)
				path := filepath.Join(dir, "blobs", "sha256", manifest.Config.Digest.Hex)
				check(t, os.WriteFile(path, bytes.ReplaceAll(content, []byte("/start"),
					[]byte("/other")), 0o600))
			}, "its configuration: the digest is sha256:"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := layoutOf(t, map[string]mutate.Appendable{"v1": test.image})
			if test.corrupt != nil {
				test.corrupt(t, dir, test.image)
			}
			opened, err := Open(Reference{Dir: dir})
			check(t, err)
			below := t.TempDir()
			if _, err := opened.Unpack(below); err == nil ||
				!strings.Contains(err.Error(), test.want) {
				t.Errorf("it said %v; want %q", err, test.want)
			}
			if left := list(t, below); len(left) > 0 {
				t.Errorf("files are left: %v", left)
			}
		})
	}
}

// A link of an image leads to where it leads in the image, whatever this machine has there.
func TestUnpackStaysInside(t *testing.T) {
	elsewhere := t.TempDir()
	image := imageOf(t, runtime.GOARCH,
		layerOf(t, tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: elsewhere}),
		layerOf(t, file("link/file")))
	opened, err := Open(Reference{Dir: layoutOf(t, map[string]mutate.Appendable{"v1": image})})
	check(t, err)
	unpacked, err := opened.Unpack(t.TempDir())
	check(t, err)
	if left := list(t, elsewhere); len(left) > 0 {
		t.Errorf("files were written to this machine: %v", left)
	}
	if _, err := os.Stat(filepath.Join(unpacked.Root, elsewhere, "file")); err != nil {
		t.Errorf("the file is not where the link leads to: %v", err)
	}
}

func overwrite(t *testing.T, dir string, layer v1.Layer, content []byte) {
	t.Helper()
	digest, err := layer.Digest()
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "blobs", "sha256", digest.Hex), content, 0o600))
}

func TestOpen(t *testing.T) {
	foreign := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	both := layoutOf(t, map[string]mutate.Appendable{"v1": platforms(t, foreign, runtime.GOARCH)})
	two := layoutOf(t, map[string]mutate.Appendable{"v1": platforms(t, runtime.GOARCH),
		"v2": platforms(t, runtime.GOARCH, foreign)})
	tests := []struct {
		name      string
		reference Reference
		want      string // an error, or none
	}{
		{"the only image", Reference{Dir: both}, ""},
		{"an image by its tag", Reference{Dir: two, Tag: "v2"}, ""},
		{"one of two", Reference{Dir: two}, "2 images fit: expected one; the tags there are"},
		{"an unknown tag", Reference{Dir: two, Tag: "v3"},
			"0 images fit: expected one; the tags there are"},
		{"another architecture", Reference{Dir: layoutOf(t,
			map[string]mutate.Appendable{"v1": platforms(t, foreign)})},
			"it is for linux/" + foreign + ": expected linux/" + runtime.GOARCH +
				", which this machine is"},
		{"another architecture without an index", Reference{Dir: layoutOf(t,
			map[string]mutate.Appendable{
				"v1": imageOf(t, foreign, layerOf(t, file("a")))})},
			"it is for linux/" + foreign + ": expected linux/" + runtime.GOARCH +
				", which this machine is"},
		{"no layout", Reference{Dir: t.TempDir()},
			"it is no OCI image layout: expected a directory with the files oci-layout and " +
				"index.json"},
		{"no directory", Reference{Dir: "/nowhere"}, "it is no OCI image layout"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(test.reference)
			if (err == nil) != (test.want == "") || err != nil &&
				!strings.Contains(err.Error(), test.want) {
				t.Errorf("Open(%s) gives %v; want %q", test.reference, err, test.want)
			}
		})
	}
}

func TestParse(t *testing.T) {
	tests := []struct {
		text string
		want Reference
		is   bool
	}{
		{"oci:/layout", Reference{Dir: "/layout"}, true},
		{"oci:/layout:v1", Reference{Dir: "/layout", Tag: "v1"}, true},
		{"oci:/a:b/layout", Reference{Dir: "/a:b/layout"}, true},
		{"oci:/a:b/layout:v1", Reference{Dir: "/a:b/layout", Tag: "v1"}, true},
		{"/usr/bin/program", Reference{}, false},
	}
	for _, test := range tests {
		if got, is, err := Parse(test.text); err != nil || is != test.is || got != test.want {
			t.Errorf("Parse(%q) = %+v, %v, %v; want %+v", test.text, got, is, err, test.want)
		}
	}
	if _, _, err := Parse("oci::v1"); err == nil || !strings.Contains(err.Error(),
		"expected oci:DIR or oci:DIR:TAG") {
		t.Errorf("a reference without a directory gives %v", err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
