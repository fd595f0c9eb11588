package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	documentTimeout = 4 * time.Second        // for each document
	headStart       = time.Second            // for a source, before others are asked in parallel with it
	holdTime        = 600 * time.Millisecond // how long keys from an earlier address wait for metadata to confirm it
)

// A search is one search for the environment's keys. It runs on one goroutine, that of [discovery.fetch], and fetches each
// document on one more.
//
// Usually it asks for one document: the key set at the address that metadata named less than an hour ago. Otherwise it asks
// the sources of metadata one after the other, and together with the first of them the address where keys were found last.
// When a source fails, the next one is asked at once. When a source takes longer than headStart, the next one and ENV/keys
// are asked in parallel with it. The first usable key set is delivered, and all other requests for keys are canceled.
// Requests for metadata go on, within the time of the search, so that the next search can go straight to the right address.
type search struct {
	*discovery
	ctx        context.Context // of requests for metadata
	keysCtx    context.Context // of requests for key sets; ends when one is delivered
	cancelKeys context.CancelFunc
	found      func(keysByID)

	answers  chan answer // has room for all, so that no sender blocks
	pending  int         // documents that were asked for and have no answer yet
	keySets  map[string]searchState
	sources  []string // of metadata, not asked yet
	slow     *time.Timer
	failures []error

	pinned    string // where metadata said that the keys are, "" when that is too long ago
	hint      string // where keys were found before, "" when pinned is set
	held      *answer
	named     string // the jwks_uri of a metadata document
	delivered string // where the keys came from, "" until there are some
}

type searchState int

const (
	notAsked searchState = iota
	inFlight
	failed
)

// An answer is the result of one request for a document.
type answer struct {
	address  string
	keys     keysByID // of a key set
	metadata bool
	jwksURI  string // of metadata
	err      error
	took     time.Duration
}

var errGoexit = errors.New("the HTTP client ended its goroutine (runtime.Goexit)")

var errKeySetFailed = errors.New("the document's jwks_uri failed already")

// fetch finds the environment's usable keys and calls found with them, at most once. It returns when all its requests have
// ended or ctx has, which may be a while after that call. It returns an error when it found no keys. What a metadata
// document said is remembered for an hour.
func (d *discovery) fetch(ctx context.Context, found func(keysByID)) error {
	sources := d.metadataURLs()
	s := &search{
		discovery: d, found: found, sources: sources, keySets: make(map[string]searchState),
		answers: make(chan answer, 2+2*len(sources)), // the hint, ENV/keys, and for each source itself and the address it names
	}
	within, cancel := context.WithCancel(ctx)
	s.ctx = within
	s.keysCtx, s.cancelKeys = context.WithCancel(within)
	defer func() {
		cancel()
		s.drain(ctx)
		d.done()
	}()
	return s.run()
}

func (s *search) run() error {
	var patience time.Duration
	s.pinned, s.hint, patience = s.places()
	s.slow = time.NewTimer(patience)
	defer s.slow.Stop()
	hold := time.NewTimer(holdTime)
	defer hold.Stop()

	if s.pinned != "" {
		s.askKeys(s.pinned)
	} else {
		if s.hint != "" {
			s.askKeys(s.hint)
		}
		s.askMetadata()
	}
	confirmable := true // until holdTime has passed
	for s.goesOn() {
		select {
		case a := <-s.answers:
			s.pending--
			s.take(&a, confirmable)
		case <-s.slow.C:
			s.askFallback()
			s.askMetadata()
			s.slow.Reset(headStart)
		case <-hold.C:
			confirmable = false
			s.deliver(s.held)
		case <-s.ctx.Done():
			return s.conclude(context.Cause(s.ctx))
		}
	}
	return s.conclude(nil)
}

// goesOn reports whether there is something left to wait for. When no request is under way, it sends the next one, if any is
// left.
func (s *search) goesOn() bool {
	if s.delivered != "" && (s.named != "" || s.delivered == s.pinned) {
		return false
	}
	if s.pending > 0 || s.askMetadata() || s.askFallback() {
		return true
	}
	s.deliver(s.held)
	return false
}

