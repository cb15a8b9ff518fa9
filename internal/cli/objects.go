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

// fetchTimeout is how long it may take to fetch a file from an address, and largestFile how many
// bytes one may have.
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
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return readDirectory(path)
	}
	content, err := readContent(path, stdin)
	if err != nil {
		return nil, err
	}
	return decodeObjects(content)
}

// readContent reads a file, what is at an address, or standard input.
func readContent(path string, stdin io.Reader) ([]byte, error) {
	switch {
	case isURL(path):
		return fetch(path)
	case path == standardInput:
		content, err := readBounded(stdin)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return content, nil
	}

	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readBounded(file)
}

// readBounded reads all that there is, unless that is more than any file that people write has.
func readBounded(from io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(from, largestFile+1))
	if err == nil && len(content) > largestFile {
		return nil, fmt.Errorf("it has more than %d MiB: is it the right file?", largestFile>>20)
	}
	return content, err
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
		if way, known := generators(path)[entry.Name()]; known {
			return nil, fmt.Errorf("%s is there: measure what it makes: \"%s | %s run --policy "+
				"-\"", entry.Name(), way, Name)
		}
		extension := filepath.Ext(entry.Name())
		if entry.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, extension) {
			continue
		}
		content, err := readContent(filepath.Join(path, entry.Name()), nil)
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

// generators are the commands that make objects of what else is in a directory, by the names of the
// files that say so.
func generators(directory string) map[string]string {
	const kustomize = "kubectl kustomize "
	return map[string]string{
		"Chart.yaml":         "helm template " + directory,
		"kustomization.yaml": kustomize + directory, "kustomization.yml": kustomize + directory,
		"Kustomization": kustomize + directory,
	}
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
	return readBounded(answer.Body)
}

// decodeObjects reads YAML or JSON documents.
func decodeObjects(content []byte) ([]*object, error) {
	if bytes.HasPrefix(content, []byte("\xff\xfe")) || bytes.HasPrefix(content,
		[]byte("\xfe\xff")) {
		return nil, errors.New("it is UTF-16, as PowerShell writes it: expected UTF-8")
	}
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
		if err := identified(one); err != nil {
			return nil, err
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

// identified reports that something cannot be told from other objects.
func identified(one *object) error {
	var lacking []string
	for _, field := range []struct{ name, value string }{
		{"apiVersion", one.GetAPIVersion()}, {"kind", one.GetKind()},
		{"metadata.name", one.GetName()},
	} {
		if field.value == "" {
			lacking = append(lacking, field.name)
		}
	}
	switch {
	case len(lacking) == 0:
		return nil
	case one.GetKind() == "Kustomization":
		return fmt.Errorf("it is for kustomize: measure what it makes: \"kubectl kustomize "+
			"DIRECTORY | %s run --policy -\"", Name)
	case one.GetGenerateName() != "":
		return errors.New("metadata.generateName is for objects that are created anew each " +
			"time: expected metadata.name")
	}
	return fmt.Errorf("expected an object with apiVersion, kind and metadata.name: it has no %s",
		strings.Join(lacking, " and no "))
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
