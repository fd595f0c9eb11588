package mcpauthrevocationredis_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sort"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
	mcpauthrevocationredis "github.com/scalekit-mcp/mcpauth/revocation/redis"
)

// A soakReplica is a server with a list of its own, and when its store has answered.
type soakReplica struct {
	list *mcpauthrevocation.List
	url  string

	mu      sync.Mutex
	answers []time.Time
}

// firstAnswer returns when the store answered first after a time, and false if it has not yet.
func (r *soakReplica) firstAnswer(after time.Time) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := sort.Search(len(r.answers), func(i int) bool { return !r.answers[i].Before(after) })
	if i == len(r.answers) {
		return time.Time{}, false
	}
	return r.answers[i], true
}

// lastAnswer returns how old the last answer was at a time.
func (r *soakReplica) lastAnswer(at time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := sort.Search(len(r.answers), func(i int) bool { return r.answers[i].After(at) })
	if i == 0 {
		return time.Hour
	}
	return at.Sub(r.answers[i-1])
}

// wasSilent reports whether the store did not answer for MaxStaleness, up to a second before a time or later.
func (r *soakReplica) wasSilent(at time.Time) bool {
	for back := time.Duration(0); back <= soakPromise; back += 50 * time.Millisecond {
		if r.lastAnswer(at.Add(-back)) > soakStaleness-100*time.Millisecond {
			return true
		}
	}
	return false
}

// An observed store tells a replica when it has answered.
type observed struct {
	mcpauthrevocation.Store
	replica *soakReplica
}

func (o observed) Follow(ctx context.Context, from mcpauthrevocation.Position, apply func(mcpauthrevocation.Batch)) error {
	return o.Store.Follow(ctx, from, func(batch mcpauthrevocation.Batch) {
		apply(batch)
		if batch.CaughtUp {
			o.replica.mu.Lock()
			o.replica.answers = append(o.replica.answers, time.Now())
			o.replica.mu.Unlock()
		}
	})
}

// newReplica returns a replica whose store is at an address.
func (s *soak) newReplica(addr string) *soakReplica {
	r := new(soakReplica)
	logger := slog.New(slog.DiscardHandler)
	store, err := mcpauthrevocationredis.New(mcpauthrevocationredis.Config{
		Client: s.server.client(func(o *redis.Options) { o.Addr = addr }), Logger: logger,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	r.list, err = mcpauthrevocation.New(mcpauthrevocation.Config{Store: observed{store, r}, MaxStaleness: soakStaleness, Logger: logger})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.list.Run(ctx) }()
	cfg := s.env.Config("https://mcp.example.com")
	cfg.Revocation = r.list
	rs, err := mcpauth.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		rs.Serve(w, req, func(w http.ResponseWriter, req *http.Request) {
			if req.Method == http.MethodGet {
				_ = http.NewResponseController(w).Flush()
				<-req.Context().Done()
			}
		})
	}))
	s.t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			s.t.Errorf("Run: %v", err)
		}
	})
	r.url = server.URL + "/mcp"
	return r
}
