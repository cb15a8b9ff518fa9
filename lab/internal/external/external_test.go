// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package external

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/netpol-latency/netpol-latency/internal/need"
	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

func TestFind(t *testing.T) {
	for _, name := range append(Names(), "exec:true") {
		if e, err := Find(name); err != nil || e.Name != name {
			t.Errorf("Find(%q) is %q, %v", name, e.Name, err)
		}
	}
	if _, err := Find("calico"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("the error of an unknown engine is %v", err)
	}
	if _, err := Find("exec: "); err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("the error of a missing command is %v", err)
	}
}

// kube-router is told of one family, since it ends with a range of services of another.
func TestKubeRouterArguments(t *testing.T) {
	ipv4, ipv6 := netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:10:96::/112")
	for want, services := range map[string][]netip.Prefix{
		"--enable-ipv4=true --enable-ipv6=false --service-cluster-ip-range=10.96.0.0/16": {
			ipv4, ipv6},
		"--enable-ipv4=false --enable-ipv6=true --service-cluster-ip-range=fd00:10:96::/112": {
			ipv6},
	} {
		got := strings.Join(kubeRouterArguments(Config{ServiceCIDRs: services}), " ")
		if !strings.Contains(got, want) || strings.Count(got, "--service-cluster-ip-range") != 1 {
			t.Errorf("the arguments for %v are %q; want %q and no other range", services, got, want)
		}
	}
}

// What a machine lacks is named, all of it at once, with how to mend it.
func TestCheckNames(t *testing.T) {
	e := Engine{Name: "mine", program: "sh", needs: append(
		programs("some-package", "no-such-program"),
		requirement{"rules that match nothing", "CONFIG_NOTHING", func() error {
			return errors.ErrUnsupported
		}},
	)}
	err := e.Check()
	need.Machine(t, ignore(err, exec.ErrNotFound), "run as root")
	for _, want := range []string{
		"engine mine needs the program no-such-program (apt-get install some-package)",
		"engine mine needs rules that match nothing (CONFIG_NOTHING)",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if !errors.Is(err, exec.ErrNotFound) || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("the error tells no program from a feature: %v", err)
	}
}

// ignore is nil for an error that is as expected.
func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

// A command finds what it is promised: the environment, the credentials where a pod has them, and
// a network namespace that it shares with nothing else.
func TestRunCommand(t *testing.T) {
	if os.Getenv("BECOME") != "" {
		t.Fatal(Run(exampleConfig()))
	}
	namespace, err := netns.New()
	need.Machine(t, err, "run as root")
	defer namespace.Close()

	credentials := t.TempDir()
	if err := os.WriteFile(credentials+"/token", []byte("secret "), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "BECOME="+credentials)
	var output []byte
	err = namespace.Do(func() (err error) {
		output, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("run a command: %v: %s", err, output)
	}
	const want = "secret node-7 172.18.0.9 10.244.0.0/20 10.244.0.0/16 10.96.0.0/16 /kube " +
		"172.18.0.1 6443"
	if strings.TrimSpace(string(output)) != want {
		t.Errorf("the command printed %q; want %q", output, want)
	}
	if _, err := os.Stat(serviceAccountDirectory); err == nil {
		t.Errorf("%s is there on the machine", serviceAccountDirectory)
	}
}

func exampleConfig() Config {
	prefixes := func(text string) []netip.Prefix {
		return []netip.Prefix{netip.MustParsePrefix(text)}
	}
	return Config{
		Engine: "exec:cat /var/run/secrets/kubernetes.io/serviceaccount/token; echo $NODE_NAME " +
			"$NODE_IPS $POD_CIDRS $CLUSTER_CIDRS $SERVICE_CIDRS $KUBECONFIG " +
			"$KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT",
		Node: "node-7", NodeIPs: []netip.Addr{netip.MustParseAddr("172.18.0.9")},
		PodCIDRs: prefixes("10.244.0.0/20"), ClusterCIDRs: prefixes("10.244.0.0/16"),
		ServiceCIDRs: prefixes("10.96.0.0/16"), Kubeconfig: "/kube",
		ServiceAccount: os.Getenv("BECOME"),
		APIServer:      netip.MustParseAddrPort("172.18.0.1:6443"),
	}
}

// The rules lead to the queue where the engine's own can not, and a reader that is not there is not
// seen.
func TestQueue(t *testing.T) {
	namespace, err := netns.New()
	need.Machine(t, err, "run as root")
	defer namespace.Close()
	err = namespace.Do(func() error {
		if err := queues().check(); err != nil {
			return err
		}
		return addQueueRules()
	})
	need.Machine(t, err, "use a kernel with queues for user space")
	if err := namespace.Do(queueHasReader); err == nil {
		t.Error("there is a reader of a queue that nobody reads")
	}
}
