// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/scenario"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// Own are the objects of a user's own change as its files have them.
type Own struct{ Before, Policy, Replace []*unstructured.Unstructured }

// Derive completes options by a user's own change: it asks the API which kinds it serves and where
// pods have their addresses, and reads off the objects what the settings leave open. Nothing is
// created.
func Derive(
	ctx context.Context, cluster *kube.Cluster, options Options, own Own,
) (scenario.Derived, error) {
	var files scenario.Files
	err := errors.Join(
		locate(cluster, own.Before, &files.Before),
		locate(cluster, own.Policy, &files.Policy),
		locate(cluster, own.Replace, &files.Replace),
	)
	if err != nil {
		return scenario.Derived{}, err
	}
	if err := validate(ctx, cluster, options, files); err != nil {
		return scenario.Derived{}, err
	}
	facts, err := options.facts(ctx, cluster)
	if err != nil {
		return scenario.Derived{}, err
	}
	return scenario.Derive(files, options.Settings, facts)
}

// validate asks the API server for what it finds wrong with policies, which it would else say when
// everything else is there.
func validate(
	ctx context.Context, cluster *kube.Cluster, o Options, files scenario.Files,
) error {
	home := cmp.Or(o.TargetNamespace, o.AgentNamespace, cluster.UserNamespace)
	all := slices.Concat(files.Before, files.Policy, files.Replace)
	mistakes := make([]error, len(all))
	var group errgroup.Group
	group.SetLimit(writers)
	for i, object := range all {
		if scenario.Patches(object.Unstructured) {
			continue // it is no whole object
		}
		one := object.DeepCopy()
		if one.SetNamespace(""); object.Namespaced {
			one.SetNamespace(home)
		}
		group.Go(func() error {
			mistakes[i] = cluster.Validate(ctx, one)
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	return errors.Join(mistakes...)
}

// facts are what is known of the cluster and of the run for a change of the user's own.
func (o Options) facts(ctx context.Context, cluster *kube.Cluster) (scenario.Facts, error) {
	facts := scenario.Facts{Pods: cluster.PodAddresses(ctx)}
	families, err := cluster.Families(ctx)
	if err == nil && families.IPv4 { // who may not ask does not know
		facts.Families = append(facts.Families, setting.IPv4)
	}
	if err == nil && families.IPv6 {
		facts.Families = append(facts.Families, setting.IPv6)
	}

	homes := make(map[string]map[string]string) // labels of namespaces that exist
	if o.guest() {
		targets := cmp.Or(o.TargetNamespace, o.AgentNamespace)
		for _, one := range []struct {
			name string
			to   *scenario.Existing
		}{{o.AgentNamespace, &facts.AgentNamespace}, {targets, &facts.TargetNamespace}} {
			found, err := findNamespace(ctx, cluster, one.name)
			if err != nil {
				return facts, err
			}
			*one.to = scenario.Existing{Name: one.name, Unread: found == nil}
			if found != nil {
				homes[one.name] = found.Labels
			}
		}
	}
	facts.Labels = func(t scenario.Trigger) scenario.Labels {
		o.Trigger = &t
		return newEnvironment(o, scenario.Custom(t), nil, nil, nil).allLabels(homes)
	}
	return facts, nil
}

// allLabels are the labels that pods and namespaces have in the end, of which the namespaces that
// exist are given.
func (e *environment) allLabels(homes map[string]map[string]string) scenario.Labels {
	homes = maps.Clone(homes)
	for _, object := range e.namespaces() {
		if e.options.Overlay.Apply(object) == nil { // what is wrong with it was said before
			namespace := object.(*corev1.Namespace)
			homes[namespace.Name] = namespace.Labels
		}
	}
	agents, targets, _ := e.finalLabels() // what is wrong with them was said before
	return scenario.Labels{
		Agents: agents, Targets: targets,
		AgentNamespace:  homes[e.parameters.AgentNamespace],
		TargetNamespace: homes[e.parameters.TargetNamespace],
	}
}

// finalLabels are the labels that those who probe and a target have in the end: those of the run,
// of the user and of the cluster, and those that controllers give them.
func (e *environment) finalLabels() (agent, target labels.Set, err error) {
	job, pod := e.agents().(*batchv1.Job), e.targetPod(0, 0)
	if err := e.options.Overlay.Apply(job, pod); err != nil {
		return nil, nil, err
	}

	agent = labels.Merge(job.Spec.Template.Labels, labels.Set{
		batchv1.JobNameLabel: job.Name, "job-name": job.Name,
		batchv1.ControllerUidLabel: byController, "controller-uid": byController,
		batchv1.JobCompletionIndexAnnotation: byController,
		scenario.RoleLabel:                   e.parameters.From,
	})
	target = pod.Labels
	if e.scenario.Kind == scenario.Standing {
		target = labels.Merge(target, labels.Set{"pod-template-hash": byController})
	}
	return agent, target, nil
}

// byController is a value that is not known before a controller gives it: no selector has it.
const byController = "\x00"

// Namespaces are the names of the namespaces that stand for those of the files of a user's own
// change, by the names that they have there.
func Namespaces(o Options, trigger scenario.Trigger) map[string]string {
	o.Trigger = &trigger
	return trigger.NamespaceNames(newEnvironment(o, scenario.Custom(trigger), nil, nil,
		nil).parameters)
}

// locate finds out which objects are in namespaces.
func locate(
	cluster *kube.Cluster, objects []*unstructured.Unstructured, to *[]scenario.Object,
) error {
	var mistakes []error
	for _, object := range objects {
		namespaced, err := cluster.Namespaced(object.GroupVersionKind())
		mistakes = append(mistakes, err)
		*to = append(*to, scenario.Object{Unstructured: object, Namespaced: namespaced})
	}
	return errors.Join(mistakes...)
}
