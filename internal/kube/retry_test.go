// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// transport is an API server: a function of the number of requests before, and of the request.
type transport func(before int, request *http.Request) (*http.Response, error)

// count makes a RoundTripper of it, which counts.
func (t transport) count(requests *int) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		*requests++
		return t(*requests-1, request)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func answerWith(code int, text string) *http.Response {
	return &http.Response{
		StatusCode: code, Status: http.StatusText(code),
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(strings.NewReader(text)),
	}
}

var errRefused = &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}

// TestRetry sends requests to an API server that is away for some time, after it has answered once.
func TestRetry(t *testing.T) {
	away := func(times int, response int, err error) transport {
		return func(before int, request *http.Request) (*http.Response, error) {
			switch {
			case before == 0 || before > times:
				return answerWith(http.StatusOK, "{}"), nil
			case err != nil:
				return nil, err
			}
			const status = `{"kind":"Status","apiVersion":"v1","message":"no leader"}`
			return answerWith(response, status), nil
		}
	}
	once := Once(t.Context())
	tests := map[string]struct {
		server transport
		method string
		path   string
		ctx    context.Context
		want   int // requests, beyond the first
	}{
		"it is not":                {server: away(0, 0, nil), want: 1},
		"refused":                  {server: away(3, 0, errRefused), want: 4},
		"a connection that breaks": {server: away(1, 0, io.EOF), want: 2},
		"an apply": {server: away(3, 0, errRefused), method: http.MethodPatch,
			want: 4},
		"a creation":          {server: away(3, 503, nil), method: http.MethodPost, want: 4},
		"no leader":           {server: away(2, 500, nil), want: 3},
		"too many":            {server: away(2, 429, nil), want: 3},
		"forbidden":           {server: away(2, 403, nil), want: 1},
		"a wrong certificate": {server: away(2, 0, errors.New("x509")), want: 1},
		"a log":               {server: away(2, 500, nil), path: "/api/v1/p/log", want: 1},
		"a trigger":           {server: away(2, 0, errRefused), ctx: once, want: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests, bodies := 0, 0
				client := clientOf(transport(func(before int, request *http.Request) (
					*http.Response, error,
				) {
					if text, _ := io.ReadAll(request.Body); string(text) == "body" {
						bodies++
					}
					return test.server(before, request)
				}).count(&requests), nil)
				send(t, client, t.Context(), http.MethodGet, "/")
				ctx := test.ctx
				if ctx == nil {
					ctx = t.Context()
				}
				send(t, client, ctx, test.method, test.path)
				if requests-1 != test.want || bodies != requests {
					t.Errorf("%d requests, %d of all with their body; want %d", requests-1, bodies,
						test.want)
				}
			})
		})
	}
}

// clientOf is a client whose requests are sent again; told is told of outages.
func clientOf(server http.RoundTripper, told func(string)) *http.Client {
	away := &outage{told: make(map[string]bool), notice: told}
	return &http.Client{Transport: &retrying{next: server, outage: away}}
}

func send(
	t *testing.T, client *http.Client, ctx context.Context, method, path string,
) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, "http://server"+path,
		bytes.NewReader([]byte("body")))
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err == nil {
		defer response.Body.Close()
	}
	return response, err
}

