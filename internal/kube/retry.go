// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// An API server that is restarted, or of which another replica takes over, is away for seconds, and
// a run is there for hours. So what is asked of it is asked again, here and nowhere else: below all
// clients of a run. Each of its requests may be: reads, applies and deletes do nothing the second
// time, and [Create] knows what it has created. Two kinds are not: a trigger, whose time is the
// point ([Once]), and a log, which is a stream and whose reader knows better when to open it again.

const (
	// outageLimit is how long a request is tried again.
	outageLimit = 2 * time.Minute
	// outageNotice is when a person is told.
	outageNotice = 3 * time.Second
)

// retryPauses are those between the attempts of one request. The longest is short: a server that is
// back is to be noticed, and a run is one client.
func retryPauses() wait.Backoff {
	return wait.Backoff{
		Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 6, Cap: 2 * time.Second,
	}
}

// retrying sends requests again that met an API server which is away.
type retrying struct {
	next   http.RoundTripper
	outage *outage
}

// retry makes the clients of a configuration send requests again.
func retry(config *rest.Config) *outage {
	away := &outage{told: make(map[string]bool)}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &retrying{next: next, outage: away}
	})
	return away
}

// RoundTrip implements [http.RoundTripper].
func (r *retrying) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, began, pauses := request.Context(), time.Now(), retryPauses()
	for {
		response, err := r.next.RoundTrip(request)
		trouble := troubleOf(response, err)
		if trouble == nil && err == nil {
			r.outage.answered()
		}
		// A connection that its user has given up shows nothing of the server.
		if trouble == nil || ctx.Err() != nil || err == nil && !repeatable(request) {
			return response, err
		}
		unreachable := err != nil || response.StatusCode == http.StatusServiceUnavailable
		away := r.outage.failed(trouble, began, unreachable)
		if err != nil && !r.outage.known() || !repeatable(request) || away > outageLimit {
			return response, err
		}

		select {
		case <-time.After(max(pauses.Step(), closeForRetry(response))):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; the API server: %w", context.Cause(ctx), trouble)
		}
		if repeated, ok := ctx.Value(repeatedKey{}).(*bool); ok {
			*repeated = true
		}
		request = request.Clone(ctx)
		if request.GetBody != nil {
			if request.Body, err = request.GetBody(); err != nil {
				return nil, fmt.Errorf("send a request again: %w", err)
			}
		}
	}
}

// closeForRetry closes an answer that is not taken, and returns how long the server wants to be
// left alone.
func closeForRetry(response *http.Response) time.Duration {
	if response == nil {
		return 0
	}
	_ = response.Body.Close() // nothing of it is wanted
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// repeatable reports whether a request may be sent again.
func repeatable(request *http.Request) bool {
	return request.Context().Value(onceKey{}) == nil &&
		(request.Body == nil || request.GetBody != nil) &&
		!strings.HasSuffix(request.URL.Path, "/log")
}

type (
	onceKey     struct{}
	repeatedKey struct{}
)

// Once is a context whose requests are sent once: what matters is when they arrive.
func Once(ctx context.Context) context.Context { return context.WithValue(ctx, onceKey{}, true) }

// troubleOf is why a request may succeed when it is sent again, in the server's words if it has
// said something; nil if there is no reason to think so.
func troubleOf(response *http.Response, err error) error {
	switch {
	case err != nil && connectionLost(err):
		return err
	case err != nil || !transientCode(response.StatusCode):
		return nil
	}

	// Whoever gets the answer must be able to read it.
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	rest := response.Body
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(text), rest), rest}
	if err == nil {
		object, _, _ := scheme.Codecs.UniversalDeserializer().Decode(text, nil, nil)
		if status, ok := object.(*metav1.Status); ok && status.Message != "" {
			return errors.New(status.Message)
		}
	}
	return errors.New(response.Status)
}

// transientCode reports whether a status is about the server, and not about the request.
func transientCode(code int) bool {
	switch code {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// connectionLost reports whether an error is of the way to the server.
func connectionLost(err error) bool {
	var operation *net.OpError
	return utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) ||
		utilnet.IsProbableEOF(err) || utilnet.IsHTTP2ConnectionLost(err) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &operation) ||
		utilnet.IsTimeout(err) && !errors.Is(err, context.DeadlineExceeded)
}

// Transient reports whether an error of a request is of an API server that is away, or of the way
// there: the same request may succeed a little later.
func Transient(err error) bool {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return transientCode(int(status.Status().Code))
	}
	return connectionLost(err)
}

// outage is what all clients of a run know together of an API server that does not answer.
type outage struct {
	mu     sync.Mutex
	met    bool      // whether it has ever answered: an address that is wrong never does
	since  time.Time // zero while it answers
	newest time.Time // when it could not be reached last
	told   map[string]bool
	notice func(string) // nil if nobody is to be told
}

// failed takes in that a request failed which was first sent at an instant, perhaps because the
// server cannot be reached, says so after some seconds, and returns how long that, or the server's
// silence, has lasted.
func (o *outage) failed(trouble error, began time.Time, unreachable bool) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if unreachable {
		o.newest = now
	}
	if o.since.IsZero() {
		o.since = now
	}
	if o.since.Before(began) {
		began = o.since
	}

	away := now.Sub(began)
	if text := trouble.Error(); away > outageNotice && !o.told[text] && o.notice != nil {
		o.told[text] = true
		o.notice(fmt.Sprintf("the API server does not do what it is asked: %s: trying again for "+
			"up to %s", text, outageLimit))
	}
	return away
}

// answered takes in that a request was answered.
func (o *outage) answered() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.met = true
	if o.since.IsZero() {
		return
	}
	if away := time.Since(o.since); len(o.told) > 0 && away > outageNotice {
		o.notice(fmt.Sprintf("the API server answers again, after %s", away.Round(time.Second)))
		clear(o.told)
	}
	o.since = time.Time{}
}

// tell has a person told.
func (o *outage) tell(notice func(string)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.notice = notice
}

// known reports whether the server has ever answered.
func (o *outage) known() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.met
}

// last is when the server could not be reached last, zero if it always could.
func (o *outage) last() time.Time {
	if o == nil {
		return time.Time{} // of a cluster in tests
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.newest
}

// endpoint is where objects of a kind are created.
type endpoint[P any] interface {
	Create(ctx context.Context, object P, options metav1.CreateOptions) (P, error)
	Get(ctx context.Context, name string, options metav1.GetOptions) (P, error)
}

// Create creates an object. If the request had to be sent again, because no answer came, the object
// may exist already: it is the one that was to be created if it carries all its labels.
func Create[P metav1.Object](
	ctx context.Context, to endpoint[P], object P, options metav1.CreateOptions,
) (P, error) {
	repeated := false
	created, err := to.Create(context.WithValue(ctx, repeatedKey{}, &repeated), object, options)
	if !repeated || !apierrors.IsAlreadyExists(err) {
		return created, err
	}

	found, missing := to.Get(ctx, object.GetName(), metav1.GetOptions{})
	if missing != nil {
		return created, errors.Join(err, missing)
	}
	for key, value := range object.GetLabels() {
		if found.GetLabels()[key] != value {
			return created, err
		}
	}
	return found, nil
}
