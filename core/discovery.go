package mcpauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

const (
	maxDocumentBytes = 1 << 20
	rediscoverAge    = time.Hour
)

var (
	errBackingOff    = errors.New("the environment failed only just now and is not asked again yet")
	errNoUsable      = errors.New("the key set has no usable RSA key")
	errNotAcceptable = errors.New("status 406")
	errTooLarge      = errors.New("the document is longer than 1 MiB")
	errRedirect      = errors.New("redirect to another origin refused")
)

// A discovery finds and fetches the environment's keys, and remembers from search to search where they were. A search may
// go on in the background while the next one runs.
type discovery struct {
	environmentURL string
	resourceID     string
	issuers        []string
	client         *http.Client
	done           func() // leaves no idle connection behind, and so no goroutine
	logger         *slog.Logger
	now            func() time.Time

	mu         sync.Mutex
	jwksURI    string // from a metadata document, "" when none was found
	discovered time.Time
	last       string        // where keys were found last, "" when nowhere
	took       time.Duration // to fetch them
}

// newDiscovery returns a discovery that uses client, or a client of its own when that is nil.
func newDiscovery(cfg *Config, issuers []string) *discovery {
	d := &discovery{
		environmentURL: cfg.EnvironmentURL, resourceID: cfg.ResourceID, issuers: issuers,
		logger: cfg.Logger, now: cfg.Now,
	}
	own := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: documentTimeout}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	client := &http.Client{Transport: own}
	d.done = own.CloseIdleConnections
	if cfg.HTTPClient != nil {
		*client = *cfg.HTTPClient
		d.done = func() {}
	}
	theirs := client.CheckRedirect
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if !d.sameOrigin(req.URL) {
			return errRedirect
		}
		if len(via) > 3 {
			return errors.New("more than 3 redirects")
		}
		if theirs != nil {
			return theirs(req, via)
		}
		return nil
	}
	d.client = client
	return d
}

// metadataURLs are where authorization server metadata may be (RFC 8414 §3.1): inserted, appended as some environments
// have it, and OpenID Connect's.
func (d *discovery) metadataURLs() []string {
	const name = "/.well-known/oauth-authorization-server"
	if d.resourceID == "" {
		return []string{d.environmentURL + name, d.environmentURL + "/.well-known/openid-configuration"}
	}
	resource := "/resources/" + d.resourceID
	return []string{
		d.environmentURL + name + resource,
		d.environmentURL + resource + name,
		d.environmentURL + "/.well-known/openid-configuration",
	}
}

// places returns where the next search is to ask for keys: pinned when metadata named it less than an hour ago, or else
// hint, where they were found last, if they ever were. patience is what to wait before more is asked: longer when the
// environment is known to be slow.
func (d *discovery) places() (pinned, hint string, patience time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	patience = max(headStart, d.took+headStart/2)
	if d.jwksURI != "" && d.now().Sub(d.discovered) < rediscoverAge {
		return d.jwksURI, "", patience
	}
	return "", d.last, patience
}

// remember keeps what a metadata document said.
func (d *discovery) remember(jwksURI string) {
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.jwksURI, d.discovered = jwksURI, now
}

// forget gives up a place that failed.
func (d *discovery) forget(uri string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.jwksURI == uri {
		d.jwksURI = ""
	}
	if d.last == uri {
		d.last = ""
	}
}

// cameFrom keeps where keys were found, and how long that took.
func (d *discovery) cameFrom(uri string, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last, d.took = uri, took
}

// fetchMetadata returns the jwks_uri of an authorization server metadata document whose issuer is an accepted one
// (RFC 8414 §3.3).
func (d *discovery) fetchMetadata(ctx context.Context, source string) (string, error) {
	document, err := d.get(ctx, source)
	if err != nil {
		return "", err
	}
	var issuer, uri string
	r := strictjson.NewReader(document, strictjson.Limits{})
	err = r.Object(func(name string) (err error) {
		switch name {
		case "issuer":
			issuer, err = r.Text()
		case "jwks_uri":
			uri, err = r.Text()
		default:
			err = r.Skip()
		}
		return err
	})
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return "", err
	}
	if !slices.Contains(d.issuers, issuer) {
		return "", fmt.Errorf("the document's issuer %s is not accepted", quoteForError(issuer))
	}
	u, err := url.Parse(uri)
	if err != nil || !d.sameOrigin(u) {
		return "", fmt.Errorf("the document's jwks_uri %s is not on the environment's origin", quoteForError(uri))
	}
	return uri, nil
}

func (d *discovery) sameOrigin(u *url.URL) bool {
	return u.User == nil && strings.EqualFold(u.Scheme+"://"+u.Host, d.environmentURL)
}

// fetchKeys returns the usable keys of a JSON Web Key Set (RFC 7517 §5). A key that can't be used is no reason to lose
// the others.
func (d *discovery) fetchKeys(ctx context.Context, uri string) (keysByID, error) {
	document, err := d.get(ctx, uri)
	if err != nil {
		return nil, err
	}
	keys, err := decodeKeySet(document)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errNoUsable
	}
	return keys, nil
}

// get fetches one document. An environment that has it in no media type that is asked for is asked for any (RFC 9110
// §15.5.7).
func (d *discovery) get(ctx context.Context, uri string) (string, error) {
	document, err := d.getAs(ctx, uri, "application/json")
	if errors.Is(err, errNotAcceptable) {
		document, err = d.getAs(ctx, uri, "")
	}
	return document, err
}

func (d *discovery) getAs(ctx context.Context, uri, mediaType string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, documentTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return "", err
	}
	if mediaType != "" {
		req.Header.Set("Accept", mediaType)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		var wrapped *url.Error // repeats the address, which the caller names already
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotAcceptable:
		return "", errNotAcceptable
	default:
		return "", fmt.Errorf("status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocumentBytes+1))
	if err != nil {
		return "", err
	}
	if len(body) > maxDocumentBytes {
		return "", errTooLarge
	}
	return string(body), nil
}
