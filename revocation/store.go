package mcpauthrevocation

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"
)

// A Store is a log of entries that all replicas of a server share. It is safe for concurrent use.
type Store interface {
	// Append adds entries, in order, and returns nil only when they are durable. An entry that is there already may be added
	// again.
	Append(ctx context.Context, entries []Entry) error

	// Follow calls apply with every entry after from, in order, and goes on until ctx ends or the store fails. It calls apply
	// at least every second while the store answers, without entries if there are none. "" is the beginning; other positions
	// are those of batches. A list is up to date as of its last batch with CaughtUp.
	//
	// It returns an error that is [ErrPastLost] when from is a position that the store does not know, as after the loss of its disk.
	// The list then appends what it holds, and follows from the beginning.
	//
	// A Store may have two more methods. Ready(context.Context) error is called by [List.Ready]. Keeps() time.Duration says after
	// how long entries are forgotten; [New] refuses a Store in which that is less than MaxTokenLife and ClockSkew.
	Follow(ctx context.Context, from Position, apply func(Batch)) error
}

// A forgetful store says how long it keeps entries. [New] refuses one that keeps them for less time than the list.
type forgetful interface{ Keeps() time.Duration }

// A Position is a place in the log of a [Store]. Its text is the store's own.
type Position string

// A Batch is what Follow read at once.
type Batch struct {
	Entries  []Entry
	Position Position // behind the entries: where a later Follow goes on
	CaughtUp bool     // the store had no more
}

// ErrPastLost is the error of a Store that has lost entries which a replica has read.
var ErrPastLost = errors.New("mcpauthrevocation: the store has lost its past")

// pulse is how often a store that has nothing to say is heard.
const pulse = time.Second

// soleStore is the store of a list that is its own: one process, and nothing that outlives it.
type soleStore struct{}

func (soleStore) Append(context.Context, []Entry) error { return nil } // the list has them

func (soleStore) Follow(ctx context.Context, _ Position, apply func(Batch)) error {
	tick := time.NewTicker(pulse)
	defer tick.Stop()
	for {
		apply(Batch{CaughtUp: true})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// A MemoryStore is a [Store] for several lists in one process, as in tests. What it holds ends with the process. The zero
// value is not usable.
type MemoryStore struct {
	keep time.Duration

	mu      sync.Mutex
	entries []Entry
	dropped int           // how many were forgotten at the front
	more    chan struct{} // closed by the next Append
}

// NewMemoryStore returns an empty store, which forgets entries that are older than keep. It has to be at least the
// MaxTokenLife of the lists, which is 24 h unless it is set.
func NewMemoryStore(keep time.Duration) *MemoryStore {
	return &MemoryStore{keep: keep, more: make(chan struct{})}
}

// Keeps returns how long entries are kept.
func (s *MemoryStore) Keeps() time.Duration { return s.keep + maxFuture }

// Append adds entries.
func (s *MemoryStore) Append(_ context.Context, entries []Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = append(s.entries, entries...)
	oldest := time.Now().Add(-s.Keeps())
	for len(s.entries) > 0 && s.entries[0].At.Before(oldest) {
		s.entries = s.entries[1:]
		s.dropped++
	}
	close(s.more)
	s.more = make(chan struct{})
	return nil
}

// Follow calls apply with the entries after from, and with each new one, until ctx ends.
func (s *MemoryStore) Follow(ctx context.Context, from Position, apply func(Batch)) error {
	next, err := 0, error(nil)
	if from != "" {
		if next, err = strconv.Atoi(string(from)); err != nil {
			return ErrPastLost
		}
	}
	tick := time.NewTicker(pulse)
	defer tick.Stop()
	for {
		s.mu.Lock()
		next = max(next, s.dropped)
		if next > s.dropped+len(s.entries) {
			s.mu.Unlock()
			return ErrPastLost
		}
		batch := Batch{Entries: s.entries[next-s.dropped : len(s.entries) : len(s.entries)], CaughtUp: true}
		next = s.dropped + len(s.entries)
		more := s.more
		s.mu.Unlock()
		batch.Position = Position(strconv.Itoa(next))
		apply(batch)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		case <-tick.C:
		}
	}
}
