package mcpauth

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

const (
	sourceTimeout    = 1500 * time.Millisecond // of each document
	maxDocumentBytes = 1 << 20
	maxKeys          = 64
	minRSABits       = 2048
	maxRSABits       = 8192 // the cost of a signature check grows with it
	rediscoverAge    = time.Hour
)

var (
	errBackingOff = errors.New("the environment failed only just now and is not asked again yet")
	errNoUsable   = errors.New("the key set has no usable RSA key")
	errTooLarge   = errors.New("the document is longer than 1 MiB")
	errRedirect   = errors.New("redirect to another origin refused")
)

// A discovery finds and fetches the environment's keys. Its fetch is called by one goroutine at a time.
type discovery struct {
	environmentURL string
	resourceID     string
	issuers        []string
	client         *http.Client
	done           func() // leaves no idle connection behind, and so no goroutine
	logger         *slog.Logger
	now            func() time.Time

	jwksURI    string // from a metadata document, "" when none was found
	discovered time.Time
}

// newDiscovery returns a discovery that uses client, or a client of its own when that is nil.
func newDiscovery(cfg *Config, issuers []string) *discovery {
	d := &discovery{
		environmentURL: cfg.EnvironmentURL, resourceID: cfg.ResourceID, issuers: issuers,
		logger: cfg.Logger, now: cfg.Now,
	}
	own := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: sourceTimeout}).DialContext,
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

// fetch returns the environment's usable keys by kid, trying one source after the other until ctx ends. What a
// metadata document said is remembered for an hour; the fallback ENV/keys is used, and never remembered.
func (d *discovery) fetch(ctx context.Context) (map[string]*rsa.PublicKey, error) {
	defer d.done()
	var failures []error
	tried := make(map[string]bool)
	try := func(uri string) map[string]*rsa.PublicKey {
		tried[uri] = true
		keys, err := d.fetchKeys(ctx, uri)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", uri, err))
			return nil
		}
		return keys
	}

	if d.jwksURI != "" && d.now().Sub(d.discovered) < rediscoverAge {
		if keys := try(d.jwksURI); keys != nil {
			return keys, nil
		}
	}
	d.jwksURI = ""
	for _, source := range d.metadataURLs() {
		uri, err := d.fetchMetadata(ctx, source)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", source, err))
			continue
		}
		if tried[uri] {
			continue
		}
		if keys := try(uri); keys != nil {
			d.jwksURI, d.discovered = uri, d.now()
			return keys, nil
		}
	}
	if fallback := d.environmentURL + "/keys"; !tried[fallback] {
		if keys := try(fallback); keys != nil {
			d.logger.LogAttrs(ctx, slog.LevelWarn, "no usable authorization server metadata; the environment's default key location is used",
				slog.Any("error", errors.Join(failures...)),
				slog.String("cure", "check SCALEKIT_ENVIRONMENT_URL and SCALEKIT_RESOURCE_ID"))
			return keys, nil
		}
	}
	return nil, errors.Join(failures...)
}

// fetchMetadata returns the jwks_uri of an authorization server metadata document whose issuer is an accepted one
// (RFC 8414 §3.3).
func (d *discovery) fetchMetadata(ctx context.Context, source string) (string, error) {
	document, err := d.get(ctx, source)
	if err != nil {
		return "", err
	}
	var issuer, uri string
	r := newStrictReader(document)
	err = r.object(func(name string) (err error) {
		switch name {
		case "issuer":
			issuer, err = r.string()
		case "jwks_uri":
			uri, err = r.string()
		default:
			err = r.skip()
		}
		return err
	})
	if err == nil {
		err = r.end()
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
func (d *discovery) fetchKeys(ctx context.Context, uri string) (map[string]*rsa.PublicKey, error) {
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

func decodeKeySet(document string) (map[string]*rsa.PublicKey, error) {
	keys := make(map[string]*rsa.PublicKey)
	r := newStrictReader(document)
	hasKeys, read := false, 0
	err := r.object(func(name string) error {
		if name != "keys" {
			return r.skip()
		}
		hasKeys = true
		r.lenient = true // about each key by itself: see usableKey
		defer func() { r.lenient = false }()
		return r.array(func() error {
			text, err := r.raw()
			if err != nil {
				return err
			}
			if read++; read <= maxKeys {
				if kid, public := usableKey(text); public != nil && keys[kid] == nil {
					keys[kid] = public
				}
			}
			return nil
		})
	})
	if err == nil {
		err = r.end()
	}
	if err == nil && !hasKeys {
		err = errJSONType
	}
	return keys, err
}

// usableKey returns a key that may sign access tokens with RS256, or nil.
func usableKey(text string) (kid string, public *rsa.PublicKey) {
	// jwx takes "KTY" for kty, and the last of repeated members.
	var kty string
	r := newStrictReader(text)
	if err := r.object(func(name string) (err error) {
		if name == "kty" {
			kty, err = r.string()
			return err
		}
		return r.skip()
	}); err != nil || kty != "RSA" {
		return "", nil
	}
	parsed, err := jwk.ParseKey([]byte(text))
	if err != nil {
		return "", nil
	}
	rsaKey, ok := parsed.(jwk.RSAPublicKey)
	kid = parsed.KeyID()
	alg := parsed.Algorithm().String()
	switch {
	case !ok, kid == "", len(kid) > maxKeyIDBytes,
		parsed.KeyUsage() != "" && parsed.KeyUsage() != string(jwk.ForSignature),
		alg != "" && alg != "RS256",
		len(parsed.KeyOps()) > 0 && !slices.Contains(parsed.KeyOps(), jwk.KeyOpVerify):
		return "", nil
	}
	public = new(rsa.PublicKey)
	if rsaKey.Raw(public) != nil || public.N.BitLen() < minRSABits || public.N.BitLen() > maxRSABits || public.E < 3 || public.E%2 == 0 ||
		new(big.Int).SetBytes(rsaKey.E()).Cmp(big.NewInt(int64(public.E))) != 0 { // jwx keeps the last 64 bits of a longer one
		return "", nil
	}
	return kid, public
}

// get fetches one document.
func (d *discovery) get(ctx context.Context, uri string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := d.client.Do(req)
	if err != nil {
		var wrapped *url.Error // repeats the address, which the caller names already
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
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
