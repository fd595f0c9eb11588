package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

// A Document is the environment's authorization server metadata, kept as a [Set] keeps keys: one fetch that all requests
// share, a refresh in the background, and what was fetched before when a refresh fails. It is safe for concurrent use, and
// no goroutine runs permanently.
type Document struct {
	fetch  func(ctx context.Context) (text string, err error)
	now    func() time.Time
	logger *slog.Logger

	current atomic.Pointer[edition] // nil until the first success

	mu          sync.Mutex
	flight      *flight       // the fetch that is running, or nil
	backoff     time.Duration // 0 after a success
	nextAttempt time.Time     // no fetch starts before it, while backoff > 0
}

// An edition is the text that one fetch brought.
type edition struct {
	text      string
	fetchedAt time.Time
}

// NewDocument returns the document of the resource, or that of the environment when source has no resource id. It does no
// I/O: the document is fetched when it is first needed.
func NewDocument(source Source) *Document {
	return &Document{fetch: newDiscovery(source).fetchDocument, now: source.Now, logger: source.Logger}
}

// Get returns the document, byte for byte as the environment serves it. It waits at most 5 s. The error is an
// *[Unavailable].
func (doc *Document) Get(ctx context.Context) (text string, err error) {
	now := doc.now()
	held := doc.current.Load()
	age := held.age(now)
	if age < refreshAge {
		return held.text, nil
	}
	fetch, err := doc.refresh(now, age)
	if fetch != nil && age >= maxAge {
		ctx, cancel := context.WithTimeout(ctx, waitTimeout)
		defer cancel()
		err = fetch.wait(ctx)
		held = doc.current.Load()
	}
	if held.age(now) < staleAge {
		return held.text, nil
	}
	return "", err
}

// age returns how old e is. Without an edition it is too old for any use, and when the clock was set back by much, it counts
// as old enough to be fetched again.
func (e *edition) age(now time.Time) time.Duration {
	if e == nil {
		return staleAge
	}
	if age := now.Sub(e.fetchedAt); age > -refreshAge {
		return age
	}
	return maxAge
}

// refresh starts a fetch, or joins the one in flight. The error says that none may start yet, after one that failed. While an
// edition that may be used is being refreshed, and the environment is known to be down, no request waits.
func (doc *Document) refresh(now time.Time, age time.Duration) (*flight, error) {
	doc.mu.Lock()
	defer doc.mu.Unlock()
	if doc.backoff > 0 && now.Before(doc.nextAttempt) && doc.nextAttempt.Sub(now) <= maxBackoff {
		return nil, &Unavailable{doc.nextAttempt.Sub(now), errBackingOff}
	}
	failing := doc.backoff > 0
	if doc.flight == nil {
		doc.flight = &flight{done: make(chan struct{})}
		go doc.run(doc.flight)
	}
	if failing && age < staleAge {
		return nil, nil
	}
	return doc.flight, nil
}

// run fetches the document, and wakes all requests that wait. Its time is its own, as that of [Set] is.
func (doc *Document) run(fetch *flight) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	text, err := doc.attempt(ctx)
	now := doc.now()

	doc.mu.Lock()
	if err == nil {
		doc.backoff = 0
		doc.current.Store(&edition{text, now})
	} else {
		doc.backoff = min(max(firstBackoff, 2*doc.backoff), maxBackoff)
		doc.nextAttempt = now.Add(doc.backoff)
		fetch.err = &Unavailable{doc.backoff, err}
	}
	backoff := doc.backoff
	doc.flight = nil
	close(fetch.done)
	doc.mu.Unlock()
	if err != nil {
		doc.logFailure(err, now, backoff)
	}
}

// attempt turns a panic into an error, and a runtime.Goexit: both may come from the user's http.Client.
func (doc *Document) attempt(ctx context.Context) (text string, err error) {
	type result struct {
		text string
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		r := result{err: errGoexit}
		defer func() {
			if v := recover(); v != nil {
				r.err = fmt.Errorf("panic: %v", v)
			}
			ended <- r
		}()
		r.text, r.err = doc.fetch(ctx)
	}()
	select {
	case r := <-ended:
		return r.text, r.err
	case <-ctx.Done(): // the user's transport may ignore it
		return "", context.Cause(ctx)
	}
}

func (doc *Document) logFailure(err error, now time.Time, backoff time.Duration) {
	attrs := []slog.Attr{slog.Any("error", err), slog.Duration("retry_in", backoff)}
	message := "authorization server metadata can't be fetched; clients that ask for it get 503"
	if age := doc.current.Load().age(now); age < staleAge {
		message = "authorization server metadata can't be fetched; the document from before stays in use"
		attrs = append(attrs, slog.Duration("document_age", age), slog.Duration("document_usable_for", staleAge-age))
	}
	doc.logger.LogAttrs(context.Background(), slog.LevelWarn, message, append(attrs, slog.String("cure", cureOf(err)))...)
}

// fetchDocument returns the first document among the sources of metadata that names an accepted issuer. With a resource id
// that of OpenID Connect is not among them: it is about the environment, where MCP clients can't register.
func (d *discovery) fetchDocument(ctx context.Context) (string, error) {
	defer d.done()
	sources := d.metadataURLs()
	if d.ResourceID != "" {
		sources = sources[:len(sources)-1]
	}
	var failures []error
	for _, source := range sources {
		text, err := d.get(ctx, source)
		if err == nil {
			err = d.checkIssuer(text)
		}
		if err == nil {
			return text, nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", source, err))
	}
	return "", errors.Join(failures...)
}

// checkIssuer reads a whole document strictly, and returns why it is not the environment's (RFC 8414 §3.3).
func (d *discovery) checkIssuer(text string) error {
	var issuer string
	r := strictjson.NewReader(text, strictjson.Limits{})
	err := r.Object(func(name string) (err error) {
		if name != "issuer" {
			return r.Skip()
		}
		issuer, err = r.Text()
		return err
	})
	if err == nil {
		err = r.End()
	}
	if err == nil {
		err = d.acceptIssuer(issuer)
	}
	return err
}
