// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netpol-latency/netpol-latency/internal/kube"
)

// pollRemoval is the pause between two looks at something that is being removed, longestPoll that
// where it takes long.
const (
	pollRemoval = 100 * time.Millisecond
	longestPoll = 2 * time.Second
)

// clusterScopedAnnotation lists, on the namespace of the agents, the objects of a user's own change
// that no namespace takes along when it goes. Whoever may write a namespace may write it: it says
// where to look, and not what to delete.
const clusterScopedAnnotation = "netpol-latency/besides"

// clusterScoped is that annotation.
func (e *environment) clusterScoped() map[string]string {
	if e.options.Trigger == nil {
		return nil
	}
	var names []metav1.PartialObjectMetadata
	for _, object := range e.options.Trigger.ClusterScoped() {
		names = append(names, metav1.PartialObjectMetadata{
			TypeMeta: metav1.TypeMeta{
				APIVersion: object.GetAPIVersion(),
				Kind:       object.GetKind(),
			},
			ObjectMeta: metav1.ObjectMeta{Name: object.GetName()},
		})
	}

	if len(names) == 0 {
		return nil
	}
	text, err := json.Marshal(names)
	if err != nil {
		panic(err) // nothing in it can fail to be encoded
	}

	return map[string]string{clusterScopedAnnotation: string(text)}
}

// deleteClusterScoped deletes those of the objects that the annotation of a namespace lists which
// are the run's own. It returns a sentence about each of the others.
func deleteClusterScoped(
	ctx context.Context, cluster *kube.Cluster, namespace corev1.Namespace,
) (left []string, err error) {
	text, ok := namespace.Annotations[clusterScopedAnnotation]
	if !ok {
		return nil, nil
	}
	leave := func(what, why string) {
		left = append(left, fmt.Sprintf("%s is left alone: namespace %s names it, and %s", what,
			namespace.Name, why))
	}

	var names []*metav1.PartialObjectMetadata
	if err := json.Unmarshal([]byte(text), &names); err != nil {
		leave("what annotation "+clusterScopedAnnotation+" lists", "it cannot be read")
		return left, nil
	}

	var mistakes []error
	for _, object := range names {
		what := object.Kind + " " + object.Name
		namespaced, err := cluster.Namespaced(object.GroupVersionKind())
		switch {
		case err != nil:
			leave(what, "the API serves no such kind")
		case namespaced || object.Namespace != "":
			leave(what, "objects in namespaces go with theirs")
		default:
			others, err := cluster.DeleteLabelled(ctx, RunLabel, namespace.Labels[RunLabel], object)
			left, mistakes = append(left, others...), append(mistakes, err)
		}
	}

	return left, errors.Join(mistakes...)
}

// Leftovers are the namespaces that a run has left, of every run if none is named.
func Leftovers(
	ctx context.Context, cluster *kube.Cluster, runID string,
) ([]corev1.Namespace, error) {
	selector := RunLabel
	if runID != "" {
		selector += "=" + runID
	}

	list, err := cluster.CoreV1().
		Namespaces().
		List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("look for namespaces of runs: %w", err)
	}

	return list.Items, nil
}

// CheckUnused makes sure that no run has left anything under an ID, or is under way with it: two of
// them would write to the same objects, and one would remove those of the other. A user who may not
// list namespaces learns of it from the first one that exists.
func CheckUnused(ctx context.Context, cluster *kube.Cluster, o Options) error {
	if o.guest() {
		plans, err := cluster.CoreV1().ConfigMaps(o.AgentNamespace).List(ctx,
			metav1.ListOptions{LabelSelector: guestSelector(o.RunID)})
		if err != nil || len(plans.Items) == 0 {
			return nil // who may not look is told so with everything else
		}
		return inUse(o, o.AgentNamespace)
	}

	left, err := Leftovers(ctx, cluster, o.RunID)
	switch {
	case apierrors.IsForbidden(err):
		return nil
	case err != nil || len(left) == 0:
		return err
	}
	return inUse(o, left[0].Name)
}

// inUse is why a run does not begin: a namespace, or something in it, is of a run of its ID.
func inUse(o Options, namespace string) error {
	is := "is"
	if o.guest() {
		is = "has objects"
	}
	return fmt.Errorf("run ID %s is in use: namespace %s %s of such a run: expected another "+
		"--run-id, or %q if that run is over", o.RunID, namespace, is, o.cleanup())
}

// Cleanup removes those of the namespaces, which Leftovers has found, that have the name of a run's
// own, since labels are easily given, or one that the user has named, with what belongs to them,
// and waits until they are gone. It returns how many these are, and a sentence about everything
// that was left alone.
func Cleanup(
	ctx context.Context, cluster *kube.Cluster, namespaces []corev1.Namespace, named []string,
	progress func(Progress),
) (removed int, left []string, err error) {
	var names []string
	var mistakes []error
	for _, namespace := range namespaces {
		id := namespace.Labels[RunLabel]
		own := namespaceOf(id).MatchString(namespace.Name)
		if !own && !slices.Contains(named, namespace.Name) {
			left = append(left, fmt.Sprintf("namespace %s is left alone: it carries the label "+
				"%s=%s, and no run of that ID gives such a name by itself: if the run was given "+
				"it (--from-namespace, --to-namespace), add --named %s", namespace.Name,
				RunLabel, id, namespace.Name))
			continue
		}
		names = append(names, namespace.Name)
		others, err := deleteClusterScoped(ctx, cluster, namespace)
		left, mistakes = append(left, others...), append(mistakes, err)
	}

	mistakes = append(mistakes, deleteNamespaces(ctx, cluster, names, progress),
		awaitNamespaces(ctx, cluster, names, progress))
	return len(names), left, errors.Join(mistakes...)
}

