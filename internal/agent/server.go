// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
	"k8s.io/klog/v2"

	"github.com/netpol-latency/netpol-latency/internal/result"
)

// shutdownGrace is how long requests under way may take once the process is to end.
const shutdownGrace = 300 * time.Millisecond

// What others may hold of the server, who are whoever reaches the pod: a connection is one for as
// long as a scraper keeps it, and an answer takes no longer than a scrape may. Those who wait for
// the results are fewer than the connections, so that scrapers and the kubelet find one.
const (
	mostConnections = 128
	mostWaiting     = 32
	headerTimeout   = 5 * time.Second
	requestTimeout  = 10 * time.Second
	writeTimeout    = time.Minute
	idleTimeout     = 2 * time.Minute
	largestHeader   = 16 << 10
)

// handler serves /metrics, /healthz, /readyz and /samples.
func handler(metrics *Metrics, results *results, progress *progress) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	all := append(metrics.Collectors(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, collector := range all {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /readyz", serveReady(progress))
	mux.Handle("GET /samples", serveSamples(results, progress))
	return mux, nil
}

// serveReady answers with success once changes in the cluster will be noticed, and the targets that
// are expected have been seen denied.
func serveReady(progress *progress) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-progress.ready.sent:
			fmt.Fprintln(w, "ok")
		default:
			http.Error(w, "not all that exists, or is expected, has been seen yet",
				http.StatusServiceUnavailable)
		}
	}
}

// serveSamples answers with the samples so far, or with ?wait=true once every target has one.
func serveSamples(results *results, progress *progress) http.HandlerFunc {
	waiting := make(chan struct{}, mostWaiting)
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("wait") == "true" {
			select {
			case waiting <- struct{}{}:
				defer func() { <-waiting }()
			default:
				http.Error(w, "too many wait for the results already",
					http.StatusServiceUnavailable)
				return
			}
			if !awaitResults(w, r, progress) {
				return
			}
		}
		w.Header().Set("Content-Type", "application/jsonl")
		if err := result.Write(w, results.Samples()); err != nil {
			klog.Warningf("Cannot serve samples: %v", err)
		}
	}
}

// awaitResults waits, beyond the times of the server, until every target has a result; false if the
// client has gone.
func awaitResults(w http.ResponseWriter, r *http.Request, progress *progress) bool {
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetReadDeadline(time.Time{}) // a recorder of tests has none
	_ = deadlines.SetWriteDeadline(time.Time{})
	select {
	case <-progress.concluded.sent:
		_ = deadlines.SetWriteDeadline(time.Now().Add(writeTimeout))
		return true
	case <-r.Context().Done():
		return false
	}
}

// serve answers HTTP on the listener until the context ends.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, MaxHeaderBytes: largestHeader,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout,
	}
	listener = netutil.LimitListener(listener, mostConnections)
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(listener)
	if !stop() {
		<-stopped
	}

	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}

	return fmt.Errorf("serve metrics on %s: %w", listener.Addr(), err)
}
