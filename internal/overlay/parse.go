// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// Of is what the settings want. The error joins everything that is wrong with them: what it does
// not find nothing else will.
func Of(s setting.Settings) (Overlay, error) {
	r := reader{settings: s, table: setting.Pods()}
	o := Overlay{
		labels:        r.pairs("label", labelPair),
		annotations:   r.pairs("annotation", annotationPair),
		nodeSelector:  r.pairs("node-selector", labelPair),
		priorityClass: s.PriorityClass,
		pod:           r.patch("pod-patch"), namespace: r.patch("namespace-patch"),
	}

	r.each("toleration", func(text string) error {
		one, err := parseToleration(text)
		o.tolerations = append(o.tolerations, one)
		return err
	})
	r.each("limits", func(text string) error {
		name, quantity, err := parseLimit(text)
		if o.limits == nil {
			o.limits = make(corev1.ResourceList)
		}
		o.limits[name] = quantity
		return err
	})
	r.each("image-pull-secret", func(text string) error {
		secret, err := parseSecret(text)
		o.PullSecrets = append(o.PullSecrets, secret)
		return err
	})
	r.each("priority-class", func(text string) error {
		return problem(validation.IsDNS1123Subdomain(text))
	})

	if len(r.mistakes) == 0 {
		r.note(o.try())
	}
	if len(r.mistakes) > 0 {
		return Overlay{}, errors.Join(r.mistakes...)
	}
	return o, nil
}

// try lays it over objects of the kinds that a run creates.
func (o Overlay) try() error {
	container := []corev1.Container{{Name: "server"}}
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: container}}
	return errors.Join(o.Apply(pod), o.Apply(&corev1.Namespace{}))
}

// reader reads settings and keeps what is wrong with them.
type reader struct {
	settings setting.Settings
	table    setting.Table
	mistakes []error
}

func (r *reader) note(err error) {
	if err != nil {
		r.mistakes = append(r.mistakes, err)
	}
}

// each reads the items of a setting.
func (r *reader) each(name string, read func(text string) error) {
	field, err := r.table.Find(name)
	if err != nil {
		r.note(err)
		return
	}
	items, err := field.Items(r.settings)
	if err != nil {
		r.note(err)
		return
	}
	for _, item := range items {
		if err := read(item); err != nil {
			r.note(field.Wrong(item, err))
		}
	}
}

// pairs reads items that are a key and a value.
func (r *reader) pairs(name string, verify func(key, value string) error) map[string]string {
	var all map[string]string
	r.each(name, func(text string) error {
		key, value, found := strings.Cut(text, "=")
		if !found {
			return errors.New("there is no =")
		}
		if all == nil {
			all = make(map[string]string)
		}
		all[key] = value
		return verify(key, value)
	})
	return all
}

func labelPair(key, value string) error {
	if reserved(key) {
		return errors.New("the run finds its objects by this label")
	}
	return problem(append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...))
}

func annotationPair(key, _ string) error { return problem(validation.IsQualifiedName(key)) }

// problem is the first of what Kubernetes says is wrong.
func problem(found []string) error {
	if len(found) == 0 {
		return nil
	}
	return errors.New(found[0])
}

// patch reads a patch.
func (r *reader) patch(name string) []byte {
	field, err := r.table.Find(name)
	if err != nil {
		r.note(err)
		return nil
	}
	text := field.Text(r.settings)
	if text == "" {
		return nil
	}
	content, err := Compact(text)
	if err != nil {
		r.note(field.Wrong(text, err))
	}
	return content
}

// Compact is a patch, which may be YAML, as JSON in one line.
func Compact(text string) ([]byte, error) {
	content, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return nil, plain(err)
	}
	var object map[string]any
	if err := json.Unmarshal(content, &object); err != nil {
		return nil, errors.New("it is no object")
	}
	return content, nil
}

// plain is an error of the YAML library in one line, without what it was doing.
func plain(err error) error {
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, beginning := range []string{"error unmarshaling JSON: ", "while decoding JSON: ",
		"error converting YAML to JSON: ", "yaml: ", "json: "} {
		text = strings.TrimPrefix(text, beginning)
	}
	return errors.New(text)
}

// parseToleration reads a taint that is tolerated, as kubectl taint writes it.
func parseToleration(text string) (corev1.Toleration, error) {
	taint, effect, named := strings.Cut(text, ":")
	key, value, valued := strings.Cut(taint, "=")
	one := corev1.Toleration{
		Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffect(effect),
	}
	if valued {
		one.Operator, one.Value = corev1.TolerationOpEqual, value
	}

	effects := []string{string(corev1.TaintEffectNoSchedule),
		string(corev1.TaintEffectPreferNoSchedule), string(corev1.TaintEffectNoExecute)}
	if named {
		if err := setting.OneOf("effect", effect, effects...); err != nil {
			return one, err
		}
	}
	return one, problem(append(validation.IsQualifiedName(key),
		validation.IsValidLabelValue(value)...))
}

// parseLimit reads the limit of one resource.
func parseLimit(text string) (corev1.ResourceName, resource.Quantity, error) {
	name, amount, _ := strings.Cut(text, "=")
	quantity, err := resource.ParseQuantity(amount)
	switch {
	case err != nil:
		return "", quantity, fmt.Errorf("the quantity %q is none that Kubernetes knows", amount)
	case quantity.Sign() <= 0:
		return "", quantity, errors.New("the quantity is not more than 0")
	}
	return corev1.ResourceName(name), quantity, problem(validation.IsQualifiedName(name))
}

// parseSecret reads the name of a secret.
func parseSecret(text string) (types.NamespacedName, error) {
	namespace, name, found := strings.Cut(text, "/")
	if !found {
		return types.NamespacedName{Name: text}, problem(validation.IsDNS1123Subdomain(text))
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, problem(append(
		validation.IsDNS1123Label(namespace), validation.IsDNS1123Subdomain(name)...))
}