// podsFirst is how long a namespace is not asked to go because its pods have to, which makes it go
// faster.
const podsFirst = 30 * time.Second

// deleteNamespaces ends what runs in namespaces and has them deleted, all at the same time: one
// whose pods take long must not keep the others.
func deleteNamespaces(
	ctx context.Context, cluster *kube.Cluster, names []string, progress func(Progress),
) error {
	pods := countdown{most: make(map[string]int), left: make(map[string]int), progress: progress}
	mistakes := make([]error, len(names))
	var group errgroup.Group
	group.SetLimit(writers)
	for i, name := range names {
		group.Go(func() error {
			bounded, cancel := context.WithTimeout(ctx, podsFirst)
			defer cancel()
			_, err := removePods(bounded, cluster, name, "",
				func(left int) { pods.count(name, left) })
			if bounded.Err() != nil && ctx.Err() == nil {
				err = nil // the namespace takes them along
			}

			asked := cluster.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
			if asked != nil && !apierrors.IsNotFound(asked) {
				err = errors.Join(err, fmt.Errorf("delete namespace %s: %w", name, asked))
			}
			mistakes[i] = err
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	return errors.Join(mistakes...)
}

// countdown adds up the pods that are left in namespaces, and says how many are gone.
type countdown struct {
	progress func(Progress)

	mu         sync.Mutex
	most, left map[string]int // by namespace
}

// count takes in how many are left in a namespace.
func (c *countdown) count(namespace string, left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left[namespace] = left
	c.most[namespace] = max(left, c.most[namespace])
	all, here := 0, 0
	for name, most := range c.most {
		all, here = all+most, here+c.left[name]
	}
	c.progress(Progress{Scenario: removing, What: "deleting pods", Done: all - here, Of: all})
}

// removing is what progress is about after the last scenario, and between two of them.
const removing = "removal"

// awaitNamespaces waits until namespaces are gone, which takes seconds after they are empty.
func awaitNamespaces(
	ctx context.Context, cluster *kube.Cluster, names []string, progress func(Progress),
) error {
	var mistakes []error
	for number, name := range names {
		progress(Progress{
			Scenario: removing, What: "waiting until the namespaces are gone", Done: number,
			Of: len(names),
		})
		if err := awaitGone(ctx, cluster, name); err != nil {
			mistakes = append(mistakes, fmt.Errorf("delete namespace %s: %w", name, err))
		}
	}
	return errors.Join(mistakes...)
}

// workloads are the kinds that start pods.
func workloads() []schema.GroupVersionResource {
	return []schema.GroupVersionResource{
		{Group: "apps", Version: "v1", Resource: "deployments"},
		{Group: "batch", Version: "v1", Resource: "jobs"},
		{Group: "apps", Version: "v1", Resource: "replicasets"},
	}
}

// removePods ends the pods in a namespace that a selector matches, and before them what would start
// them anew, of which it returns how many there were. A namespace goes faster without them: its own
// removal waits for their grace periods, and looks again only after seconds.
func removePods(
	ctx context.Context, cluster *kube.Cluster, namespace, selector string, left func(int),
) (int, error) {
	count, err := deleteSelected(ctx, cluster, workloads(), namespace, selector)
	err = errors.Join(err, deletePods(ctx, cluster, namespace, selector, left))
	if err != nil {
		return count, fmt.Errorf("delete the pods of namespace %s: %w", namespace, err)
	}
	return count, nil
}

// deletedAtOnce is how many pods are deleted by one request: it should be done within the API
// server's time.
const deletedAtOnce = 200

// deletePods deletes the pods that a selector matches, without grace, until none is left or the
// context ends. A server whose time for a request is over has deleted a part, and may go on. While
// the first one that is left stays the same the requests come at longer and longer distances. Left
// is told how many there still are, as far as the server says.
func deletePods(
	ctx context.Context, cluster *kube.Cluster, namespace, selector string, left func(int),
) error {
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}
	some := metav1.ListOptions{LabelSelector: selector, Limit: deletedAtOnce}
	pods := cluster.CoreV1().Pods(namespace)
	pause := pollRemoval
	var stuck types.UID
	for {
		if err := pods.DeleteCollection(ctx, now, some); err != nil && !apierrors.IsTimeout(err) {
			return err
		}
		others, err := pods.List(ctx, metav1.ListOptions{LabelSelector: selector, Limit: 1})
		if err != nil {
			return err
		}
		count := len(others.Items)
		if more := others.RemainingItemCount; more != nil {
			count += int(*more)
		}
		if left(count); count == 0 {
			return nil
		}

		if first := others.Items[0].UID; first != stuck {
			stuck, pause = first, pollRemoval
			continue
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, longestPoll)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func awaitGone(ctx context.Context, cluster *kube.Cluster, name string) error {
	for {
		_, err := cluster.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil && ctx.Err() == nil:
			return err
		}
		select {
		case <-time.After(pollRemoval):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