// take handles the answer to one request. While confirmable is true, keys from the hint are held until metadata confirms it.
func (s *search) take(a *answer, confirmable bool) {
	switch {
	case a.err == nil && a.metadata:
		s.takeMetadata(a)
	case a.err == nil && confirmable && a.address == s.hint && a.address != s.named:
		s.held = a
	case a.err == nil:
		s.deliver(a)
	case a.metadata:
		s.fail(a.address, a.err)
	case s.delivered == "": // after a delivery the error only says that the request was canceled
		s.keySets[a.address] = failed
		if a.address == s.named {
			s.named = ""
		}
		s.forget(a.address)
		s.fail(a.address, a.err)
	}
}

func (s *search) takeMetadata(a *answer) {
	switch {
	case s.named != "": // another source answered first
	case s.keySets[a.jwksURI] == failed:
		s.fail(a.address, errKeySetFailed)
	case s.delivered != "":
		s.named = a.jwksURI
		s.remember(s.named)
	case s.held != nil && s.held.address == a.jwksURI:
		s.named = a.jwksURI
		s.deliver(s.held)
	default:
		s.named = a.jwksURI
		s.askKeys(s.named)
		s.slow.Reset(headStart)
	}
}

// fail records a failure, and asks the next source of metadata.
func (s *search) fail(address string, err error) {
	s.failures = append(s.failures, fmt.Errorf("%s: %w", address, err))
	s.askMetadata()
}

// deliver hands over the keys in a, unless a is nil or keys were delivered already.
func (s *search) deliver(a *answer) {
	if a == nil || s.delivered != "" {
		return
	}
	s.delivered = a.address
	s.cancelKeys()
	s.cameFrom(a.address, a.took)
	if s.named != "" {
		s.remember(s.named)
	}
	s.found(a.keys)
}

// conclude returns the error of the search, and logs a warning when metadata is missing.
func (s *search) conclude(cause error) error {
	if s.delivered == "" {
		if cause != nil {
			s.failures = append(s.failures, cause)
		}
		return errors.Join(s.failures...)
	}
	if s.named == "" && s.delivered != s.pinned && cause == nil {
		s.Logger.LogAttrs(context.WithoutCancel(s.ctx), slog.LevelWarn, "no usable authorization server metadata; the keys come from a default or earlier place",
			slog.String("keys_from", s.delivered),
			slog.Any("error", errors.Join(s.failures...)),
			slog.String("cure", "check SCALEKIT_ENVIRONMENT_URL and SCALEKIT_RESOURCE_ID"))
	}
	return nil
}

// askMetadata asks the next source of metadata, unless one has named an address already, and reports whether it asked.
func (s *search) askMetadata() bool {
	if s.named != "" || len(s.sources) == 0 {
		return false
	}
	source := s.sources[0]
	s.sources = s.sources[1:]
	s.ask(answer{address: source, metadata: true}, func(a *answer) {
		a.jwksURI, a.err = s.fetchMetadata(s.ctx, source)
	})
	return true
}

// askFallback asks ENV/keys, unless it was asked or keys were delivered already, and reports whether it asked.
func (s *search) askFallback() bool { return s.askKeys(s.InternalURL + "/keys") }

// askKeys asks for a key set, unless it was asked for or keys were delivered already, and reports whether it asked.
func (s *search) askKeys(uri string) bool {
	if s.delivered != "" || s.keySets[uri] != notAsked {
		return false
	}
	s.keySets[uri] = inFlight
	s.ask(answer{address: uri}, func(a *answer) {
		a.keys, a.err = s.fetchKeys(s.keysCtx, uri)
	})
	return true
}

// ask fetches one document on a goroutine of its own. A panic or a runtime.Goexit in the user's http.Client becomes an
// error: in a handler net/http would recover the panic, on this goroutine it would end the program.
func (s *search) ask(a answer, fetch func(*answer)) {
	s.pending++
	go func() {
		returned, started := false, time.Now()
		defer func() {
			if v := recover(); v != nil {
				a.err = fmt.Errorf("panic: %v", v)
			} else if !returned {
				a.err = errGoexit
			}
			a.took = time.Since(started)
			s.answers <- a
		}()
		fetch(&a)
		returned = true
	}()
}

// drain waits for canceled requests to end, or for ctx: a user's transport may ignore the cancellation.
func (s *search) drain(ctx context.Context) {
	for ; s.pending > 0; s.pending-- {
		select {
		case <-s.answers:
		case <-ctx.Done():
			return
		}
	}
}
