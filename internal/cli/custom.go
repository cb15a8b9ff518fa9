// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/netpol-latency/netpol-latency/internal/measure"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
)

// customOptions are the flags for a change of the user's own.
type customOptions struct {
	file   string
	from   string
	to     string
	expect string
}

func (c *customOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&c.file, "policy", "", "measure the objects in this file as the trigger, of any\n"+
		"kind that the API serves; those with a namespace are put\ninto the run's own")
	f.StringVar(&c.from, "from", "", "labels for the agents, for --policy to select, for example "+
		"app=web")
	f.StringVar(&c.to, "to", "", "labels for the targets, for example app=db")
	f.StringVar(&c.expect, "expect", "", "what --policy brings about: allowed (after isolation) "+
		"or blocked")
}

// offer says what the shell may offer for the flags.
func (c *customOptions) offer(cmd *cobra.Command) {
	offerFiles(cmd, "policy", "yaml", "yml", "json")
	offer(cmd, "expect", measure.StateAllowed.String(), measure.StateBlocked.String())
}

// trigger is the user's change, nil if there is none.
func (c *customOptions) trigger() (*scenario.Trigger, error) {
	if c.file == "" {
		if c.from != "" || c.to != "" || c.expect != "" {
			return nil, errors.New("--from, --to and --expect are about --policy: expected it " +
				"with them")
		}
		return nil, nil
	}

	content, err := os.ReadFile(c.file)
	if err != nil {
		return nil, fmt.Errorf("read --policy: %w", err)
	}

	objects, err := decodeObjects(content)
	if err != nil {
		return nil, fmt.Errorf("read --policy %s: %w", c.file, err)
	}

	trigger := &scenario.Trigger{Objects: objects}
	switch c.expect {
	case measure.StateAllowed.String():
		trigger.Want, trigger.Isolated = measure.StateAllowed, true
	case measure.StateBlocked.String():
		trigger.Want = measure.StateBlocked
	default:
		return nil, fmt.Errorf("--expect %q: expected allowed or blocked", c.expect)
	}

	var wrongFrom, wrongTo error
	trigger.From, wrongFrom = parseLabels("from", c.from)
	trigger.To, wrongTo = parseLabels("to", c.to)
	return trigger, errors.Join(wrongFrom, wrongTo)
}

func parseLabels(flag, text string) (map[string]string, error) {
	found, err := labels.ConvertSelectorToLabelsMap(text)
	if err != nil {
		return nil, fmt.Errorf("--%s %q: expected labels, for example app=web,tier=front: %w", flag,
			text, err)
	}
	return found, nil
}

// decodeObjects reads YAML or JSON documents.
func decodeObjects(content []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	var all []*unstructured.Unstructured
	for number := 1; ; number++ {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		switch {
		case errors.Is(err, io.EOF) && len(all) == 0:
			return nil, errors.New("it holds no object: expected at least one")
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("document %d: %w", number, err)
		case len(object.Object) == 0:
			continue
		case object.GetKind() == "" || object.GetAPIVersion() == "" || object.GetName() == "":
			return nil, fmt.Errorf("document %d: expected an object with apiVersion, kind and "+
				"metadata.name", number)
		}
		all = append(all, object)
	}
}
