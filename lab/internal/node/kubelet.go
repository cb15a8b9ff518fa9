// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	crilogs "k8s.io/cri-client/pkg/logs"
	"k8s.io/klog/v2"
)

// serveKubelet is the part of a kubelet's API that the lab needs: /healthz, for everybody, and
// container logs, for clients with a certificate (the API server).
func (a *agent) serveKubelet(ctx context.Context) error {
	authority, err := os.ReadFile(a.cfg.ClientCAFile)
	if err != nil {
		return fmt.Errorf("read the client authority: %w", err)
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(authority) {
		return fmt.Errorf("read the client authority: %s holds no certificate", a.cfg.ClientCAFile)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok")
	})
	mux.Handle("GET /containerLogs/{namespace}/{pod}/{container}",
		authenticated(http.HandlerFunc(a.serveLogs)))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the lab's node agent serves container logs only: no exec, attach or "+
			"port-forward", http.StatusNotImplemented)
	})

	server := &http.Server{
		Addr: fmt.Sprintf(":%d", kubeletPort), Handler: mux,
		TLSConfig:         &tls.Config{ClientCAs: clients, ClientAuth: tls.VerifyClientCertIfGiven},
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // port scans and probes
	}

	var group errgroup.Group
	group.Go(func() error {
		err := server.ListenAndServeTLS(a.cfg.KubeletCertFile, a.cfg.KubeletKeyFile)
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serve the kubelet endpoint: %w", err)
	})

	group.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	return group.Wait()
}

// authenticated refuses clients without a verified certificate.
func authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.VerifiedChains) == 0 {
			http.Error(w, "a client certificate is required", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a *agent) serveLogs(w http.ResponseWriter, r *http.Request) {
	p := a.podNamed(r.PathValue("namespace"), r.PathValue("pod"))
	if p == nil {
		http.Error(w, fmt.Sprintf("pod %q does not exist", r.PathValue("pod")), http.StatusNotFound)
		return
	}

	c := p.container(r.PathValue("container"))
	if c == nil {
		http.Error(w, fmt.Sprintf("container %q not found in pod %q", r.PathValue("container"),
			p.name), http.StatusNotFound)
		return
	}

	ready := a.whileReady()
	if ready.Err() != nil {
		http.Error(w, runtimeDown, http.StatusInternalServerError)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(ready, cancel)()

	options, streams, err := parseLogOptions(r.URL.Query(), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}

	path, live, err := c.log(r.URL.Query().Get("previous") == "true")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if logs := p.writerOf(c); a.cfg.LogStall && options.Follow && live != nil && logs != nil {
		path = filepath.Join(a.streamsDir(), rand.Text())
		if err := logs.follow(path); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer logs.unfollow(path)
	}

	output := &flushing{ResponseWriter: w}
	stdout, stderr := streams.writers(output)
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush() // whoever follows waits for the headers
	err = crilogs.ReadLogs(ctx, path, c.spec.Name, options, follower{live: live}, stdout,
		stderr)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil && ctx.Err() == nil {
		klog.V(1).InfoS("Serving a log", "pod", klog.KRef(p.namespace, p.name), "reason", err)
	}
}

// writerOf is what a container of the pod writes to, nil if it is the built-in server.
func (p *pod) writerOf(c *container) *logWriter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return c.logs
}

// container finds a container of the pod by name.
func (p *pod) container(name string) *container {
	for _, list := range [][]*container{p.init, p.main} {
		for _, c := range list {
			if c.spec.Name == name {
				return c
			}
		}
	}
	return nil
}

// log is the file of the container's present (or last, or previous) run, and what is closed at its
// end; nil when it has ended already.
func (c *container) log(previous bool) (path string, live <-chan struct{}, err error) {
	c.pod.mu.Lock()
	status, running, latest := *c.status.DeepCopy(), c.live, c.latest
	c.pod.mu.Unlock()
	switch {
	case previous && status.LastTerminationState.Terminated == nil:
		return "", nil, fmt.Errorf("previous terminated container %q in pod %q not found",
			c.spec.Name, c.pod.name)
	case previous && status.State.Waiting == nil:
		return c.logPath(latest - 1), nil, nil
	case previous:
		return c.logPath(latest), nil, nil
	case status.State.Waiting != nil && status.LastTerminationState.Terminated == nil:
		return "", nil, fmt.Errorf("container %q in pod %q is waiting to start: %s", c.spec.Name,
			c.pod.name, status.State.Waiting.Reason)
	}

	return c.logPath(latest), running, nil
}

// follower answers the one question that the log reader asks a container runtime: does the
// container still run?
type follower struct {
	internalapi.RuntimeService
	live <-chan struct{}
}

func (f follower) ContainerStatus(
	context.Context, string, bool,
) (*runtimeapi.ContainerStatusResponse, error) {
	state := runtimeapi.ContainerState_CONTAINER_EXITED
	if f.live != nil {
		select {
		case <-f.live:
		default:
			state = runtimeapi.ContainerState_CONTAINER_RUNNING
		}
	}
	return &runtimeapi.ContainerStatusResponse{Status: &runtimeapi.ContainerStatus{State: state}},
		nil
}

// logStream is the query's choice of streams.
type logStream string

func (s logStream) writers(w io.Writer) (stdout, stderr io.Writer) {
	switch string(s) {
	case v1.LogStreamStdout:
		return w, nil
	case v1.LogStreamStderr:
		return nil, w
	}
	return w, w
}

// parseLogOptions reads the query of a PodLogOptions request.
func parseLogOptions(query url.Values, now time.Time) (*crilogs.LogOptions, logStream, error) {
	options := &crilogs.LogOptions{Follow: query.Get("follow") == "true",
		Timestamp: query.Get("timestamps") == "true"}
	var seconds *int64
	for name, target := range map[string]**int64{"tailLines": &options.TailLines,
		"limitBytes": &options.LimitBytes, "sinceSeconds": &seconds} {
		text := query.Get(name)
		if text == "" {
			continue
		}
		number, err := strconv.ParseInt(text, 10, 64)
		if err != nil || number < 0 {
			return nil, "", fmt.Errorf("%s is %q; it must be a number that is not negative", name,
				text)
		}
		*target = &number
	}

	if seconds != nil {
		options.Since = now.Add(-time.Duration(*seconds) * time.Second)
	}
	if text := query.Get("sinceTime"); text != "" {
		since, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil, "", fmt.Errorf("sinceTime is %q; it must be a time as in RFC 3339: %w",
				text, err)
		}
		options.Since = since
	}

	return options, logStream(query.Get("stream")), nil
}

// flushing sends every line at once.
type flushing struct{ http.ResponseWriter }

func (f *flushing) Write(b []byte) (int, error) {
	n, err := f.ResponseWriter.Write(b)
	if err == nil {
		err = http.NewResponseController(f.ResponseWriter).Flush()
	}
	return n, err
}
