// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/api/v1/resource"
	"k8s.io/kubernetes/pkg/volume/configmap"
	"k8s.io/kubernetes/pkg/volume/secret"
	volumeutil "k8s.io/kubernetes/pkg/volume/util"
)

// tokenSource issues service account tokens and keeps them until they need a refresh.
type tokenSource interface {
	GetServiceAccountToken(namespace, name string,
		tr *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error)
}

// volumes are the volumes of one pod, each a directory below dir.
type volumes struct {
	downward
	tokens tokenSource
	dir    string
}

func (v volumes) path(name string) string { return filepath.Join(v.dir, name) }

// write fills every volume. It is repeated while the pod runs, so that tokens are refreshed and
// changed ConfigMaps and Secrets arrive; files change atomically, as with a kubelet.
func (v volumes) write(ctx context.Context) error {
	var errs []error
	for _, volume := range v.pod.Spec.Volumes {
		if err := v.writeOne(ctx, volume); err != nil {
			errs = append(errs, fmt.Errorf("volume %s: %w", volume.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (v volumes) writeOne(ctx context.Context, volume v1.Volume) error {
	path := v.path(volume.Name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	if volume.EmptyDir != nil {
		return os.Chmod(path, 0o777)
	}

	payload, err := v.payload(ctx, volume)
	if err != nil {
		return err
	}
	writer, err := volumeutil.NewAtomicWriter(path, "pod "+v.pod.Namespace+"/"+v.pod.Name)
	if err != nil {
		return err
	}

	return writer.Write(payload, nil)
}

// payload is the content of a volume that is made of files.
func (v volumes) payload(
	ctx context.Context, volume v1.Volume,
) (map[string]volumeutil.FileProjection, error) {
	switch {
	case volume.ConfigMap != nil:
		s := volume.ConfigMap
		return v.configMapFiles(ctx, s.Name, s.Items, s.DefaultMode, first(s.Optional))
	case volume.Secret != nil:
		s := volume.Secret
		return v.secretFiles(ctx, s.SecretName, s.Items, s.DefaultMode, first(s.Optional))
	case volume.DownwardAPI != nil:
		return v.downwardFiles(volume.DownwardAPI.Items, volume.DownwardAPI.DefaultMode)
	case volume.Projected != nil:
		all := map[string]volumeutil.FileProjection{}
		for _, source := range volume.Projected.Sources {
			files, err := v.projection(ctx, source, volume.Projected.DefaultMode)
			if err != nil {
				return nil, err
			}
			maps.Copy(all, files)
		}
		return all, nil
	}

	return nil, errors.New("the lab has volumes of the kinds emptyDir, configMap, secret, " +
		"downwardAPI and projected, and this is none of them")
}

func (v volumes) projection(
	ctx context.Context, source v1.VolumeProjection, mode *int32,
) (map[string]volumeutil.FileProjection, error) {
	switch {
	case source.ConfigMap != nil:
		return v.configMapFiles(ctx, source.ConfigMap.Name, source.ConfigMap.Items, mode,
			first(source.ConfigMap.Optional))
	case source.Secret != nil:
		return v.secretFiles(ctx, source.Secret.Name, source.Secret.Items, mode,
			first(source.Secret.Optional))
	case source.DownwardAPI != nil:
		return v.downwardFiles(source.DownwardAPI.Items, mode)
	case source.ServiceAccountToken != nil:
		return v.tokenFile(source.ServiceAccountToken, mode)
	}

	return nil, errors.New("the lab projects configMap, secret, downwardAPI and " +
		"serviceAccountToken sources, and this is none of them")
}

func (v volumes) configMapFiles(
	ctx context.Context, name string, items []v1.KeyToPath, mode *int32, optional bool,
) (map[string]volumeutil.FileProjection, error) {
	object, err := v.configMap(ctx, name, optional)
	if err != nil {
		return nil, err
	}
	return configmap.MakePayload(items, object, mode, nil, optional)
}

func (v volumes) secretFiles(
	ctx context.Context, name string, items []v1.KeyToPath, mode *int32, optional bool,
) (map[string]volumeutil.FileProjection, error) {
	object, err := v.secret(ctx, name, optional)
	if err != nil {
		return nil, err
	}
	return secret.MakePayload(items, object, mode, nil, optional)
}

func (v volumes) downwardFiles(
	items []v1.DownwardAPIVolumeFile, mode *int32,
) (map[string]volumeutil.FileProjection, error) {
	files := map[string]volumeutil.FileProjection{}
	for _, item := range items {
		var value string
		var err error
		if item.FieldRef != nil {
			value, err = v.field(item.FieldRef.FieldPath)
		} else {
			value, err = resource.ExtractResourceValueByContainerName(item.ResourceFieldRef, v.pod,
				item.ResourceFieldRef.ContainerName)
		}
		if err != nil {
			return nil, err
		}

		files[item.Path] = volumeutil.FileProjection{Data: []byte(value),
			Mode: first(item.Mode, mode)}
	}
	return files, nil
}

// tokenFile is a token bound to the pod. Everybody in the container may read it, whatever the mode
// a kubelet would choose for the container's user: a rootless lab has only one user.
func (v volumes) tokenFile(
	source *v1.ServiceAccountTokenProjection, mode *int32,
) (map[string]volumeutil.FileProjection, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: source.ExpirationSeconds,
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod",
			Name: v.pod.Name, UID: v.pod.UID},
	}}

	if source.Audience != "" {
		request.Spec.Audiences = []string{source.Audience}
	}
	answer, err := v.tokens.GetServiceAccountToken(v.pod.Namespace, v.pod.Spec.ServiceAccountName,
		request)
	if err != nil {
		return nil, err
	}

	return map[string]volumeutil.FileProjection{source.Path: {Data: []byte(answer.Status.Token),
		Mode: first(mode)}}, nil
}

// remove deletes the volumes with everything in them.
func (v volumes) remove() error { return os.RemoveAll(v.dir) }

// mountsOf are the container's volume mounts.
func (v volumes) mountsOf(c *v1.Container) []mount {
	mounts := make([]mount, 0, len(c.VolumeMounts))
	for _, m := range c.VolumeMounts {
		mounts = append(mounts, mount{
			source:   filepath.Join(v.path(m.Name), filepath.Clean("/"+m.SubPath)),
			target:   m.MountPath,
			readOnly: m.ReadOnly,
		})
	}
	return mounts
}
