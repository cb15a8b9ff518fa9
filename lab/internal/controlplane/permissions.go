// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// GrantPermissions gives the node agents and the engines what they need, and no more.
func GrantPermissions(ctx context.Context, client kubernetes.Interface) error {
	read := []string{"get", "list", "watch"}
	grants := map[string][]rbacv1.PolicyRule{
		"netpol-latency-lab:node": {
			rule("", []string{"nodes", "nodes/status"}, "get", "create", "update", "patch"),
			rule("", []string{"pods"}, "get", "list", "watch", "delete"),
			rule("", []string{"pods/status"}, "get", "update", "patch"),
			rule("", []string{"serviceaccounts/token"}, "create"),
			rule("", []string{"configmaps", "secrets", "services"}, read...),
			rule("", []string{"events"}, "create", "update", "patch"),
			rule("coordination.k8s.io", []string{"leases"}, "get", "create", "update", "patch"),
		},
		"netpol-latency-lab:engine": {
			rule("", []string{"pods", "namespaces"}, read...),
			rule("networking.k8s.io", []string{"networkpolicies"}, read...),
		},
	}

	for user, rules := range grants {
		if err := grant(ctx, client, user, rules); err != nil {
			return fmt.Errorf("grant permissions to %s: %w", user, err)
		}
	}

	return nil
}

func rule(group string, resources []string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
}

// grant creates a cluster role by the user's name and binds it to the user.
func grant(
	ctx context.Context, client kubernetes.Interface, user string, rules []rbacv1.PolicyRule,
) error {
	named := metav1.ObjectMeta{Name: user}
	_, err := client.RbacV1().ClusterRoles().Create(ctx,
		&rbacv1.ClusterRole{ObjectMeta: named, Rules: rules}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}

	_, err = client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: named,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind,
			Name: user}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}

	return nil
}
