// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// object is an object of any kind.
type object = unstructured.Unstructured

// standardInput is the path that stands for it.
const standardInput = "-"

// The bounds of what is fetched from an address.
const (
	fetchTimeout = 30 * time.Second
	largestFile  = 10 << 20
)

func isURL(path string) bool {
	return strings.HasPrefix(path, "http://") || strings.HasPrefix(path, "https://")
}

// readObjects reads what "kubectl apply -f" takes: a file, the files of a directory, an address, or
// standard input, with YAML or JSON documents, of which each may be a list. What an API server has
// filled in is dropped. The library that kubectl has for this brings all of kustomize with it,
// which would double what this program, which also runs in pods, consists of.
func readObjects(path string, stdin io.Reader) ([]*object, error) {
	info, err := os.Stat(path)
	switch {
	case path == standardInput:
		content, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return decodeObjects(content)
	case isURL(path):
		content, err := fetch(path)
		if err != nil {
			return nil, err
		}
		return decodeObjects(content)
	case err != nil:
		return nil, err
	case info.IsDir():
		return readDirectory(path)
	}

	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decodeObjects(content)
}

// readDirectory reads the files of a directory whose names say that they have objects, in the order
// of their names.
func readDirectory(path string) ([]*object, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}

	var all []*object
	for _, entry := range entries {
		extension := filepath.Ext(entry.Name())
		if entry.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, extension) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(path, entry.Name()))
		if err != nil {
			return nil, err
		}
		objects, err := decodeObjects(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name(), err)
		}
		all = append(all, objects...)
	}

	if len(all) == 0 {
		return nil, errors.New("the directory has no file with an object: expected at least one " +
			"that ends in .yaml, .yml or .json")
	}
	return all, nil
}

// fetch gets a file from an address.
func fetch(url string) ([]byte, error) {
	client := http.Client{Timeout: fetchTimeout}
	answer, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %s: expected 200 OK", answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, largestFile))
}

// decodeObjects reads YAML or JSON documents.
func decodeObjects(content []byte) ([]*object, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	var all []*object
	for number := 1; ; number++ {
		one := &object{}
		err := decoder.Decode(&one.Object)
		switch {
		case errors.Is(err, io.EOF) && len(all) == 0:
			return nil, errors.New("it holds no object: expected at least one")
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil && bytes.Contains(content, []byte("{{")):
			return nil, fmt.Errorf("document %d: is it a template? \"helm template CHART | %s run "+
				"--policy -\" measures what it becomes: %w", number, Name, err)
		case err != nil:
			return nil, fmt.Errorf("document %d: %w", number, err)
		case len(one.Object) == 0:
			continue
		}

		objects, err := flatten(one)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", number, err)
		}
		all = append(all, objects...)
	}
}

// flatten are the objects of a list, or the object itself, as they are written into a file.
func flatten(one *object) ([]*object, error) {
	if !one.IsList() {
		if one.GetKind() == "" || one.GetAPIVersion() == "" || one.GetName() == "" {
			return nil, errors.New("expected an object with apiVersion, kind and metadata.name")
		}
		plain(one)
		return []*object{one}, nil
	}

	var all []*object
	err := one.EachListItem(func(item runtime.Object) error {
		objects, err := flatten(item.(*object))
		all = append(all, objects...)
		return err
	})
	return all, err
}

// plain drops what an API server, or others in a cluster, have filled in.
func plain(one *object) {
	delete(one.Object, "status")
	for _, field := range []string{
		"uid", "resourceVersion", "generation", "selfLink", "creationTimestamp",
		"deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "ownerReferences",
		"finalizers", "generateName",
	} {
		unstructured.RemoveNestedField(one.Object, "metadata", field)
	}
	const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
	unstructured.RemoveNestedField(one.Object, "metadata", "annotations", lastApplied)
	if len(one.GetAnnotations()) == 0 {
		unstructured.RemoveNestedField(one.Object, "metadata", "annotations")
	}
}
