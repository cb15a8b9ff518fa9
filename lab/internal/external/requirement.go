// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package external

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/netpol-latency/netpol-latency/lab/internal/netns"
)

// requirement is something that an engine wants of the machine. Its check is made in a network
// namespace that is gone afterwards.
type requirement struct {
	// what the machine lacks without it, and how to mend that.
	what, mend string
	check      func() error
}

// Check says what the machine lacks of what the engine needs: the error is exec.ErrNotFound for a
// program, and errors.ErrUnsupported for a feature of the kernel.
func (e Engine) Check() error {
	if _, err := e.path(); err != nil {
		return err
	}
	namespace, err := netns.New()
	if err != nil {
		return err
	}
	defer namespace.Close()

	return namespace.Do(func() error {
		var lacking []error
		for _, one := range e.needs {
			if err := one.check(); err != nil {
				lacking = append(lacking, fmt.Errorf("engine %s needs %s (%s): %w", e.Name,
					one.what, one.mend, err))
			}
		}
		return errors.Join(lacking...)
	})
}

// programs are needs that a Debian package meets.
func programs(debianPackage string, names ...string) []requirement {
	var all []requirement
	for _, name := range names {
		all = append(all, requirement{"the program " + name, "apt-get install " + debianPackage,
			func() error {
				_, err := lookPath(name)
				return err
			}})
	}
	return all
}

func iptablesPrograms() []string {
	return []string{"iptables", "iptables-save", "iptables-restore", "ip6tables",
		"ip6tables-save", "ip6tables-restore"}
}

// ipsets are what rules of iptables that match sets need.
func ipsets() []requirement {
	return append(programs("ipset", "ipset"),
		requirement{"sets of addresses", "CONFIG_IP_SET_HASH_IP",
			kernelDoes("ipset create netpol-latency hash:ip timeout 0")},
		requirement{"sets of networks", "CONFIG_IP_SET_HASH_NET",
			kernelDoes("ipset create netpol-latency-nets hash:net timeout 0")},
		requirement{"rules that match sets", "CONFIG_NETFILTER_XT_SET",
			kernelDoes("iptables -A FORWARD -m set --match-set netpol-latency src -j ACCEPT")},
		requirement{"rules that match bridges' ports", "CONFIG_NETFILTER_XT_MATCH_PHYSDEV",
			kernelDoes("iptables -A FORWARD -m physdev --physdev-is-bridged -j ACCEPT")},
		requirement{"rules that log", "CONFIG_NETFILTER_XT_TARGET_NFLOG",
			kernelDoes("iptables -A FORWARD -m limit --limit 1/minute -j NFLOG --nflog-group 1")},
	)
}

// kernelDoes is the check that a command succeeds. Without its program, which is a need of its own,
// there is nothing to say about the kernel.
func kernelDoes(line string) func() error {
	return func() error {
		words := strings.Fields(line)
		program, err := lookPath(words[0])
		if err != nil {
			return nil
		}

		output, err := exec.Command(program, words[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %q: %w: %s", errors.ErrUnsupported, line, err,
				strings.TrimSpace(string(output)))
		}
		return nil
	}
}
