// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

// Package bom writes software bills of materials, in CycloneDX's JSON.
package bom

import (
	"bytes"
	"fmt"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"

	"github.com/netpol-latency/netpol-latency/release/internal/build"
)

// MediaType is that of what Write returns.
const MediaType = "application/vnd.cyclonedx+json"

// Suffix ends the names of files with it.
const Suffix = ".cdx.json"

// Subject is what a bill is about.
type Subject struct {
	// Name is that of an image or an archive, and Kind says which.
	Name string
	Kind cdx.ComponentType
	// Programs are in it, built for one platform.
	Programs []build.Program
	// Others are in it besides the programs, for example the packages of an image's base.
	Others []cdx.Component
}

// Write lists what the subject consists of: the modules that its programs were linked with, Go's
// own library, and what else there is. The same subject gives the same bytes.
func Write(source build.Source, subject Subject) ([]byte, error) {
	document := cdx.NewBOM()
	platform := subject.Programs[0].Platform
	root := cdx.Component{
		BOMRef: "subject", Type: subject.Kind, Name: subject.Name, Version: source.Version,
		PackageURL: moduleURL(build.Module, source.Version) + "#cmd/" + subject.Programs[0].Name,
		Licenses:   &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
		Properties: &[]cdx.Property{{Name: "platform", Value: platform.String()},
			{Name: "revision", Value: source.Revision}},
	}

	document.Metadata = &cdx.Metadata{Timestamp: source.Time.Format(time.RFC3339), Component: &root}
	components := collect(subject)
	document.Components = &components
	references := make([]string, len(components))
	for i, component := range components {
		references[i] = component.BOMRef
	}

	document.Dependencies = &[]cdx.Dependency{{Ref: root.BOMRef, Dependencies: &references}}
	// A serial number is for one content: it is made of the document without it.
	content, err := encode(document)
	if err != nil {
		return nil, fmt.Errorf("write the bill of materials of %s: %w", subject.Name, err)
	}

	document.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, content).URN()
	if content, err = encode(document); err != nil {
		return nil, fmt.Errorf("write the bill of materials of %s: %w", subject.Name, err)
	}

	return content, nil
}

func encode(document *cdx.BOM) ([]byte, error) {
	var content bytes.Buffer
	err := cdx.NewBOMEncoder(&content,
		cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(document, cdx.SpecVersion1_6)
	return content.Bytes(), err
}

// collect lists each component once, in the order of their names within each program.
func collect(subject Subject) []cdx.Component {
	seen := make(map[string]bool)
	var all []cdx.Component
	add := func(component cdx.Component) {
		if !seen[component.BOMRef] {
			seen[component.BOMRef] = true
			all = append(all, component)
		}
	}

	for _, program := range subject.Programs {
		add(library("stdlib", strings.TrimPrefix(program.Info.GoVersion, "go")))
		for _, module := range program.Info.Deps {
			add(moduleOf(module))
		}
	}

	for _, other := range subject.Others {
		add(other)
	}

	return all
}

func moduleOf(module *debug.Module) cdx.Component {
	if module.Replace != nil {
		module = module.Replace
	}
	component := library(module.Path, module.Version)
	component.Properties = &[]cdx.Property{{Name: "go.sum", Value: module.Sum}}
	return component
}

func library(path, version string) cdx.Component {
	reference := moduleURL(path, version)
	return cdx.Component{
		BOMRef: reference, Type: cdx.ComponentTypeLibrary, Name: path, Version: version,
		PackageURL: reference,
	}
}

// moduleURL names a module as a package URL (https://github.com/package-url/purl-spec).
func moduleURL(path, version string) string {
	return "pkg:golang/" + path + "@" + url.QueryEscape(version)
}
