// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"

	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
	"github.com/netpol-latency/netpol-latency/lab/internal/topology"
)

// Server is the API server's address inside a lab of the family.
func Server(family topology.Family) string { return "https://" + family.APIServer().String() }

// APIServer are the arguments of kube-apiserver.
func APIServer(dir layout.Dir, family topology.Family) []string {
	return []string{
		"--etcd-servers=" + etcdClient,
		"--bind-address=::",
		"--advertise-address=" + family.APIServer().Addr().String(),
		fmt.Sprintf("--secure-port=%d", topology.APIServerPort),
		"--service-cluster-ip-range=" + family.Services(),
		"--authorization-mode=RBAC",
		"--anonymous-auth=false",
		"--client-ca-file=" + dir.Credentials("ca.crt"),
		"--tls-cert-file=" + dir.Credentials("kube-apiserver.crt"),
		"--tls-private-key-file=" + dir.Credentials("kube-apiserver.key"),
		"--kubelet-certificate-authority=" + dir.Credentials("ca.crt"),
		"--kubelet-client-certificate=" + dir.Credentials("kubelet-client.crt"),
		"--kubelet-client-key=" + dir.Credentials("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + dir.Credentials("service-account.pub"),
		"--service-account-signing-key-file=" + dir.Credentials("service-account.key"),
		"--allow-privileged=true",
		// One client drives hundreds of pods a second here; fairness between tenants would only
		// queue them.
		"--enable-priority-and-fairness=false",
		"--max-requests-inflight=3000",
		"--max-mutating-requests-inflight=1000",
		// Otherwise watches keep a server that is asked to stop busy until it is killed.
		"--shutdown-watch-termination-grace-period=1s",
		"--event-ttl=10m",
		"--watch-cache=true",
		"--profiling=false",
		"--v=1",
	}
}

// ControllerManager are the arguments of kube-controller-manager. Controllers for clouds, volumes
// and autoscaling have nothing to do here and are left out; what its controller of namespaces does,
// [RemoveNamespaces] does.
func ControllerManager(dir layout.Dir) []string {
	return []string{
		"--kubeconfig=" + dir.Config("kube-controller-manager.kubeconfig"),
		"--authentication-kubeconfig=" + dir.Config("kube-controller-manager.kubeconfig"),
		"--authorization-kubeconfig=" + dir.Config("kube-controller-manager.kubeconfig"),
		"--authentication-skip-lookup=true",
		"--bind-address=127.0.0.1",
		"--tls-cert-file=" + dir.Credentials("kube-apiserver.crt"), // it would make one, slowly
		"--tls-private-key-file=" + dir.Credentials("kube-apiserver.key"),
		"--leader-elect=false",
		"--use-service-account-credentials=false",
		"--service-account-private-key-file=" + dir.Credentials("service-account.key"),
		"--root-ca-file=" + dir.Credentials("ca.crt"),
		"--allocate-node-cidrs=false",
		"--controllers=*,-namespace-controller," +
			"-horizontal-pod-autoscaler-controller,-persistentvolume-binder-controller," +
			"-persistentvolume-attach-detach-controller,-persistentvolume-expander-controller," +
			"-certificatesigningrequest-signing-controller," +
			"-legacy-serviceaccount-token-cleaner-controller",
		"--kube-api-qps=2000",
		"--kube-api-burst=4000",
		"--concurrent-deployment-syncs=10",
		"--concurrent-replicaset-syncs=10",
		"--concurrent-job-syncs=10",
		"--concurrent-gc-syncs=20",
		"--concurrent-namespace-syncs=10",
		"--concurrent-endpoint-syncs=5",
		"--concurrent-service-endpoint-syncs=5",
		"--node-monitor-period=2s",
		"--v=1",
	}
}

// Scheduler are the arguments of kube-scheduler.
func Scheduler(dir layout.Dir) []string {
	return []string{
		"--kubeconfig=" + dir.Config("kube-scheduler.kubeconfig"),
		"--authentication-kubeconfig=" + dir.Config("kube-scheduler.kubeconfig"),
		"--authorization-kubeconfig=" + dir.Config("kube-scheduler.kubeconfig"),
		"--authentication-skip-lookup=true",
		"--bind-address=127.0.0.1",
		"--tls-cert-file=" + dir.Credentials("kube-apiserver.crt"),
		"--tls-private-key-file=" + dir.Credentials("kube-apiserver.key"),
		"--leader-elect=false",
		"--kube-api-qps=2000",
		"--kube-api-burst=4000",
		"--v=1",
	}
}
