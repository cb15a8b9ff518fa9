// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	coordinationv1 "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

const (
	// leaseDuration and leaseRenewal are the kubelet's: the node counts as dead 40 s after the last
	// renewal.
	leaseDuration = 40 * time.Second
	leaseRenewal  = 10 * time.Second
	// statusRenewal is how often the Ready condition is confirmed in the Node object itself.
	statusRenewal = 5 * time.Minute
	// registerRetry is the pause while the API server is not ready for us.
	registerRetry = 250 * time.Millisecond
	// kubeletPort is where the API server asks for logs.
	kubeletPort = 10250
)

// registerFirst makes the Node object, or brings up to date the one of an earlier agent. It tries
// until ctx ends: the API server may be still starting, or its permissions not yet there.
func (a *agent) registerFirst(ctx context.Context) error {
	for {
		err := a.register(ctx)
		if err == nil {
			return nil
		}
		klog.InfoS("Registering the node", "node", a.cfg.Name, "reason", err)
		select {
		case <-time.After(registerRetry):
		case <-ctx.Done():
			return fmt.Errorf("register node %s: %w", a.cfg.Name, err)
		}
	}
}

func registerOnce(
	ctx context.Context, client kubernetes.Interface, cfg Config, ready v1.NodeCondition,
) error {
	nodes := client.CoreV1().Nodes()
	wanted := nodeObject(cfg, ready)
	node, err := nodes.Create(ctx, wanted, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		node, err = nodes.Get(ctx, cfg.Name, metav1.GetOptions{})
	}
	if err != nil {
		return err
	}

	node.Status = nodeStatus(cfg, ready)
	if _, err := nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return err
	}
	return renewLease(ctx, client, cfg.Name)
}

func nodeObject(cfg Config, ready v1.NodeCondition) *v1.Node {
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: cfg.Name,
		Labels: map[string]string{
			v1.LabelHostname:   cfg.Name,
			v1.LabelOSStable:   runtime.GOOS,
			v1.LabelArchStable: runtime.GOARCH,
		},
	}}

	for _, p := range cfg.PodCIDRs {
		node.Spec.PodCIDRs = append(node.Spec.PodCIDRs, p.String())
	}
	node.Spec.PodCIDR = node.Spec.PodCIDRs[0]
	node.Status = nodeStatus(cfg, ready)
	return node
}

// nodeStatus is a healthy node, as far as it is ready. Its CPU and memory are nominal, a quarter of
// a core and 256 MiB for each pod it takes: requests decide nothing in a lab that does not enforce
// them, and the machine's real size would keep a load test's pods from being scheduled.
func nodeStatus(cfg Config, ready v1.NodeCondition) v1.NodeStatus {
	now, pods := ready.LastHeartbeatTime.Time, int64(cfg.maxPods())
	capacity := v1.ResourceList{
		v1.ResourcePods:             *resource.NewQuantity(pods, resource.DecimalSI),
		v1.ResourceCPU:              *resource.NewMilliQuantity(pods*250, resource.DecimalSI),
		v1.ResourceMemory:           *resource.NewQuantity(pods*256<<20, resource.BinarySI),
		v1.ResourceEphemeralStorage: *resource.NewQuantity(pods*256<<20, resource.BinarySI),
	}

	status := v1.NodeStatus{
		Capacity:    capacity,
		Allocatable: capacity,
		Conditions: []v1.NodeCondition{
			condition(v1.NodeMemoryPressure, v1.ConditionFalse, "KubeletHasSufficientMemory",
				"the lab does not limit memory", now),
			condition(v1.NodeDiskPressure, v1.ConditionFalse, "KubeletHasNoDiskPressure",
				"the lab does not limit disk space", now),
			condition(v1.NodePIDPressure, v1.ConditionFalse, "KubeletHasSufficientPID",
				"the lab does not limit processes", now),
			ready,
		},
		Addresses: nodeAddresses(cfg.Name, cfg.NodeIPs),
		DaemonEndpoints: v1.NodeDaemonEndpoints{
			KubeletEndpoint: v1.DaemonEndpoint{Port: kubeletPort},
		},
		NodeInfo: nodeInfo(),
	}

	return status
}

func condition(
	kind v1.NodeConditionType, status v1.ConditionStatus, reason, message string, now time.Time,
) v1.NodeCondition {
	return v1.NodeCondition{
		Type: kind, Status: status, Reason: reason, Message: message,
		LastHeartbeatTime: metav1.NewTime(now), LastTransitionTime: metav1.NewTime(now),
	}
}

func nodeAddresses(name string, ips []netip.Addr) []v1.NodeAddress {
	var addresses []v1.NodeAddress
	for _, ip := range ips {
		addresses = append(addresses, v1.NodeAddress{Type: v1.NodeInternalIP, Address: ip.String()})
	}
	return append(addresses, v1.NodeAddress{Type: v1.NodeHostName, Address: name})
}

func nodeInfo() v1.NodeSystemInfo {
	info := v1.NodeSystemInfo{
		OperatingSystem:         runtime.GOOS,
		Architecture:            runtime.GOARCH,
		KubeletVersion:          kubernetesVersion(),
		ContainerRuntimeVersion: "lab://1",
		OSImage:                 "netpol-latency lab",
	}

	var name unix.Utsname
	if unix.Uname(&name) == nil {
		info.KernelVersion = unix.ByteSliceToString(name.Release[:])
	}
	info.MachineID = firstLine("/etc/machine-id")
	info.BootID = firstLine("/proc/sys/kernel/random/boot_id")
	return info
}

// kubernetesVersion is the version of the Kubernetes code in this program.
func kubernetesVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "k8s.io/kubernetes" {
				return module.Version
			}
		}
	}
	return "v0.0.0"
}

func firstLine(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

// heartbeat keeps the node alive in the eyes of the node lifecycle controller, until ctx ends.
func (a *agent) heartbeat(ctx context.Context) error {
	lease := time.NewTicker(leaseRenewal)
	defer lease.Stop()

	status := time.NewTicker(statusRenewal)
	defer status.Stop()

	for {
		var err error
		select {
		case <-lease.C:
			err = renewLease(ctx, a.client, a.cfg.Name)
		case <-status.C:
			err = a.register(ctx)
		case <-ctx.Done():
			return nil
		}
		if err != nil && ctx.Err() == nil {
			klog.ErrorS(err, "Sending the node's heartbeat")
		}
	}
}

func renewLease(ctx context.Context, client kubernetes.Interface, name string) error {
	leases := client.CoordinationV1().Leases(v1.NamespaceNodeLease)
	now := metav1.NewMicroTime(time.Now())
	seconds := int32(leaseDuration / time.Second)
	lease, err := leases.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		lease = &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: v1.NamespaceNodeLease},
			Spec: coordinationv1.LeaseSpec{HolderIdentity: &name,
				LeaseDurationSeconds: &seconds, RenewTime: &now},
		}
		_, err = leases.Create(ctx, lease, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}

	lease.Spec.RenewTime = &now
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}
