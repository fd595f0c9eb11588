package mcpauthrevocationredis_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

const (
	soakStaleness = 3 * time.Second
	soakRotation  = 5 * time.Second // a key is withdrawn two rotations after it was replaced
	soakSession   = 8 * time.Second // how long a session's token is used, which is less than its key lasts
	soakPromise   = time.Second     // from the first answer of the store after the acknowledgement
)

// TestR103Soak has three servers on one Redis, which is killed, frozen, emptied and cut off every few seconds while sessions are revoked and
// keys rotate. What it looks for: a request or a stream of a revoked session that goes on for longer than a second after the
// server's store has answered again, anything that is let in after MaxStaleness, and refusals without a reason. It takes as long as
// MCPAUTH_REDIS_SOAK says.
func TestR103Soak(t *testing.T) {
	t.Parallel()
	value := os.Getenv("MCPAUTH_REDIS_SOAK")
	if value == "" {
		t.Skip("to run it, call make redis, or set MCPAUTH_REDIS_SOAK to a duration such as 5m")
	}
	duration, err := time.ParseDuration(value)
	if err != nil || duration < 10*time.Second {
		t.Fatalf("MCPAUTH_REDIS_SOAK=%s is not a duration of 10s or more; set one such as 5m", value)
	}
	s := newSoak(t)
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { s.ask(ctx) })
	}
	wg.Go(func() { s.openStreams(ctx) })
	wg.Go(func() { s.revoke(ctx) })
	wg.Go(func() { s.rotate(ctx) })
	wg.Go(func() { s.disturb(ctx) })
	wg.Wait()
	s.judge(duration)
}

// A soakSessionState is a session and its token. acknowledged is when it was revoked.
type soakSessionState struct {
	id, token string
	made      time.Time

	mu           sync.Mutex
	touched      bool // a call of Revoke has begun
	acknowledged time.Time
}

func (s *soakSessionState) state() (touched bool, acknowledged time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.touched, s.acknowledged
}

type soak struct {
	t        *testing.T
	server   *server
	proxy    *proxy // of the last replica
	env      *mcpauthtest.Environment
	replicas []*soakReplica
	client   *http.Client

	mu       sync.Mutex
	sessions []*soakSessionState
	next     int
	losses   []time.Time // when Redis lost its files

	requests, admitted, refused, unavailable, revoked, streams, outages atomic.Int64
	duringOutage                                                        atomic.Int64 // admitted, later than a second after the acknowledgement
	mistakes                                                            atomic.Int64
}

func newSoak(t *testing.T) *soak {
	s := &soak{t: t, server: start(t, durable...), env: mcpauthtest.NewEnvironment(), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	t.Cleanup(s.env.Close)
	s.proxy = newProxy(t, s.server.addr())
	for _, addr := range []string{s.server.addr(), s.server.addr(), s.proxy.addr()} {
		s.replicas = append(s.replicas, s.newReplica(addr))
	}
	for range 60 {
		s.add()
	}
	return s
}

func (s *soak) mistake(format string, args ...any) {
	if s.mistakes.Add(1) <= 10 {
		s.t.Errorf(format, args...)
	}
}

// add makes a session.
func (s *soak) add() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	id := fmt.Sprintf("ses_%d", s.next)
	s.sessions = append(s.sessions, &soakSessionState{
		id: id, made: time.Now(),
		token: s.env.Token(map[string]any{"sub": fmt.Sprintf("usr_%d", s.next), "sid": id}),
	})
}

// pick returns a session whose token is not too old, and replaces those that are.
func (s *soak) pick() *soakSessionState {
	for {
		s.mu.Lock()
		i := rand.IntN(len(s.sessions))
		session := s.sessions[i]
		old := time.Since(session.made) > soakSession
		if old {
			s.sessions = append(s.sessions[:i], s.sessions[i+1:]...)
		}
		s.mu.Unlock()
		if !old {
			return session
		}
		s.add()
	}
}

func (s *soak) replica() *soakReplica { return s.replicas[rand.IntN(len(s.replicas))] }

func (s *soak) send(ctx context.Context, r *soakReplica, method string, session *soakSessionState) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+session.token)
	return s.client.Do(req)
}

