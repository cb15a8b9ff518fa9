// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net/netip"

	v1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
	kubeletstatus "k8s.io/kubernetes/pkg/kubelet/status"
)

// status is the pod's status as a kubelet would report it now. What others keep in the status (the
// scheduler's condition, readiness gates) stays.
func (p *pod) status() v1.PodStatus {
	p.mu.Lock()
	defer p.mu.Unlock()

	status := *p.api.Status.DeepCopy()
	if podutil.IsPodPhaseTerminal(status.Phase) {
		return status // final
	}
	status.ObservedGeneration = p.api.Generation
	status.StartTime = &p.startTime
	status.HostIP = p.agent.cfg.NodeIPs[0].String()
	status.HostIPs = nil
	for _, addr := range p.agent.cfg.NodeIPs {
		status.HostIPs = append(status.HostIPs, v1.HostIP{IP: addr.String()})
	}

	if p.networkOK {
		status.PodIP, status.PodIPs = podIPs(p.sandbox.addresses)
	}
	status.InitContainerStatuses = statusesOf(p.init)
	status.ContainerStatuses = statusesOf(p.main)
	status.Phase = phaseOf(&p.api.Spec, status.InitContainerStatuses, status.ContainerStatuses)
	if p.failure != "" {
		status.Phase, status.Reason, status.Message = v1.PodFailed, rejected, p.failure
	} else if p.ended && !podutil.IsPodPhaseTerminal(status.Phase) {
		status.Phase = finalPhase(status.ContainerStatuses)
	}

	p.setConditions(&status)
	return status
}

// setConditions adds the conditions that are the kubelet's.
func (p *pod) setConditions(status *v1.PodStatus) {
	sandboxed := v1.PodCondition{
		Type: v1.PodReadyToStartContainers, Status: v1.ConditionFalse,
		ObservedGeneration: podutil.CalculatePodConditionObservedGeneration(status,
			p.api.Generation, v1.PodReadyToStartContainers),
	}

	if p.networkOK && !p.ended {
		sandboxed.Status = v1.ConditionTrue
	}
	old, phase := p.api.Status.DeepCopy(), status.Phase
	conditions := []v1.PodCondition{
		sandboxed,
		kubeletstatus.GeneratePodInitializedCondition(p.api, old, status.InitContainerStatuses,
			phase),
		kubeletstatus.GeneratePodReadyCondition(p.api, old, status.Conditions,
			status.ContainerStatuses, phase),
		kubeletstatus.GenerateContainersReadyCondition(p.api, old, status.ContainerStatuses, phase),
	}

	for i := range conditions {
		podutil.UpdatePodCondition(status, &conditions[i])
	}
}

func podIPs(addresses []netip.Addr) (string, []v1.PodIP) {
	var ips []v1.PodIP
	for _, addr := range addresses {
		ips = append(ips, v1.PodIP{IP: addr.String()})
	}
	return ips[0].IP, ips
}

// statusesOf copies the containers' statuses; the caller holds the pod's lock.
func statusesOf(containers []*container) []v1.ContainerStatus {
	var statuses []v1.ContainerStatus
	for _, c := range containers {
		statuses = append(statuses, *c.status.DeepCopy())
	}
	return statuses
}

// phaseOf derives the phase from the containers, by the kubelet's rules: pending until everything
// has started once, running while something runs or will run again, and then the outcome.
func phaseOf(spec *v1.PodSpec, init, containers []v1.ContainerStatus) v1.PodPhase {
	for i, s := range init {
		if podutil.IsRestartableInitContainer(&spec.InitContainers[i]) {
			continue
		}
		end := lastEnd(s)
		if end == nil || s.State.Running != nil {
			return v1.PodPending
		}

		if end.ExitCode != 0 {
			if podutil.ContainerShouldRestart(spec.InitContainers[i], *spec, end.ExitCode) {
				return v1.PodPending
			}
			return v1.PodFailed
		}
	}

	alive, failed := 0, 0
	for i, s := range containers {
		end := lastEnd(s)
		switch {
		case s.State.Running != nil:
			alive++
		case end == nil:
			return v1.PodPending
		case podutil.ContainerShouldRestart(spec.Containers[i], *spec, end.ExitCode):
			alive++
		case end.ExitCode != 0:
			failed++
		}
	}

	switch {
	case alive > 0:
		return v1.PodRunning
	case failed > 0:
		return v1.PodFailed
	}

	return v1.PodSucceeded
}

// finalPhase is the outcome of a pod that was stopped, whatever its restart policy.
func finalPhase(containers []v1.ContainerStatus) v1.PodPhase {
	for _, s := range containers {
		if end := lastEnd(s); end == nil || end.ExitCode != 0 {
			return v1.PodFailed
		}
	}
	return v1.PodSucceeded
}

// lastEnd is how the container ended most recently, if it ever has.
func lastEnd(s v1.ContainerStatus) *v1.ContainerStateTerminated {
	if s.State.Terminated != nil {
		return s.State.Terminated
	}
	return s.LastTerminationState.Terminated
}
