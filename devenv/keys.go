package devenv

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// A Key is one of the environment's keys that are published.
type Key struct {
	ID    string    // the kid of the tokens that it signs
	Since time.Time // when it began to sign
	Signs bool      // tokens that are issued now
}

// Keys returns the published keys. The first one signs.
func (e *Environment) Keys() []Key { return e.signing.published() }

// RotateKeys signs with a new key from now on. The older ones stay published, so tokens that they signed stay valid.
func (e *Environment) RotateKeys() {
	e.signing.rotate()
	e.changed()
}

// WithdrawKey takes a key out of the published set, so that the tokens that it signed can't be verified any more by servers
// that fetch the set again. The key that signs can't be withdrawn: call [Environment.RotateKeys] before.
func (e *Environment) WithdrawKey(id string) error {
	if err := e.signing.withdraw(id); err != nil {
		return fmt.Errorf("devenv: WithdrawKey: %w", err)
	}
	e.changed()
	return nil
}

// signingKeys knows which keys a KeySet publishes, which the set itself does not tell.
type signingKeys struct {
	set *mcpauthtest.KeySet

	mu   sync.Mutex
	keys []signingKey // the newest, which signs, is last
}

type signingKey struct {
	key   *mcpauthtest.Key
	since time.Time
}

func newSigningKeys(set *mcpauthtest.KeySet) *signingKeys {
	return &signingKeys{set: set, keys: []signingKey{{set.Current(), time.Now()}}}
}

func (s *signingKeys) rotate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, signingKey{s.set.Rotate(), time.Now()})
}

func (s *signingKeys) withdraw(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.keys, func(k signingKey) bool { return k.key.ID() == id })
	switch i {
	case -1:
		return fmt.Errorf("there is no published key %q; Keys lists them", id)
	case len(s.keys) - 1:
		return errors.New("the key that signs can't be withdrawn; rotate the keys before")
	}
	s.set.Withdraw(s.keys[i].key)
	s.keys = slices.Delete(s.keys, i, i+1)
	return nil
}

func (s *signingKeys) published() []Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]Key, 0, len(s.keys))
	for i, k := range slices.Backward(s.keys) {
		keys = append(keys, Key{ID: k.key.ID(), Since: k.since, Signs: i == len(s.keys)-1})
	}
	return keys
}
