package keys

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
	errNoUsable      = errors.New("the key set has no usable RSA key")
	errNotAcceptable = errors.New("status 406")
	errTooLarge      = errors.New("the document is longer than 1 MiB")
	errRedirect      = errors.New("redirect to another origin refused")
	errMaybeTLS      = errors.New("status 400 to http; does this address speak https?")
)

// A Source says where a [Set] gets its keys. All fields except InternalURL, ResourceID and Client are required.
type Source struct {
	EnvironmentURL string       // an origin, without a slash at its end
	InternalURL    string       // the origin to ask instead of EnvironmentURL; "" when it is the same
	ResourceID     string       // "" when there is none
	Issuers        []string     // those that a metadata document may name
	Client         *http.Client // nil: a client of this package, with limits

	Now    func() time.Time    // must not panic: it is called on background goroutines
	Logger *slog.Logger        // must not panic, for the same reason
	Quote  func(string) string // quotes untrusted text of a document for an error
}

// A discovery finds and fetches the environment's keys. It remembers where they were for the next search, which may begin
// while an earlier one still runs in the background.
type discovery struct {
	Source
	done func() // closes idle connections, so that none of their goroutines is left over

	mu         sync.Mutex
	jwksURI    string // from a metadata document, "" when none was found
	discovered time.Time
	last       string        // where keys were found last, "" when nowhere
	took       time.Duration // to fetch them
}

// newDiscovery returns a discovery for source. It fetches with source.Client, or with a client of its own when that is nil.
func newDiscovery(source Source) *discovery {
	d := &discovery{Source: source}
	if d.InternalURL == "" {
		d.InternalURL = d.EnvironmentURL
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
	if source.Client != nil {
		*client = *source.Client
		d.done = func() {}
	}
	theirs := client.CheckRedirect
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if !isOn(d.InternalURL, req.URL) {
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
	d.Client = client
	return d
}

// metadataURLs returns the addresses where authorization server metadata may be (RFC 8414 §3.1): with the well-known part
// inserted, appended (as some environments have it), and that of OpenID Connect.
func (d *discovery) metadataURLs() []string {
	const name = "/.well-known/oauth-authorization-server"
	if d.ResourceID == "" {
		return []string{d.InternalURL + name, d.InternalURL + "/.well-known/openid-configuration"}
	}
	resource := "/resources/" + d.ResourceID
	return []string{
		d.InternalURL + name + resource,
		d.InternalURL + resource + name,
		d.InternalURL + "/.well-known/openid-configuration",
	}
}

// places returns where the next search looks for keys. pinned is the address that metadata named within the last hour.
// Without one, hint is where keys were found last, if anywhere. patience is how long to wait before asking elsewhere; it is
// longer when the environment is known to be slow.
func (d *discovery) places() (pinned, hint string, patience time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	patience = max(headStart, d.took+headStart/2)
	if d.jwksURI != "" && d.Now().Sub(d.discovered) < rediscoverAge {
		return d.jwksURI, "", patience
	}
	return "", d.last, patience
}

// remember keeps the jwks_uri of a metadata document.
func (d *discovery) remember(jwksURI string) {
	now := d.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.jwksURI, d.discovered = jwksURI, now
}

// forget drops an address that failed.
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

// cameFrom records where keys were found, and how long the fetch took.
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
	if err := d.acceptIssuer(issuer); err != nil {
		return "", err
	}
	return d.reachable(issuer, uri)
}

func (d *discovery) acceptIssuer(issuer string) error {
	if !slices.Contains(d.Issuers, issuer) {
		return fmt.Errorf("the document's issuer %s is not accepted", d.Quote(issuer))
	}
	return nil
}

// reachable returns the address at which this server reaches the jwks_uri of a document with an accepted issuer. It has to be on
// the environment's origin, or on the issuer's, which is the environment's under another name. Only InternalURL is asked.
func (d *discovery) reachable(issuer, uri string) (string, error) {
	u, err := url.Parse(uri)
	switch {
	case err == nil && isOn(d.InternalURL, u):
		return uri, nil
	case err == nil && (isOn(d.EnvironmentURL, u) || isOn(originOf(issuer), u)):
		u.Scheme, u.Host, _ = strings.Cut(d.InternalURL, "://")
		return u.String(), nil
	}
	return "", fmt.Errorf("the document's jwks_uri %s is not on the environment's origin", d.Quote(uri))
}

func originOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func isOn(origin string, u *url.URL) bool {
	return u.User == nil && strings.EqualFold(u.Scheme+"://"+u.Host, origin)
}

// fetchKeys returns the usable keys of a JSON Web Key Set (RFC 7517 §5). A key that can't be used is left out.
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

// get fetches one document. When the answer is 406, because the environment has none of the media types in Accept, get asks
// again for any media type (RFC 9110 §15.5.7).
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
	resp, err := d.Client.Do(req)
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
	case http.StatusBadRequest:
		if resp.Request.URL.Scheme == "http" { // which servers of TLS answer to plain http
			return "", errMaybeTLS
		}
		return "", fmt.Errorf("status %d", resp.StatusCode)
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
