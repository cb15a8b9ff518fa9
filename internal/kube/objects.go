// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// The managers of the fields that are applied: of what a run creates, and of what its triggers
// change. What a manager does not apply again it gives up, so a trigger that labels a namespace
// must not be the one who created it.
const (
	creator = "netpol-latency"
	changer = "netpol-latency-trigger"
)

// Cluster is a cluster as a user reaches it, for objects of every kind that it serves.
type Cluster struct {
	kubernetes.Interface
	dynamic  dynamic.Interface
	metadata metadata.Interface
	mapper   meta.RESTMapper
	// Context is that of the kubeconfig, empty if there is none, and UserNamespace where its user
	// is at home.
	Context, UserNamespace string
	port                   uint16  // of the API server, as the user reaches it
	outage                 *outage // nil in tests
}

// ConnectCluster returns the cluster that a user reaches. What is asked of an API server that is
// away for a while is asked again.
func ConnectCluster(access Access, userAgent string) (*Cluster, error) {
	config, err := access.config()
	if err != nil {
		return nil, err
	}
	home, _, err := access.loader().Namespace()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}

	// A person waits for this program, and its writes are the triggers: the server decides what is
	// too much.
	config.QPS, config.Burst = -1, 0
	away := retry(config)
	client, err := connect(rest.CopyConfig(config), userAgent)
	if err != nil {
		return nil, err
	}

	config.UserAgent = userAgent
	dynamicClient, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("use the API server's address: %w", err)
	}

	metadataClient, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("use the API server's address: %w", err)
	}

	mapper := restmapper.NewDeferredDiscoveryRESTMapper(
		memory.NewMemCacheClient(client.Discovery()),
	)
	cluster := NewCluster(client, dynamicClient, metadataClient, mapper)
	cluster.Context, cluster.UserNamespace = access.contextName(), home
	cluster.port = portOf(config)
	cluster.outage = away
	return cluster, nil
}

// OnOutage has a person told when the API server is away, and when it is back.
func (c *Cluster) OnOutage(notice func(text string)) { c.outage.tell(notice) }

// LastOutage is when the API server was away last, zero if it always was there.
func (c *Cluster) LastOutage() time.Time { return c.outage.last() }

// NewCluster is the cluster that these clients reach.
func NewCluster(
	client kubernetes.Interface, dynamicClient dynamic.Interface,
	metadataClient metadata.Interface, mapper meta.RESTMapper,
) *Cluster {
	return &Cluster{
		Interface: client, dynamic: dynamicClient, metadata: metadataClient, mapper: mapper,
	}
}

// Locate is where the API serves an object.
func (c *Cluster) Locate(object runtime.Object) (Location, error) {
	at, _, err := c.locate(object)
	return at, err
}

// locate finds where the API serves an object, and the object as it is sent there.
func (c *Cluster) locate(object runtime.Object) (Location, *unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return Location{}, nil, fmt.Errorf("encode an object: %w", err)
	}

	plain := &unstructured.Unstructured{Object: content}
	kind := plain.GroupVersionKind()
	mapping, err := c.mapping(kind)
	if err != nil {
		return Location{}, nil, err
	}

	at := Location{GroupVersionResource: mapping.Resource, Name: plain.GetName()}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		at.Namespace = plain.GetNamespace()
	}
	return at, plain, nil
}

// mapping finds out how the API serves a kind.
func (c *Cluster) mapping(kind schema.GroupVersionKind) (*meta.RESTMapping, error) {
	mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	switch {
	case meta.IsNoMatchError(err):
		return nil, c.notServed(kind)
	case err != nil:
		return nil, fmt.Errorf("find out how the API serves %s: %w", kind, err)
	}
	return mapping, nil
}

// notServed says that the API has no such kind, and what may be done about it.
func (c *Cluster) notServed(kind schema.GroupVersionKind) error {
	mend := "is its definition installed?"
	if hint, known := installations()[kind.Group]; known {
		mend = hint
	}
	if others, err := c.mapper.RESTMappings(kind.GroupKind()); err == nil {
		var versions []string
		for _, one := range others {
			versions = append(versions, one.GroupVersionKind.Version)
		}
		mend = "it serves the kind as " + strings.Join(versions, ", ")
	}
	return fmt.Errorf("the API serves no %s of %s: %s", kind.Kind, kind.GroupVersion(), mend)
}

// installations say where kinds of policies come from, by their groups.
func installations() map[string]string {
	const calico = "is it a cluster with Calico and its API server " +
		"(https://docs.tigera.io/calico/latest/operations/install-apiserver)?"
	return map[string]string{
		"cilium.io":             "is it a cluster with Cilium?",
		"projectcalico.org":     calico,
		"crd.projectcalico.org": calico,
		"crd.antrea.io":         "is it a cluster with Antrea?",
		"policy.networking.k8s.io": "its definitions are installed by hand " +
			"(https://network-policy-api.sigs.k8s.io/getting-started/)",
		"kustomize.config.k8s.io": "\"kubectl kustomize DIRECTORY | netpol-latency run " +
			"--policy -\" measures what it becomes",
		"extensions": "NetworkPolicies are of networking.k8s.io/v1 since Kubernetes 1.8",
	}
}

// resource finds the endpoint of an object's kind, and the object as it is sent there.
func (c *Cluster) resource(
	object runtime.Object,
) (dynamic.ResourceInterface, *unstructured.Unstructured, error) {
	at, plain, err := c.locate(object)
	if err != nil {
		return nil, nil, err
	}
	// Without a namespace it is that of the cluster.
	return c.dynamic.Resource(at.GroupVersionResource).Namespace(at.Namespace), plain, nil
}

