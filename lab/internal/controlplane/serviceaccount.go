// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
)

// engineAccount is the service account of engines that are programs of their own.
const engineAccount = "policy-engine"

// WriteServiceAccount makes the service account of engines that are programs of their own, which
// may do everything, and writes what its pods would find of it.
func WriteServiceAccount(
	ctx context.Context, client kubernetes.Interface, dir layout.Dir,
) error {
	token, err := engineToken(ctx, client)
	if err != nil {
		return fmt.Errorf("make the service account of policy engines: %w", err)
	}
	authority, err := os.ReadFile(dir.Credentials("ca.crt"))
	if err != nil {
		return fmt.Errorf("read the certificate authority: %w", err)
	}

	if err := os.MkdirAll(dir.ServiceAccount(), 0o700); err != nil {
		return fmt.Errorf("create the directory of the service account: %w", err)
	}
	for name, content := range map[string]string{
		corev1.ServiceAccountTokenKey: token, corev1.ServiceAccountRootCAKey: string(authority),
		corev1.ServiceAccountNamespaceKey: metav1.NamespaceSystem,
	} {
		path := filepath.Join(dir.ServiceAccount(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return fmt.Errorf("write the service account: %w", err)
		}
	}

	return nil
}

// engineToken creates the account, binds it to all rights and asks for a token of it.
func engineToken(ctx context.Context, client kubernetes.Interface) (string, error) {
	accounts := client.CoreV1().ServiceAccounts(metav1.NamespaceSystem)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: engineAccount}}
	err := await(ctx, func(ctx context.Context) (bool, error) {
		_, err := accounts.Create(ctx, account, metav1.CreateOptions{})
		if apierrors.IsNotFound(err) { // the API server makes the namespace in its own time
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return "", err
	}

	_, err = client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "netpol-latency-lab:" + engineAccount},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole",
			Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind,
			Namespace: metav1.NamespaceSystem, Name: engineAccount}},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}

	seconds := int64(validity.Seconds())
	request, err := accounts.CreateToken(ctx, engineAccount, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return request.Status.Token, nil
}
