package owner

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"sync"
)

var (
	errForeign = errors.New("owner: no session of this user")
	errEnded   = errors.New("owner: the session has ended")
)

const (
	nonceBytes = 16 // 128 random bits: no two sessions are the same
	idBytes    = nonceBytes + sha256.Size
)

// idLength is the length of an id. It divides by four, so that each id has one spelling: no bits are left over.
var idLength = base64.RawURLEncoding.EncodedLen(idBytes)

// maxEnded bounds the memory of ended sessions, to about 1 MiB. Of more than that the oldest are forgotten: they answer
// to their owner again, and to nobody else.
const maxEnded = 16384

type nonce [nonceBytes]byte

// ids makes and checks ids of sessions. An id is a nonce and its MAC under the user's principal, so that the id says
// whose it is, to those who have the key: there is no table of sessions to keep, to share among replicas, or to fill up.
type ids struct {
	key []byte

	mu    sync.Mutex
	ended map[nonce]struct{}
	order []nonce // a ring, in the order in which they ended
	next  int
}

func newIDs(key []byte) *ids {
	return &ids{key: bytes.Clone(key), ended: make(map[nonce]struct{})}
}

// generate returns the id of a new session of principal.
func (s *ids) generate(principal string) string {
	raw := make([]byte, nonceBytes, idBytes)
	_, _ = rand.Read(raw) // never fails
	return base64.RawURLEncoding.EncodeToString(s.mac(raw, "session", raw, principal))
}

// check returns nil for the id of a session of principal that goes on.
func (s *ids) check(id, principal string) error {
	n, raw, ok := parse(id)
	if !ok || principal == "" || !hmac.Equal(raw[nonceBytes:], s.mac(nil, "session", n[:], principal)) {
		return errForeign
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ended := s.ended[n]; ended {
		return errEnded
	}
	return nil
}

// end ends the session of an id that was checked, or that mcp-go has kept: an id of no session would take the place of
// one that ended.
func (s *ids) end(id string) {
	n, _, ok := parse(id)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ended := s.ended[n]; ended {
		return
	}
	s.ended[n] = struct{}{}
	if len(s.order) < maxEnded {
		s.order = append(s.order, n)
		return
	}
	delete(s.ended, s.order[s.next])
	s.order[s.next] = n
	s.next = (s.next + 1) % maxEnded
}

// user returns what stands for a session where there is none, the same for all requests of principal. It never leaves the
// server, and is no id that check would take.
func (s *ids) user(principal string) string {
	return "user-" + base64.RawURLEncoding.EncodeToString(s.mac(nil, "user", nil, principal))
}

// mac appends the MAC to dst. The first parts have no NUL and a fixed length, so that no two inputs are the same bytes.
func (s *ids) mac(dst []byte, purpose string, nonce []byte, principal string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(purpose))
	h.Write([]byte{0})
	h.Write(nonce)
	h.Write([]byte(principal))
	return h.Sum(dst)
}

// parse takes the one spelling of an id apart.
func parse(id string) (n nonce, raw []byte, ok bool) {
	if len(id) != idLength {
		return n, nil, false
	}
	for i := range len(id) { // base64 skips line breaks
		if id[i] == '\r' || id[i] == '\n' {
			return n, nil, false
		}
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil || len(raw) != idBytes {
		return n, nil, false
	}
	return nonce(raw[:nonceBytes]), raw, true
}
