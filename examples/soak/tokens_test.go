package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// A key is a signing key and its state. The arrays are by target.
type key struct {
	*mcpauthtest.Key
	retired, withdrawn atomic.Bool
	accepted           [2]atomic.Bool
}

// A verdict is what a server has to decide about a token.
type verdict int

const (
	good  verdict = iota
	dying         // good at first, expires soon
	expired
	forged   // signed by another key, under a published kid
	stranger // a kid that was never published
)

type token struct {
	text, subject string
	key           *key // nil for a stranger
	verdict       verdict
	counted       atomic.Bool
}

// mint makes tokens at an even pace, and gives each to both servers.
func (s *soak) mint(ctx context.Context) {
	var lastStranger time.Time
	for ticker := time.Tick(20 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker:
		}
		due := int(float64(s.total) * min(1, float64(time.Since(s.begin))/float64(s.duration-time.Second)))
		due = min(due, int(s.minted.Load())+20) // catch up slowly after an outage
		for int(s.minted.Load()) < due {
			v := good
			switch n := rand.IntN(100); {
			case n < 5:
				v = dying
			case n < 12:
				v = expired
			case n < 20:
				v = forged
			case time.Since(lastStranger) > 100*time.Second && time.Since(s.begin) > 25*time.Second:
				// Strangers are rare, because after each one new keys have to wait for some seconds.
				v, lastStranger = stranger, time.Now()
			}
			s.offer(s.sign(v))
		}
	}
}

func (s *soak) sign(v verdict) *token {
	tk := &token{verdict: v, subject: fmt.Sprint("usr_", s.minted.Add(1))}
	s.mu.Lock()
	tk.key = s.keys[len(s.keys)-1]
	if old := s.keys[rand.IntN(len(s.keys))]; rand.IntN(3) == 0 && !old.retired.Load() {
		tk.key = old
	}
	s.mu.Unlock()
	mint := mcpauthtest.Token{Key: tk.key.Key, Claims: map[string]any{"sub": tk.subject, "exp": time.Now().Add(10 * time.Minute).Unix()}}
	switch v {
	case dying:
		mint.Claims["exp"] = time.Now().Add(3 * time.Second).Unix()
	case expired:
		mint.Claims["exp"] = time.Now().Add(-time.Minute).Unix()
	case forged:
		mint.Key, mint.Header = s.forger, map[string]any{"kid": tk.key.ID()}
	case stranger:
		mint.Key, tk.key = s.forger, nil
	}
	tk.text = s.env.Mint(mint)
	return tk
}

func (s *soak) offer(tk *token) {
	for i, g := range s.targets {
		to := g.fresh
		if tk.key != nil && tk.key.accepted[i].Load() {
			to = g.known
		}
		select {
		case to <- tk:
		default:
			s.dropped.Add(1) // the channel is full
		}
	}
	if tk.verdict == stranger {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pool) < poolSize {
		s.pool = append(s.pool, tk)
		return
	}
	s.pool[s.next] = tk
	s.next = (s.next + 1) % poolSize
}

// rotate makes new keys sign, and withdraws old ones.
func (s *soak) rotate(ctx context.Context) {
	for {
		if !pause(ctx, rotateEvery-retireAhead) {
			return
		}
		s.mu.Lock()
		if len(s.keys) > 2 {
			s.keys[0].retired.Store(true)
		}
		s.mu.Unlock()
		if !pause(ctx, retireAhead) {
			return
		}
		fresh := &key{Key: s.env.Keys().Rotate()}
		s.mu.Lock()
		s.keys = append(s.keys, fresh)
		if old := s.keys[0]; old.retired.Load() {
			s.keys = s.keys[1:]
			old.withdrawn.Store(true) // set early, so that no refusal counts as a mistake
			s.env.Keys().Withdraw(old.Key)
		}
		s.mu.Unlock()
	}
}