// Apply writes objects by server-side apply: those that exist are updated, others created. It takes
// over fields that others own.
func (c *Cluster) Apply(ctx context.Context, objects ...runtime.Object) error {
	return c.apply(ctx, creator, objects)
}

// Change applies the objects of a trigger: of something that exists only what the objects say is
// changed, and what an earlier change said and this one does not is taken back.
func (c *Cluster) Change(ctx context.Context, objects ...runtime.Object) error {
	return c.apply(ctx, changer, objects)
}

// Create creates objects, none of which may exist.
func (c *Cluster) Create(ctx context.Context, objects ...runtime.Object) error {
	for _, object := range objects {
		endpoint, plain, err := c.resource(object)
		if err != nil {
			return err
		}
		options := metav1.CreateOptions{FieldManager: creator}
		if _, err := Create(ctx, anyKind{endpoint}, plain, options); err != nil {
			return fmt.Errorf("create %s: %w", name(plain), err)
		}
	}
	return nil
}

// Validate has the API server look at objects without creating them, and reports what it finds
// wrong with their fields. Whatever else it says may be different where they are to be.
func (c *Cluster) Validate(ctx context.Context, objects ...runtime.Object) error {
	for _, object := range objects {
		endpoint, plain, err := c.resource(object)
		if err != nil {
			return err
		}
		_, err = endpoint.Create(ctx, plain, metav1.CreateOptions{
			DryRun: []string{metav1.DryRunAll}, FieldManager: changer,
		})
		if apierrors.IsInvalid(err) {
			return fmt.Errorf("check what the files have: %w", err)
		}
	}
	return nil
}

// anyKind is an endpoint for objects of any kind.
type anyKind struct{ dynamic.ResourceInterface }

// Create implements [endpoint].
func (k anyKind) Create(
	ctx context.Context, object *unstructured.Unstructured, options metav1.CreateOptions,
) (*unstructured.Unstructured, error) {
	return k.ResourceInterface.Create(ctx, object, options)
}

// Get implements [endpoint].
func (k anyKind) Get(
	ctx context.Context, name string, options metav1.GetOptions,
) (*unstructured.Unstructured, error) {
	return k.ResourceInterface.Get(ctx, name, options)
}

func (c *Cluster) apply(ctx context.Context, manager string, objects []runtime.Object) error {
	for _, object := range objects {
		endpoint, plain, err := c.resource(object)
		if err != nil {
			return err
		}

		options := metav1.ApplyOptions{FieldManager: manager, Force: true}
		_, err = endpoint.Apply(ctx, plain.GetName(), plain, options)
		if apierrors.IsNotFound(err) {
			// Some extension API servers apply only what exists, Calico's 3.32 among them.
			_, err = endpoint.Create(ctx, plain, metav1.CreateOptions{FieldManager: manager})
		}
		if err != nil {
			return fmt.Errorf("apply %s: %w", name(plain), err)
		}
	}
	return nil
}

// Delete deletes objects. One that does not exist is no error.
func (c *Cluster) Delete(ctx context.Context, objects ...runtime.Object) error {
	for _, object := range objects {
		endpoint, plain, err := c.resource(object)
		if err != nil {
			return err
		}
		background := metav1.DeletePropagationBackground
		err = endpoint.Delete(ctx, plain.GetName(),
			metav1.DeleteOptions{PropagationPolicy: &background})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s: %w", name(plain), err)
		}
	}

	return nil
}

// DeleteLabelled deletes those of the objects that carry a label with a value. It returns a
// sentence about each of the others. One that does not exist is no error.
func (c *Cluster) DeleteLabelled(
	ctx context.Context, key, value string, objects ...runtime.Object,
) (left []string, err error) {
	background := metav1.DeletePropagationBackground
	for _, object := range objects {
		endpoint, plain, err := c.resource(object)
		if err != nil {
			return left, err
		}
		found, err := endpoint.Get(ctx, plain.GetName(), metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return left, fmt.Errorf("look for %s: %w", name(plain), err)
		case found.GetLabels()[key] != value:
			left = append(left, fmt.Sprintf("%s is left alone: it does not carry the label %s=%s",
				name(plain), key, value))
			continue
		}

		// What has taken the name since is another object.
		err = endpoint.Delete(ctx, plain.GetName(), metav1.DeleteOptions{
			PropagationPolicy: &background,
			Preconditions:     &metav1.Preconditions{UID: new(found.GetUID())},
		})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return left, fmt.Errorf("delete %s: %w", name(plain), err)
		}
	}

	return left, nil
}

// Namespaced reports whether objects of a kind live in namespaces.
func (c *Cluster) Namespaced(kind schema.GroupVersionKind) (bool, error) {
	mapping, err := c.mapping(kind)
	if err != nil {
		return false, err
	}
	return mapping.Scope.Name() == meta.RESTScopeNameNamespace, nil
}

// Exists reports whether the API has an object.
func (c *Cluster) Exists(ctx context.Context, object runtime.Object) (bool, error) {
	endpoint, plain, err := c.resource(object)
	if err != nil {
		return false, err
	}
	_, err = endpoint.Get(ctx, plain.GetName(), metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("look for %s: %w", name(plain), err)
	}
	return err == nil, nil
}

func name(object *unstructured.Unstructured) string {
	if object.GetNamespace() == "" {
		return fmt.Sprintf("%s %s", object.GetKind(), object.GetName())
	}
	return fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())
}

// Serves reports whether the API serves a kind of resource, for example of a network plugin. No
// cluster serves nothing.
func (c *Cluster) Serves(resource schema.GroupVersionResource) bool {
	if c == nil || c.mapper == nil {
		return false
	}
	_, err := c.mapper.KindFor(resource)
	return err == nil
}
