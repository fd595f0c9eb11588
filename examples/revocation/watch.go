package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// A watcher has a stream open at a replica and asks it again and again.
type watcher struct {
	url, token, session string
	stream              io.ReadCloser

	done                chan struct{}
	refused, streamOver time.Time // once done
	err                 error
}

// watch opens an MCP session with a stream at each replica.
func watch(ctx context.Context, urls []string, token string) ([]*watcher, error) {
	var watched []*watcher
	for _, url := range urls {
		w := &watcher{url: url, token: token, done: make(chan struct{})}
		if err := w.open(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", url, err)
		}
		watched = append(watched, w)
		go w.watch(ctx)
	}
	return watched, nil
}

func (w *watcher) open(ctx context.Context) error {
	const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},` +
		`"clientInfo":{"name":"watcher","version":"1"}}}`
	resp, err := w.do(ctx, http.MethodPost, initialize)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	w.session = resp.Header.Get("Mcp-Session-Id")
	resp, err = w.do(ctx, http.MethodGet, "")
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return fmt.Errorf("GET: %s", resp.Status)
	}
	w.stream = resp.Body
	return nil
}

// watch ends when the replica refuses the token and the stream is over.
func (w *watcher) watch(ctx context.Context) {
	defer close(w.done)
	over := make(chan time.Time, 1)
	go func() {
		_, _ = io.Copy(io.Discard, w.stream) // its error is that it was broken off
		over <- time.Now()
		_ = w.stream.Close()
	}()
	for {
		resp, err := w.do(ctx, http.MethodPost, `{"jsonrpc":"2.0","id":2,"method":"ping"}`)
		if err != nil {
			w.err = err
			return
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusUnauthorized {
			w.refused = time.Now()
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	select {
	case w.streamOver = <-over:
	case <-time.After(10 * time.Second):
		w.err = errors.New("the stream goes on")
	}
}

func (w *watcher) do(ctx context.Context, method, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if w.session != "" {
		req.Header.Set("Mcp-Session-Id", w.session)
	}
	return http.DefaultClient.Do(req)
}
