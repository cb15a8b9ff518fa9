// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"
)

// longestShort is the most that krew's search shows of a short description.
const longestShort = 50

// entry is what the template says of an archive.
type entry struct {
	archive
	URI string
}

// fill fills in the template.
func fill(file, version, downloads string, archives []archive) ([]byte, error) {
	parsed, err := template.New(filepath.Base(file)).Option("missingkey=error").ParseFiles(file)
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}

	var entries []entry
	for _, one := range archives {
		uri, err := url.JoinPath(downloads, one.File)
		if err != nil {
			return nil, fmt.Errorf("-downloads %q: expected a URL: %w", downloads, err)
		}
		entries = append(entries, entry{one, uri})
	}

	var content bytes.Buffer
	values := struct {
		Version  string
		Archives []entry
	}{version, entries}

	if err := parsed.Execute(&content, values); err != nil {
		return nil, fmt.Errorf("fill in the template: %w", err)
	}

	return content.Bytes(), nil
}

// manifest is what krew reads. It knows more fields, which this plugin does not need and must not
// misspell.
type manifest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Version          string          `json:"version"`
		Homepage         string          `json:"homepage"`
		ShortDescription string          `json:"shortDescription"`
		Description      string          `json:"description"`
		Caveats          string          `json:"caveats"`
		Platforms        []platformEntry `json:"platforms"`
	} `json:"spec"`
}

type platformEntry struct {
	Selector struct {
		MatchLabels map[string]string `json:"matchLabels"`
	} `json:"selector"`
	URI    string `json:"uri"`
	SHA256 string `json:"sha256"`
	Bin    string `json:"bin"`
}

// validate holds a manifest against the rules that krew's documentation and its index have, and
// reports every mistake.
func validate(content []byte) error {
	var m manifest
	if err := yaml.UnmarshalStrict(content, &m); err != nil {
		return fmt.Errorf("read it: %w", err)
	}

	s := m.Spec
	mistakes := []error{
		expect("apiVersion", m.APIVersion, `^krew\.googlecontainertools\.github\.com/v1alpha2$`),
		expect("kind", m.Kind, `^Plugin$`),
		expect("metadata.name", m.Metadata.Name, `^netpol-latency$`),
		expect("spec.version", s.Version,
			`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`),
		expect("spec.homepage", s.Homepage, `^https://\S+$`),
		expect("spec.shortDescription", s.ShortDescription,
			fmt.Sprintf(`^[A-Z].{0,%d}$`, longestShort-1)),
		expect("spec.description", strings.ReplaceAll(s.Description, "\n", " "), `\S`),
	}

	seen := make(map[platform]int)
	for i, one := range s.Platforms {
		mistakes = append(mistakes, one.validate(fmt.Sprintf("spec.platforms[%d]", i)))
		seen[platform{one.Selector.MatchLabels["os"], one.Selector.MatchLabels["arch"]}]++
	}

	for _, one := range platforms() {
		if seen[one] != 1 {
			mistakes = append(mistakes, fmt.Errorf("%d platforms are %s/%s: expected one",
				seen[one], one.OS, one.Arch))
		}
	}

	return errors.Join(mistakes...)
}

func (p platformEntry) validate(where string) error {
	labels := p.Selector.MatchLabels
	mistakes := []error{
		expect(where+".uri", p.URI, `^https://\S+\.tar\.gz$`),
		expect(where+".sha256", p.SHA256, `^[0-9a-f]{64}$`),
		expect(where+".bin", p.Bin, `^([^/.][^/]*/)*netpol-latency$`),
	}
	if len(labels) != 2 || labels["os"] == "" || labels["arch"] == "" {
		mistakes = append(mistakes, fmt.Errorf("%s.selector.matchLabels %v: expected os and arch",
			where, labels))
	}
	return errors.Join(mistakes...)
}

func expect(field, value, pattern string) error {
	if regexp.MustCompile(pattern).MatchString(value) {
		return nil
	}
	return fmt.Errorf("%s %q: expected it to match %s", field, value, pattern)
}
