// Copyright The netpol-latency Authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/netpol-latency/netpol-latency/lab/internal/engine"
	"github.com/netpol-latency/netpol-latency/lab/internal/layout"
	"github.com/netpol-latency/netpol-latency/lab/internal/socket"
)

// controlHandler answers on the control socket.
func (l *inner) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /components", func(w http.ResponseWriter, _ *http.Request) {
		var all []Status
		for _, c := range l.components {
			all = append(all, c.status())
		}
		_ = json.NewEncoder(w).Encode(all) // the client sees a cut answer
	})

	mux.HandleFunc("POST /components/{name}/{action}", func(w http.ResponseWriter,
		r *http.Request) {
		socket.Answer(w, l.act(r.PathValue("name"), r.PathValue("action")))
	})
	mux.HandleFunc("POST /nodes/{name}/{action}", func(w http.ResponseWriter, r *http.Request) {
		socket.Answer(w, l.actOnNode(r.Context(), r.PathValue("name"), r.PathValue("action")))
	})
	mux.HandleFunc("GET /settings", func(w http.ResponseWriter, r *http.Request) {
		settings, err := l.settings(r.Context())
		if err != nil {
			socket.Answer(w, err)
			return
		}
		_ = json.NewEncoder(w).Encode(settings) // the client sees a cut answer
	})

	mux.HandleFunc("PUT /settings", func(w http.ResponseWriter, r *http.Request) {
		var settings engine.Settings
		if err := json.NewDecoder(r.Body).Decode(&settings); err != nil {
			socket.Answer(w, fmt.Errorf("read settings: %w", err))
			return
		}
		socket.Answer(w, l.set(r.Context(), settings))
	})

	return mux
}

// act carries out an action on a component.
func (l *inner) act(name, action string) error {
	var names []string
	for _, c := range l.components {
		if c.name == name {
			return c.act(action)
		}
		names = append(names, c.name)
	}
	return fmt.Errorf("unknown component %q: expected one of %s", name, strings.Join(names, ", "))
}

// actOnNode has a node's agent carry out an action.
func (l *inner) actOnNode(ctx context.Context, name, action string) error {
	var names []string
	for _, n := range l.options.nodes() {
		if n.Name == name {
			return call(ctx, l.options.Dir.NodeControl(name), http.MethodPost, "/"+action, nil, nil)
		}
		names = append(names, n.Name)
	}
	return fmt.Errorf("unknown node %q: expected one of %s", name, strings.Join(names, ", "))
}

// errNoEngine says that there is nothing to set.
var errNoEngine = errors.New("change settings: the lab runs no reference engine")

// settings asks an engine for its settings: all have the same.
func (l *inner) settings(ctx context.Context) (engine.Settings, error) {
	var settings engine.Settings
	if !l.options.ownEngine() {
		return settings, errNoEngine
	}
	socket := l.options.Dir.EngineControl(l.options.nodes()[0].Engine())
	err := call(ctx, socket, http.MethodGet, "/settings", nil, &settings)
	return settings, err
}

// set changes the settings of every engine, now and for the next start.
func (l *inner) set(ctx context.Context, settings engine.Settings) error {
	if !l.options.ownEngine() {
		return errNoEngine
	}
	if err := settings.Validate(); err != nil {
		return err
	}

	for _, node := range l.options.nodes() {
		socket := l.options.Dir.EngineControl(node.Engine())
		if err := call(ctx, socket, http.MethodPut, "/settings", settings, nil); err != nil {
			return err
		}
		if err := l.writeEngineConfig(node, settings); err != nil {
			return err
		}
	}

	return nil
}

// Control is the way into a running lab.
type Control struct{ Dir layout.Dir }

// Components tells what every component is doing.
func (c Control) Components(ctx context.Context) ([]Status, error) {
	var all []Status
	err := call(ctx, c.Dir.Control(), http.MethodGet, "/components", nil, &all)
	return all, err
}

// Act starts, stops, restarts or kills a component.
func (c Control) Act(ctx context.Context, name, action string) error {
	return call(ctx, c.Dir.Control(), http.MethodPost, "/components/"+name+"/"+action, nil, nil)
}

// ActOnNode makes a node not ready, or ready, or rotates its logs; see [node.Actions].
func (c Control) ActOnNode(ctx context.Context, name, action string) error {
	return call(ctx, c.Dir.Control(), http.MethodPost, "/nodes/"+name+"/"+action, nil, nil)
}

// Settings are those of the reference engines.
func (c Control) Settings(ctx context.Context) (engine.Settings, error) {
	var settings engine.Settings
	err := call(ctx, c.Dir.Control(), http.MethodGet, "/settings", nil, &settings)
	return settings, err
}

// Set changes the settings of the reference engines.
func (c Control) Set(ctx context.Context, settings engine.Settings) error {
	return call(ctx, c.Dir.Control(), http.MethodPut, "/settings", settings, nil)
}

// call makes a request over a Unix socket, with JSON both ways.
func call(ctx context.Context, socket, method, path string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return fmt.Errorf("encode a request: %w", err)
		}
	}

	request, err := http.NewRequestWithContext(ctx, method, "http://lab"+path, &body)
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}

	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("ask the lab: is it running? %w", err)
	}
	defer response.Body.Close()

	if response.StatusCode >= http.StatusBadRequest {
		reason, _ := io.ReadAll(io.LimitReader(response.Body, 4096)) // as much as there is
		return errors.New(strings.TrimSpace(string(reason)))
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		return fmt.Errorf("read the lab's answer: %w", err)
	}

	return nil
}