// ask sends requests of sessions, revoked and not, to replicas.
func (s *soak) ask(ctx context.Context) {
	for ctx.Err() == nil {
		session, r := s.pick(), s.replica()
		_, before := session.state()
		sent := time.Now()
		resp, err := s.send(context.WithoutCancel(ctx), r, http.MethodPost, session)
		if err != nil {
			s.mistake("a request: %v", err)
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		s.requests.Add(1)
		s.check(r, session, resp.StatusCode, sent, before)
		time.Sleep(time.Millisecond)
	}
}

// check judges an answer. acknowledged is when the session was revoked, as far as that was known when the request was sent.
func (s *soak) check(r *soakReplica, session *soakSessionState, status int, sent, acknowledged time.Time) {
	switch status {
	case http.StatusOK:
		s.admitted.Add(1)
		received := time.Now() // an answer of the store may have come since the request was sent
		if age := r.lastAnswer(received) - received.Sub(sent); age > soakStaleness+500*time.Millisecond {
			s.mistake("%s is let in %v after the store's last answer", session.id, age)
		}
		if acknowledged.IsZero() || sent.Before(acknowledged.Add(soakPromise)) {
			return
		}
		if at, ok := r.firstAnswer(acknowledged); ok && sent.After(at.Add(soakPromise)) && !s.lostAround(acknowledged) {
			s.mistake("%s is let in %v after it was revoked, and %v after the store answered", session.id, sent.Sub(acknowledged), sent.Sub(at))
			return
		}
		s.duringOutage.Add(1)
	case http.StatusUnauthorized:
		s.refused.Add(1)
		if touched, _ := session.state(); !touched {
			s.mistake("%s is refused and was not revoked", session.id)
		}
	case http.StatusServiceUnavailable:
		s.unavailable.Add(1)
		if age := r.lastAnswer(sent); age < soakPromise {
			s.mistake("503 %v after the store's last answer", age)
		}
	default:
		s.mistake("status %d", status)
	}
}

// lostAround reports whether Redis lost its files so soon after a time that some replica had not read what it had then. That is
// what SECURITY.md does not promise.
func (s *soak) lostAround(at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, loss := range s.losses {
		if since := loss.Sub(at); since > -3*time.Second && since < 3*time.Second {
			return true
		}
	}
	return false
}

// openStreams keeps streams open, and looks at when those of revoked sessions end.
func (s *soak) openStreams(ctx context.Context) {
	var open sync.WaitGroup
	defer open.Wait()
	for ctx.Err() == nil {
		session, r := s.pick(), s.replica()
		open.Go(func() { s.stream(ctx, r, session) })
		time.Sleep(40 * time.Millisecond)
	}
}

func (s *soak) stream(ctx context.Context, r *soakReplica, session *soakSessionState) {
	ctx, cancel := context.WithTimeout(ctx, soakSession)
	defer cancel()
	resp, err := s.send(ctx, r, http.MethodGet, session)
	if err != nil {
		return // the end of the test
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return
	}
	s.streams.Add(1)
	_, _ = io.Copy(io.Discard, resp.Body)
	ended := time.Now()
	touched, acknowledged := session.state()
	if ctx.Err() == nil && !touched && !r.wasSilent(ended) {
		s.mistake("the stream of %s ended, and it was not revoked", session.id)
	}
	if acknowledged.IsZero() || s.lostAround(acknowledged) {
		return
	}
	if at, ok := r.firstAnswer(acknowledged); ok && ended.After(at.Add(soakPromise)) {
		s.mistake("the stream of %s went on for %v after the store answered", session.id, ended.Sub(at))
	}
}

// revoke ends sessions, each at one of the replicas, and again until it is acknowledged.
func (s *soak) revoke(ctx context.Context) {
	for ctx.Err() == nil {
		session := s.pick()
		session.mu.Lock()
		session.touched = true
		session.mu.Unlock()
		list := s.replica().list
		for ctx.Err() == nil {
			try, cancel := context.WithTimeout(ctx, 2*time.Second)
			err := list.Revoke(try, mcpauthrevocation.Session(session.id))
			cancel()
			if err == nil {
				session.mu.Lock()
				if session.acknowledged.IsZero() {
					session.acknowledged = time.Now()
				}
				session.mu.Unlock()
				s.revoked.Add(1)
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(60 * time.Millisecond)
	}
}

func (s *soak) rotate(ctx context.Context) {
	old := []*mcpauthtest.Key{s.env.Keys().Current()}
	for wait(ctx, soakRotation) {
		old = append(old, s.env.Keys().Rotate())
		if len(old) > 3 {
			s.env.Keys().Withdraw(old[0])
			old = old[1:]
		}
	}
}

// disturb kills the server and starts it again, freezes it, has it lose its files, and cuts one replica off, one after the other.
func (s *soak) disturb(ctx context.Context) {
	for i := 0; wait(ctx, 3*time.Second); i++ {
		s.outages.Add(1)
		away := time.Duration(rand.IntN(5000)) * time.Millisecond // shorter and longer than MaxStaleness
		switch i % 4 {
		case 0:
			s.server.kill()
			time.Sleep(away)
			s.server.run()
		case 1:
			if err := s.server.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				s.mistake("%v", err)
			}
			time.Sleep(away)
			if err := s.server.cmd.Process.Signal(syscall.SIGCONT); err != nil {
				s.mistake("%v", err)
			}
		case 2:
			s.mu.Lock()
			s.losses = append(s.losses, time.Now())
			s.mu.Unlock()
			s.server.kill()
			s.server.lose()
			s.server.run()
		case 3:
			s.proxy.set(true)
			time.Sleep(away)
			s.proxy.set(false)
		}
	}
}

// wait reports whether ctx has not ended after a time.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (s *soak) judge(duration time.Duration) {
	s.t.Logf("%v: %d outages; %d sessions revoked; %d requests: %d let in, %d refused, %d got 503; %d streams; "+
		"%d let in later than 1 s after the acknowledgement, by replicas whose store was away; mistakes: %d",
		duration, s.outages.Load(), s.revoked.Load(), s.requests.Load(), s.admitted.Load(), s.refused.Load(), s.unavailable.Load(),
		s.streams.Load(), s.duringOutage.Load(), s.mistakes.Load())
	for name, count := range map[string]int64{
		"outages": s.outages.Load(), "revoked sessions": s.revoked.Load(), "refused requests": s.refused.Load(),
		"streams": s.streams.Load(), "requests with 503": s.unavailable.Load(), "requests that were let in": s.admitted.Load(),
	} {
		if count == 0 {
			s.t.Errorf("no %s: the test has tried nothing", name)
		}
	}
}
