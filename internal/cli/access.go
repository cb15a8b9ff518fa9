// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/kubernetes"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // the auth providers that kubectl has
	"k8s.io/client-go/tools/clientcmd"

	"github.com/netpol-latency/netpol-latency/internal/kube"
	"github.com/netpol-latency/netpol-latency/internal/setting"
)

// accessFlags are kubectl's flags for the cluster that a command talks to: those of client-go,
// which kubectl's own library (k8s.io/cli-runtime) is made of. That one would bring 2 MB and the
// modules of kustomize, for the same flags.
type accessFlags struct{ kube.Access }

// forAccess annotates these flags.
const forAccess = "netpol-latency/access"

// add adds the flags to a command, and what the shell may offer for them.
func (a *accessFlags) add(cmd *cobra.Command) {
	var own pflag.FlagSet
	own.StringVar(&a.Kubeconfig, "kubeconfig", "", "kubeconfig file (default: as kubectl)")
	clientcmd.BindOverrideFlags(&a.Overrides, &own, overrideFlags())
	own.Func("as-user-extra", "what else is said of that user, `KEY=VALUE` (repeatable)",
		a.addUserExtra)
	own.VisitAll(func(flag *pflag.Flag) { flag.Annotations = map[string][]string{forAccess: nil} })
	cmd.Flags().AddFlagSet(&own)

	for _, name := range []string{
		"kubeconfig", "certificate-authority", "client-certificate", "client-key",
	} {
		offerFiles(cmd, name)
	}
	offerFunc(cmd, "context", a.names(func(k kube.Known) []string { return k.Contexts }))
	offerFunc(cmd, "cluster", a.names(func(k kube.Known) []string { return k.Clusters }))
	offerFunc(cmd, "user", a.names(func(k kube.Known) []string { return k.Users }))
}

// addUserExtra notes one more thing about the user to act as.
func (a *accessFlags) addUserExtra(text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return errors.New("expected KEY=VALUE, for example scopes=development")
	}
	user := &a.Overrides.AuthInfo
	if user.ImpersonateUserExtra == nil {
		user.ImpersonateUserExtra = make(map[string][]string)
	}
	user.ImpersonateUserExtra[key] = append(user.ImpersonateUserExtra[key], value)
	return nil
}

// overrideFlags are the names of the flags and what their help says. What concerns a namespace is
// each command's own.
func overrideFlags() clientcmd.ConfigOverrideFlags {
	text := func(name, description string) clientcmd.FlagInfo {
		return clientcmd.FlagInfo{LongName: name, Description: description}
	}
	server := text(clientcmd.FlagAPIServer, "address of the API server, with its port")
	server.ShortName = "s"
	return clientcmd.ConfigOverrideFlags{
		CurrentContext: text(clientcmd.FlagContext, "context of the kubeconfig"),
		Timeout: text(clientcmd.FlagTimeout, "how long a request may take, for example 10s; "+
			"not one that\nis to last (default no limit)"),
		ContextOverrideFlags: clientcmd.ContextOverrideFlags{
			ClusterName:  text(clientcmd.FlagClusterName, "cluster of the kubeconfig"),
			AuthInfoName: text(clientcmd.FlagAuthInfoName, "user of the kubeconfig"),
		},
		AuthOverrideFlags: clientcmd.AuthOverrideFlags{
			ClientCertificate: text(clientcmd.FlagCertFile, "file with a client certificate"),
			ClientKey:         text(clientcmd.FlagKeyFile, "file with its key"),
			Token:             text(clientcmd.FlagBearerToken, "bearer token"),
			Impersonate:       text(clientcmd.FlagImpersonate, "user to act as"),
			ImpersonateUID:    text(clientcmd.FlagImpersonateUID, "UID to act as"),
			ImpersonateGroups: text(clientcmd.FlagImpersonateGroup,
				"group to act as (repeatable)"),
		},
		ClusterOverrideFlags: clientcmd.ClusterOverrideFlags{
			APIServer: server,
			CertificateAuthority: text(clientcmd.FlagCAFile,
				"file with the certificate of the authority of the\nAPI server's"),
			InsecureSkipTLSVerify: text(clientcmd.FlagInsecure,
				"do not check the API server's certificate"),
			TLSServerName: text(clientcmd.FlagTLSServerName,
				"name that the API server's certificate must have"),
			ProxyURL:           text(clientcmd.FlagProxyURL, "proxy on the way to the API server"),
			DisableCompression: text(clientcmd.FlagDisableCompression, "ask for plain answers"),
		},
	}
}

// names offers names of the kubeconfig.
func (a *accessFlags) names(of func(kube.Known) []string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		known, err := a.Known()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return of(known), cobra.ShellCompDirectiveNoFileComp
	}
}

// check reports names that the kubeconfig does not have.
func (a *accessFlags) check() error {
	known, err := a.Known()
	if err != nil {
		return nil // who connects says it better
	}

	var mistakes []error
	for _, one := range []struct {
		flag, name string
		known      []string
	}{
		{clientcmd.FlagContext, a.Overrides.CurrentContext, known.Contexts},
		{clientcmd.FlagClusterName, a.Overrides.Context.Cluster, known.Clusters},
		{clientcmd.FlagAuthInfoName, a.Overrides.Context.AuthInfo, known.Users},
	} {
		if one.name != "" {
			mistakes = append(mistakes, setting.OneOf("--"+one.flag, one.name, one.known...))
		}
	}
	return errors.Join(mistakes...)
}

// cluster is the cluster that the flags name.
func (a *accessFlags) cluster() (*kube.Cluster, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	return kube.ConnectCluster(a.Access, Name)
}

// client is a client of the cluster that the flags name.
func (a *accessFlags) client() (kubernetes.Interface, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	return kube.ConnectUser(a.Access, Name)
}

// usage prints how to use a command, with the flags for access, which many have, last.
func usage(cmd *cobra.Command) error {
	access := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if _, is := flag.Annotations[forAccess]; is {
			access.AddFlag(flag)
		}
	})
	hide := func(hidden bool) {
		access.VisitAll(func(flag *pflag.Flag) { flag.Hidden = hidden })
	}

	hide(true)
	err := (&cobra.Command{}).UsageFunc()(cmd)
	hide(false)
	if err != nil || !access.HasFlags() {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStderr(), "\nFlags for the cluster, as kubectl has them:\n%s",
		access.FlagUsages())
	return err
}

// suggestFlag names the flag that was probably meant.
func suggestFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return err
	}
	var known []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			known = append(known, flag.Name)
		}
	})
	if meant := setting.Nearest(unknown.GetSpecifiedName(), known); meant != "" {
		return fmt.Errorf("%w; did you mean --%s?", err, meant)
	}
	return err
}

// withoutSecrets are arguments as they are written into the record of a run: what the API server
// or a proxy knows its user by is nobody else's.
func withoutSecrets(arguments []string) []string {
	const hidden = "…"
	secret := []string{"--" + clientcmd.FlagBearerToken, "--" + clientcmd.FlagProxyURL}
	all := slices.Clone(arguments)
	for i, argument := range arguments {
		name, _, joined := strings.Cut(argument, "=")
		switch {
		case slices.Contains(secret, name) && joined:
			all[i] = name + "=" + hidden
		case i > 0 && slices.Contains(secret, arguments[i-1]):
			all[i] = hidden
		}
	}
	return all
}
