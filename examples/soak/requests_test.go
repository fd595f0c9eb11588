package soak

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

func (s *soak) work(ctx context.Context, i int, from <-chan *token) {
	for {
		select {
		case <-ctx.Done():
			return
		case tk := <-from:
			s.send(i, tk, false)
		}
	}
}

// reuse sends tokens of the pool whose keys the server knows. Some of the requests are streams.
func (s *soak) reuse(ctx context.Context, i int) {
	for ticker := time.Tick(reusePause); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker:
		}
		s.mu.Lock()
		var tk *token
		if len(s.pool) > 0 {
			tk = s.pool[rand.IntN(len(s.pool))]
		}
		s.mu.Unlock()
		if tk != nil && !tk.key.retired.Load() && tk.key.accepted[i].Load() {
			s.send(i, tk, rand.IntN(10) == 0)
		}
	}
}

// send sends one request, and compares the response with the token's verdict.
func (s *soak) send(i int, tk *token, stream bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	known := tk.key != nil && tk.key.accepted[i].Load()
	body := fmt.Sprint("request-", s.requests.Add(1), strings.Repeat("-", rand.IntN(4096)))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.targets[i].url, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+tk.text)
	lines, hangUp := 1, false
	if stream {
		req.Header.Set("X-Stream", "1")
		if lines, hangUp = streamLines, rand.IntN(2) == 0; hangUp {
			lines = 1 + rand.IntN(3)
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.mistake(&s.broken, i, tk, "no answer: %v", err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if !tk.counted.Swap(true) {
		s.distinct.Add(1)
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		s.allowed.Add(1)
		r := bufio.NewReaderSize(resp.Body, 8<<10)
		for range lines {
			line, err := r.ReadString('\n')
			switch {
			case err != nil && tk.verdict == dying && stream: // a stream ends with its token
			case err != nil:
				s.mistake(&s.broken, i, tk, "the answer breaks off: %v", err)
			case line != tk.subject+" "+body+"\n":
				s.mistake(&s.wrong, i, tk, "the answer of another request: %.60q", line)
			default:
				continue
			}
			return
		}
		if tk.verdict > dying {
			s.mistake(&s.admitted, i, tk, "a bad token is accepted")
			return
		}
		tk.key.accepted[i].Store(true)
		switch {
		case hangUp:
			s.hungUp.Add(1)
			return // and leaves the stream unread
		case stream:
			s.streamed.Add(1)
		}
	case resp.StatusCode == http.StatusUnauthorized:
		s.refused.Add(1)
		switch {
		case tk.verdict != good || tk.key.withdrawn.Load():
		case known:
			s.mistake(&s.denied, i, tk, "a good token is refused")
		default:
			s.early.Add(1) // refused by a fetch that began before its key was published
		}
	case resp.StatusCode == http.StatusServiceUnavailable && (!known || tk.key.withdrawn.Load()):
		s.unavailable.Add(1)
	default:
		s.mistake(&s.failed, i, tk, "status %d", resp.StatusCode)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
}

func (s *soak) mistake(count *atomic.Int64, i int, tk *token, format string, args ...any) {
	if count.Add(1) <= 5 {
		s.t.Errorf("%s: %s, %s, verdict %d: %s", s.elapsed(), s.targets[i].name, tk.subject, tk.verdict, fmt.Sprintf(format, args...))
	}
}
