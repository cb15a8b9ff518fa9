// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"net/url"

	"go.etcd.io/etcd/server/v3/embed"
)

// EtcdAddress is where etcd serves; it and etcdPeer are addresses of the control plane's namespace
// only.
const (
	EtcdAddress = "127.0.0.1:2379"
	etcdClient  = "http://" + EtcdAddress
	etcdPeer    = "http://127.0.0.1:2380"
)

// RunEtcd serves etcd until the context ends. Its data need not outlive the lab, so nothing waits
// for a disk.
func RunEtcd(ctx context.Context, dir string) error {
	config := embed.NewConfig()
	config.Dir = dir
	config.UnsafeNoFsync = true
	config.LogLevel = "warn"
	config.QuotaBackendBytes = 2 << 30
	client, err := url.Parse(etcdClient)
	if err != nil {
		return err
	}

	peer, err := url.Parse(etcdPeer)
	if err != nil {
		return err
	}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	server, err := embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	defer server.Close()

	select {
	case <-ctx.Done():
		return nil
	case err := <-server.Err():
		return fmt.Errorf("run etcd: %w", err)
	}
}
