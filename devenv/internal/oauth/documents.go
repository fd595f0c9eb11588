package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	documentTimeout = 5 * time.Second
	documentMaxAge  = time.Minute
	maxDocuments    = 1000
)

// documents fetches client metadata documents, whose URL is the client's id, and keeps them for a minute.
type documents struct {
	client *http.Client
	logger *slog.Logger

	mu    sync.Mutex
	cache map[string]cachedDocument
}

type cachedDocument struct {
	metadata clientMetadata
	fetched  time.Time
}

func newDocuments(logger *slog.Logger) *documents {
	return &documents{
		client: &http.Client{
			Timeout: documentTimeout,
			// The document vouches for its own URL only.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		logger: logger,
		cache:  make(map[string]cachedDocument),
	}
}

func (d *documents) fetch(ctx context.Context, id string) (clientMetadata, error) {
	d.mu.Lock()
	cached, ok := d.cache[id]
	d.mu.Unlock()
	if ok && time.Since(cached.fetched) < documentMaxAge {
		return cached.metadata, nil
	}
	metadata, err := d.get(ctx, id)
	if err != nil {
		return clientMetadata{}, err
	}
	d.logger.DebugContext(ctx, "fetched a client metadata document", "client_id", id)
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.cache) >= maxDocuments {
		clear(d.cache)
	}
	d.cache[id] = cachedDocument{metadata, time.Now()}
	return metadata, nil
}

func (d *documents) get(ctx context.Context, id string) (clientMetadata, error) {
	var metadata clientMetadata
	if err := checkDocumentURL(id); err != nil {
		return metadata, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, id, nil) //nolint:gosec // fetching what the client names is the feature
	if err != nil {
		return metadata, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := d.client.Do(req) //nolint:gosec // as above; the body is never shown
	if err != nil {
		return metadata, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return metadata, fmt.Errorf("%s answers %s", id, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBodyBytes+1))
	if err != nil {
		return metadata, err
	}
	if len(body) > maxBodyBytes {
		return metadata, fmt.Errorf("%s is larger than %d bytes", id, maxBodyBytes)
	}
	if err := json.Unmarshal(body, &metadata); err != nil {
		return metadata, fmt.Errorf("%s is not JSON", id)
	}
	if metadata.ClientID != id {
		return metadata, fmt.Errorf("client_id in the document is %q, its URL is %q", metadata.ClientID, id)
	}
	if metadata.AuthMethod != "" && metadata.AuthMethod != "none" {
		return metadata, fmt.Errorf("token_endpoint_auth_method %q is not supported here, only none", metadata.AuthMethod)
	}
	return metadata, metadata.validate()
}

// checkDocumentURL wants https, or http on loopback for development; a path without dot segments; and nothing that two
// parsers could read differently.
func checkDocumentURL(id string) error {
	u, err := url.Parse(id)
	switch {
	case err != nil:
		return errors.New("the client id is not a URL")
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return errors.New("the client id is neither https nor http on loopback")
	case u.Host == "" || u.User != nil || strings.Contains(id, "#"):
		return errors.New("the client id needs a host, and no user or fragment")
	case u.Path == "" || u.Path == "/":
		return errors.New("the client id needs a path")
	case slices.ContainsFunc(strings.Split(u.Path, "/"), func(s string) bool { return s == "." || s == ".." }):
		return errors.New("the path of the client id has dot segments")
	}
	return nil
}
