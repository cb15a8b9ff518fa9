// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/api/v1/resource"
	"k8s.io/kubernetes/pkg/fieldpath"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
)

// downward answers the references that a container makes to its own pod and to configuration.
type downward struct {
	client  kubernetes.Interface
	pod     *v1.Pod
	podIPs  []netip.Addr
	hostIPs []netip.Addr
}

// environment is the container's environment as NAME=value, in the kubelet's order: the services,
// envFrom, env. A later name replaces an earlier one.
func (d downward) environment(
	ctx context.Context, c *v1.Container, services []v1.EnvVar,
) ([]string, map[string]string, error) {
	values := map[string]string{}
	for _, e := range services {
		values[e.Name] = e.Value
	}
	for _, from := range c.EnvFrom {
		if err := d.from(ctx, from, values); err != nil {
			return nil, nil, err
		}
	}

	mapping := expansion.MappingFuncFor(values)
	for _, e := range c.Env {
		value, ok := expansion.Expand(e.Value, mapping), true
		if e.ValueFrom != nil {
			var err error
			if value, ok, err = d.value(ctx, c, e.ValueFrom); err != nil {
				return nil, nil, fmt.Errorf("environment variable %s: %w", e.Name, err)
			}
		}
		if ok {
			values[e.Name] = value
		}
	}

	var list []string
	for name, value := range values {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list, values, nil
}

// from adds every key of a ConfigMap or a Secret.
func (d downward) from(ctx context.Context, from v1.EnvFromSource, values map[string]string) error {
	switch {
	case from.ConfigMapRef != nil:
		object, err := d.configMap(ctx, from.ConfigMapRef.Name, first(from.ConfigMapRef.Optional))
		if err != nil {
			return err
		}
		for key, value := range object.Data {
			values[from.Prefix+key] = value
		}
	case from.SecretRef != nil:
		object, err := d.secret(ctx, from.SecretRef.Name, first(from.SecretRef.Optional))
		if err != nil {
			return err
		}
		for key, value := range object.Data {
			values[from.Prefix+key] = string(value)
		}
	}

	return nil
}

// value resolves one reference; ok is false when an optional one has no value.
func (d downward) value(
	ctx context.Context, c *v1.Container, source *v1.EnvVarSource,
) (value string, ok bool, err error) {
	switch {
	case source.FieldRef != nil:
		value, err = d.field(source.FieldRef.FieldPath)
		return value, true, err
	case source.ResourceFieldRef != nil:
		value, err = resource.ExtractResourceValueByContainerName(source.ResourceFieldRef, d.pod,
			nameOr(source.ResourceFieldRef.ContainerName, c.Name))
		return value, true, err
	case source.ConfigMapKeyRef != nil:
		ref := source.ConfigMapKeyRef
		object, err := d.configMap(ctx, ref.Name, first(ref.Optional))
		if err != nil {
			return "", false, err
		}
		if value, ok = object.Data[ref.Key]; !ok && !first(ref.Optional) {
			return "", false, fmt.Errorf("couldn't find key %s in ConfigMap %s/%s", ref.Key,
				d.pod.Namespace, ref.Name)
		}
		return value, ok, nil
	case source.SecretKeyRef != nil:
		ref := source.SecretKeyRef
		object, err := d.secret(ctx, ref.Name, first(ref.Optional))
		if err != nil {
			return "", false, err
		}
		raw, ok := object.Data[ref.Key]
		if !ok && !first(ref.Optional) {
			return "", false, fmt.Errorf("couldn't find key %s in Secret %s/%s", ref.Key,
				d.pod.Namespace, ref.Name)
		}
		return string(raw), ok, nil
	}

	return "", false, fmt.Errorf("the lab supports fieldRef, resourceFieldRef, configMapKeyRef " +
		"and secretKeyRef, and this is none of them")
}

func nameOr(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}

// field is the value of a downward API path. The addresses come from the agent: the API server may
// not have them yet.
func (d downward) field(path string) (string, error) {
	switch path {
	case "spec.nodeName":
		return d.pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return d.pod.Spec.ServiceAccountName, nil
	case "status.podIP":
		return joinAddresses(d.podIPs[:1]), nil
	case "status.podIPs":
		return joinAddresses(d.podIPs), nil
	case "status.hostIP":
		return joinAddresses(d.hostIPs[:1]), nil
	case "status.hostIPs":
		return joinAddresses(d.hostIPs), nil
	}

	return fieldpath.ExtractFieldPathAsString(d.pod, path)
}

func joinAddresses(addresses []netip.Addr) string {
	var texts []string
	for _, a := range addresses {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ",")
}

// configMap reads a ConfigMap of the pod's namespace; a missing optional one is empty.
func (d downward) configMap(
	ctx context.Context, name string, optional bool,
) (*v1.ConfigMap, error) {
	object, err := d.client.CoreV1().ConfigMaps(d.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if optional && apierrors.IsNotFound(err) {
		return &v1.ConfigMap{}, nil
	}
	return object, err
}

// secret reads a Secret of the pod's namespace; a missing optional one is empty.
func (d downward) secret(ctx context.Context, name string, optional bool) (*v1.Secret, error) {
	object, err := d.client.CoreV1().Secrets(d.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if optional && apierrors.IsNotFound(err) {
		return &v1.Secret{}, nil
	}
	return object, err
}
