package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv/internal/netaddr"
)

const (
	documentTimeout = 5 * time.Second
	documentMaxAge  = time.Minute
	maxDocuments    = 100 // per documentMaxAge
)

// documents fetches client metadata documents. The document's URL is the client's id. Authorization requests for the same
// client share one fetch, at the same time or within a minute.
type documents struct {
	ownPort    string // where the environment itself listens
	onlyPublic bool   // nothing is fetched from loopback
	client     *http.Client
	dialer     net.Dialer
	logger     *slog.Logger

	mu     sync.Mutex
	recent map[string]*document
}

type document struct {
	get     func() (clientMetadata, error) // fetches at the first call, and keeps the result
	started time.Time
	failed  bool
}

func newDocuments(issuer string, onlyPublic bool, logger *slog.Logger) *documents {
	d := &documents{onlyPublic: onlyPublic, logger: logger, recent: make(map[string]*document)}
	if u, err := url.Parse(issuer); err == nil {
		d.ownPort = u.Port()
	}
	d.client = &http.Client{
		Timeout: documentTimeout,
		// A document is valid for its own URL only, so redirects are not followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		// There is no Proxy: only the dialer knows which address a name leads to.
		Transport: &http.Transport{
			DialContext:            d.dial,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxMetadataBytes,
		},
	}
	return d
}

// dial connects loopback names only to loopback, and all other names only to the internet. The DNS of a name's owner decides
// where the name leads, and that may be the router, or the metadata service of a cloud.
func (d *documents) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	allowed := netaddr.IsPublic
	if netaddr.IsLoopback(host) && !d.onlyPublic {
		allowed = netip.Addr.IsLoopback
	}
	dialer := d.dialer
	dialer.Control = func(_, address string, _ syscall.RawConn) error {
		if to, err := netip.ParseAddrPort(address); err != nil || !allowed(to.Addr().Unmap()) {
			return fmt.Errorf("%s leads to %s, which is not a public address; client metadata is fetched only from public addresses, or by a loopback name", host, address)
		}
		return nil
	}
	return dialer.DialContext(ctx, network, addr)
}

func (d *documents) fetch(ctx context.Context, id string) (clientMetadata, error) {
	if err := checkDocumentURL(id, d.ownPort); err != nil {
		return clientMetadata{}, err
	}
	if u, err := url.Parse(id); d.onlyPublic && (err != nil || netaddr.IsLoopback(u.Hostname())) {
		return clientMetadata{}, errors.New("the client id is on loopback, where an environment that is open to a network (DangerouslyAllowNetwork) fetches nothing; let the client register instead")
	}
	document, err := d.document(ctx, id)
	if err != nil {
		return clientMetadata{}, err
	}
	metadata, err := document.get()
	if err != nil {
		d.mu.Lock()
		document.failed = true
		d.mu.Unlock()
	}
	return metadata, err
}

// document returns a recent document, or else one that fetches when it is first used. A failed fetch counts against the
// limit but is not kept, so that a corrected document works at once.
func (d *documents) document(ctx context.Context, id string) (*document, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(d.recent, func(_ string, old *document) bool { return now.Sub(old.started) >= documentMaxAge })
	recent, ok := d.recent[id]
	if ok && !recent.failed {
		return recent, nil
	}
	if !ok && len(d.recent) >= maxDocuments {
		return nil, fmt.Errorf("%d documents were fetched within a minute, which is the limit; try again in a minute", maxDocuments)
	}
	ctx = context.WithoutCancel(ctx) // other requests wait for it, too
	recent = &document{
		get:     sync.OnceValues(func() (clientMetadata, error) { return d.load(ctx, id) }),
		started: now,
	}
	d.recent[id] = recent
	return recent, nil
}

func (d *documents) load(ctx context.Context, id string) (clientMetadata, error) {
	var metadata clientMetadata
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
		return metadata, fmt.Errorf("%s answers %s instead of 200", id, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxMetadataBytes+1))
	if err != nil {
		return metadata, err
	}
	if len(body) > maxMetadataBytes {
		return metadata, fmt.Errorf("%s is larger than %d bytes", id, maxMetadataBytes)
	}
	d.logger.DebugContext(ctx, "fetched a client metadata document", "client_id", id)
	if metadata, err = readMetadata(body); err != nil {
		return metadata, fmt.Errorf("%s: %w", id, err)
	}
	if metadata.ClientID != id {
		return metadata, fmt.Errorf("client_id in the document is %q; it has to be the document's URL, %q", metadata.ClientID, id)
	}
	if metadata.AuthMethod != "" && metadata.AuthMethod != "none" {
		return metadata, fmt.Errorf("token_endpoint_auth_method %q is not supported; use none", metadata.AuthMethod)
	}
	return metadata, metadata.validate()
}

// isDocumentURL reports whether a client id is meant to be the URL of a metadata document. Ids of registered clients never
// contain "://".
func isDocumentURL(id string) bool { return strings.Contains(id, "://") }

// checkDocumentURL accepts https, and http on loopback for development. The path must have no dot segments, and nothing may
// be there that two parsers could read differently. The environment never fetches from itself.
func checkDocumentURL(id, ownPort string) error {
	u, err := url.Parse(id)
	switch {
	case len(id) > maxURLBytes:
		return errors.New("the client id is too long")
	case err != nil || !isPlain(id) || u.String() != id:
		return errors.New("the client id is not a URL in its normal form")
	case u.Scheme != "https" && (u.Scheme != "http" || !netaddr.IsLoopback(u.Hostname())):
		return errors.New("the client id has to be an https URL, or an http URL on loopback")
	case u.Hostname() == "" || u.User != nil || strings.Contains(id, "#"):
		return errors.New("the client id needs a host, and no user or fragment")
	case !hasValidPort(u):
		return errors.New("the client id has a port that does not exist")
	case netaddr.IsLoopback(u.Hostname()) && u.Port() == ownPort:
		return errors.New("the client id is a URL of the environment itself")
	case u.Path == "" || u.Path == "/":
		return errors.New("the client id needs a path")
	case slices.ContainsFunc(strings.Split(u.Path, "/"), func(s string) bool { return s == "." || s == ".." }):
		return errors.New("the path of the client id has dot segments")
	}
	return nil
}
