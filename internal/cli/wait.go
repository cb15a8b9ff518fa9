// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	polling "k8s.io/apimachinery/pkg/util/wait"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/netpol-latency/netpol-latency/internal/cli/wait"
	"github.com/netpol-latency/netpol-latency/internal/gate"
	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/runner"
)

// outside has a gate run in a pod, which is created for that with the labels that policy selects.
type outside struct {
	access                   accessFlags
	labels, namespace, image string
}

const (
	// waitLabel tells such pods apart.
	waitLabel = "netpol-latency/wait"
	// startTimeout is how long such a pod may take to start, image included.
	startTimeout = 2 * time.Minute
	// lookEvery is how often it is looked at.
	lookEvery = 200 * time.Millisecond
	// removeTimeout is how long its removal may take.
	removeTimeout = 10 * time.Second
)

func newWait() *cobra.Command {
	var o outside
	cmd := wait.New("wait", Name+" wait", o.run)
	cmd.Example += "\n  " + Name + " wait --from app=sandbox --namespace team " +
		"--blocked tcp://169.254.169.254:80"
	f := cmd.Flags()
	f.StringVar(&o.labels, "from", "",
		"probe from a pod with these labels, for example\n"+
			"app=web,tier=front, which is created and removed")
	f.StringVar(&o.namespace, "namespace", "default", "namespace of that pod")
	f.StringVar(&o.image, "image", "netpol-latency-wait", "image of that pod")
	o.access.add(cmd)
	offerFunc(cmd, "namespace", namespaces(&o.access.Access))
	return cmd
}

// run probes from here, or from a pod if there are labels.
func (o *outside) run(
	ctx context.Context, config gate.Config, watch func(gate.Certificate),
) (proof gate.Certificate, err error) {
	if o.labels == "" {
		return gate.Run(ctx, config, watch)
	}
	if err := config.Validate(); err != nil {
		return proof, err
	}
	selected, err := labels.ConvertSelectorToLabelsMap(o.labels)
	if err != nil {
		return proof, fmt.Errorf("--from %q: expected labels, for example app=web,tier=front: %w",
			o.labels, err)
	}
	client, err := o.access.client()
	if err != nil {
		return proof, err
	}

	pods := client.CoreV1().Pods(o.namespace)
	pod, err := pods.Create(ctx, o.pod(config, selected), metav1.CreateOptions{})
	if err != nil {
		return proof, fmt.Errorf("create a pod to probe from: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
		defer cancel()
		removed := pods.Delete(ctx, pod.Name, *metav1.NewDeleteOptions(0))
		if removed != nil && !apierrors.IsNotFound(removed) {
			err = errors.Join(err, fmt.Errorf("remove pod %s: %w", pod.Name, removed))
		}
	}()

	if err := awaitEnd(ctx, pods, pod.Name, config.Timeout+startTimeout); err != nil {
		return proof, errors.Join(err,
			problem(ctx, kube.Namespace{Client: client, Name: o.namespace}, pod))
	}
	return readProof(ctx, pods, pod.Name)
}

// pod is what probes: admitted everywhere, and gone by itself if nobody removes it.
func (o *outside) pod(config gate.Config, selected map[string]string) *corev1.Pod {
	spec := runner.PodSpec(corev1.Container{
		Name: "wait", Image: o.image, Args: wait.Arguments(config),
		SecurityContext: runner.Restricted(),
	})
	spec.RestartPolicy = corev1.RestartPolicyNever
	spec.ActiveDeadlineSeconds = new(int64((config.Timeout + startTimeout).Seconds()))

	id := runner.NewRunID()
	selected[waitLabel] = id
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "netpol-latency-wait-" + id, Labels: selected},
		Spec:       spec,
	}
}

// awaitEnd waits until a pod has ended, however it did.
func awaitEnd(
	ctx context.Context, pods typedcorev1.PodInterface, name string, most time.Duration,
) error {
	err := polling.PollUntilContextTimeout(ctx, lookEvery, most, true,
		func(ctx context.Context) (bool, error) {
			pod, err := pods.Get(ctx, name, metav1.GetOptions{})
			return err == nil && kube.PodEnded(pod), err
		})
	if err != nil {
		return fmt.Errorf("wait for the end of pod %s: %w", name, err)
	}
	return nil
}

// problem says why a pod does not start, nil if nobody knows.
func problem(ctx context.Context, at kube.Namespace, pod *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	found, err := at.Problems(ctx, pod.Name, waitLabel+"="+pod.Labels[waitLabel])
	if err != nil || len(found) == 0 {
		return nil
	}
	return errors.New(found[0].String())
}

// readProof reads what the pod's gate has written.
func readProof(
	ctx context.Context, pods typedcorev1.PodInterface, name string,
) (proof gate.Certificate, err error) {
	log, err := pods.GetLogs(name, &corev1.PodLogOptions{}).DoRaw(ctx)
	if err != nil {
		return proof, fmt.Errorf("read the log of pod %s: %w", name, err)
	}
	for line := range bytes.Lines(log) {
		if bytes.HasPrefix(line, []byte("{")) && json.Unmarshal(line, &proof) == nil {
			return proof, nil
		}
	}
	return proof, fmt.Errorf("pod %s has written no record: expected the image of "+
		"netpol-latency-wait: %s", name, strings.TrimSpace(string(log)))
}