// TestRetryEnds: an address where nobody has ever answered is wrong, and two minutes are no
// restart. A person is told of what takes seconds, once, and of its end.
func TestRetryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		requests, until := 0, time.Time{}
		client := clientOf(transport(func(int, *http.Request) (*http.Response, error) {
			if time.Now().Before(until) {
				return nil, errRefused
			}
			return answerWith(http.StatusOK, "{}"), nil
		}).count(&requests), func(text string) { told = append(told, text) })

		until = time.Now().Add(time.Second)
		if _, err := send(t, client, t.Context(), http.MethodGet, "/"); err == nil ||
			requests != 1 {
			t.Errorf("a wrong address: %v after %d requests; want an error after one", err,
				requests)
		}

		time.Sleep(time.Second)
		send(t, client, t.Context(), http.MethodGet, "/")
		began := time.Now()
		until = began.Add(10 * time.Second)
		if _, err := send(t, client, t.Context(), http.MethodGet, "/"); err != nil {
			t.Errorf("an outage of 10 s: %v", err)
		}
		if took := time.Since(began); took > 13*time.Second || len(told) != 2 ||
			!strings.Contains(told[0], "connection refused: trying again for up to 2m0s") ||
			!strings.Contains(told[1], "answers again, after 1") {
			t.Errorf("after %s: told %q", took, told)
		}

		began, until = time.Now(), time.Now().Add(time.Hour)
		_, err := send(t, client, t.Context(), http.MethodGet, "/")
		if took := time.Since(began); !Transient(err) || took < outageLimit ||
			took > outageLimit+3*time.Second {
			t.Errorf("an outage without end: after %s: %v", took, err)
		}

		until = time.Now()
		send(t, client, t.Context(), http.MethodGet, "/")
		until = time.Now().Add(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := send(t, client, ctx, http.MethodGet, "/"); !errors.Is(err,
			context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("a context that ends: %v", err)
		}
	})
}

// TestWhatIsNoOutage: the run waits longer after an outage, and must not do so because one of its
// own requests was given up, or because the server does not like one.
func TestWhatIsNoOutage(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		code   int
		outage bool
	}{
		"given up":        {err: &net.OpError{Op: "dial", Err: context.Canceled}},
		"a broken hook":   {code: http.StatusInternalServerError},
		"it is not ready": {code: http.StatusServiceUnavailable, outage: true},
		"it is not there": {err: errRefused, outage: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				away := &outage{met: true, told: make(map[string]bool)}
				server := roundTripper(func(*http.Request) (*http.Response, error) {
					if errors.Is(test.err, context.Canceled) {
						cancel()
					}
					return answerWith(test.code, "{}"), test.err
				})
				client := &http.Client{Transport: &retrying{next: server, outage: away}}
				_, _ = send(t, client, ctx, http.MethodGet, "/") // it fails
				if outage := !away.last().IsZero(); outage != test.outage {
					t.Errorf("an outage: %t, want %t", outage, test.outage)
				}
			})
		})
	}
}

// TestCreateAgain loses the answer to the creation of an object: the one that exists is the run's
// if it carries its label.
func TestCreateAgain(t *testing.T) {
	const exists = `{"kind":"Status","apiVersion":"v1","status":"Failure",` +
		`"reason":"AlreadyExists","code":409,"message":"pods \"p\" already exists"}`
	for name, test := range map[string]struct {
		lost  bool   // whether the first answer is
		label string // of what exists
		ours  bool
	}{
		"it is ours":               {lost: true, label: "mine", ours: true},
		"another has the name":     {lost: true, label: "another"},
		"another was there before": {label: "mine"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				config := &rest.Config{Host: "http://server", QPS: -1, Transport: transport(
					func(before int, request *http.Request) (*http.Response, error) {
						switch {
						case request.Method == http.MethodGet:
							return answerWith(http.StatusOK, `{"kind":"Pod","apiVersion":"v1",`+
								`"metadata":{"name":"p","uid":"1","labels":{"run":"`+test.label+
								`"}}}`), nil
						case before == 1 && test.lost:
							return nil, io.EOF
						}
						return answerWith(http.StatusConflict, exists), nil
					}).count(&requests)}
				retry(config)
				client, err := kubernetes.NewForConfig(config)
				if err != nil {
					t.Fatal(err)
				}
				pods := client.CoreV1().Pods("n")
				_, _ = pods.Get(t.Context(), "p", metav1.GetOptions{}) // it is there

				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p",
					Labels: map[string]string{"run": "mine"}}}
				created, err := Create(t.Context(), pods, pod, metav1.CreateOptions{})
				if ours := err == nil && created.UID == "1"; ours != test.ours ||
					!ours && !apierrors.IsAlreadyExists(err) {
					t.Errorf("created %v, error %v; want ours: %t", created, err, test.ours)
				}
			})
		})
	}
}
