package keys

import (
	"crypto/rsa"
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

// ErrSignature is the error of [Candidates.Verify].
var ErrSignature = errors.New("none of the keys made the signature")

// A Key is one usable key of the environment. As long as the environment publishes it unchanged, every refresh keeps the
// same *Key, so that a cached token can be tied to the key that verified it.
type Key struct {
	id        string
	public    *rsa.PublicKey
	withdrawn atomic.Bool
}

// Withdrawn reports whether a later fetch found the key missing.
func (k *Key) Withdrawn() bool { return k.withdrawn.Load() }

// Candidates are the keys that share one id. There may be several: RFC 7517 §4.5 says only that ids SHOULD differ.
type Candidates []*Key

// Verify returns the key that made the RS256 signature of input (RFC 7518 §3.3), or [ErrSignature].
func (c Candidates) Verify(input, signature []byte) (*Key, error) {
	for _, key := range c {
		if verifyRS256(input, signature, key.public) {
			return key, nil
		}
	}
	return nil, ErrSignature
}

// A snapshot is a key set as it was fetched. It never changes after publication.
type snapshot struct {
	keys      map[string]Candidates
	fetchedAt time.Time
	fetch     uint64 // the number of the fetch that brought it
}

// usable reports whether there is a snapshot that may still be used.
func (snap *snapshot) usable(now time.Time) bool {
	return snap != nil && now.Sub(snap.fetchedAt) < staleAge
}

// succeededBy returns a snapshot of keys, with the old *Key for each key that is unchanged. snap may be nil.
func (snap *snapshot) succeededBy(keys keysByID, now time.Time, fetch uint64) *snapshot {
	next := &snapshot{keys: make(map[string]Candidates, len(keys)), fetchedAt: now, fetch: fetch}
	var before map[string]Candidates
	if snap != nil {
		before = snap.keys
	}
	for kid, all := range keys {
		for _, public := range all {
			key := &Key{id: kid, public: public}
			for _, old := range before[kid] {
				if old.public.Equal(public) {
					key = old
				}
			}
			next.keys[kid] = append(next.keys[kid], key)
		}
	}
	return next
}

// withdraw marks the keys that next does not have. snap may be nil.
func (snap *snapshot) withdraw(next *snapshot) {
	if snap == nil {
		return
	}
	for kid, all := range snap.keys {
		for _, old := range all {
			if !slices.Contains(next.keys[kid], old) {
				old.withdrawn.Store(true)
			}
		}
	}
}
