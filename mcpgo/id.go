package mcpauthmcpgo

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
)

var (
	errUnknown = errors.New("mcpauthmcpgo: no MCP session has this id")
	errForeign = errors.New("mcpauthmcpgo: the MCP session belongs to another user")
	errEnded   = errors.New("mcpauthmcpgo: the MCP session has ended")
)

// An id has three parts of the same size: a random nonce, which makes it unique; the MAC of nonce and principal, which says
// whose it is; and the MAC of these two parts, which shows that the id was made here. Half of the output of HMAC-SHA256 is
// enough for a MAC (RFC 2104 §5).
const (
	partBytes = 16
	idBytes   = 3 * partBytes
)

// idLength is the length of an id in base64. It is a multiple of 4, so no bits are left over, and each id has one spelling.
var idLength = base64.RawURLEncoding.EncodedLen(idBytes)

// maxEnded limits how many ended sessions are remembered, in about 1 MiB. When there are more, the oldest are forgotten: they
// answer to their owner again, and still not to others.
const maxEnded = 16384

type part [partBytes]byte

// ids makes and checks ids of sessions. An id says whose it is to all who have the key. So there is no table of sessions that
// replicas would have to share, or that could be filled up.
type ids struct {
	key []byte

	mu    sync.Mutex
	ended map[part]struct{} // by nonce
	order []part            // a ring, in the order in which they ended
	next  int
}

func newIDs(key []byte) *ids {
	return &ids{key: bytes.Clone(key), ended: make(map[part]struct{})}
}

// generate returns the id of a new session of principal.
func (s *ids) generate(principal string) string {
	var nonce part
	_, _ = rand.Read(nonce[:]) // never fails
	owner := s.mac("owner", nonce[:], []byte(principal))
	seal := s.mac("session", nonce[:], owner[:])
	return base64.RawURLEncoding.EncodeToString(append(append(nonce[:], owner[:]...), seal[:]...))
}

// check returns nil for the id of a session of principal that goes on, and else errUnknown, errForeign or errEnded.
func (s *ids) check(id, principal string) error {
	nonce, owner, seal, ok := parse(id)
	if want := s.mac("session", nonce[:], owner[:]); !ok || !hmac.Equal(seal[:], want[:]) {
		return errUnknown
	}
	if want := s.mac("owner", nonce[:], []byte(principal)); principal == "" || !hmac.Equal(owner[:], want[:]) {
		return errForeign
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ended := s.ended[nonce]; ended {
		return errEnded
	}
	return nil
}

// end ends a session. id has to be one that check accepted, or that mcp-go has kept: any other would take the place of a
// session that has ended.
func (s *ids) end(id string) {
	nonce, _, _, ok := parse(id)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ended := s.ended[nonce]; ended {
		return
	}
	s.ended[nonce] = struct{}{}
	if len(s.order) < maxEnded {
		s.order = append(s.order, nonce)
		return
	}
	delete(s.ended, s.order[s.next])
	s.order[s.next] = nonce
	s.next = (s.next + 1) % maxEnded
}

// user returns what is used as the id where there is no session: the same for all requests of principal. A request can't
// name it, because check does not accept it.
func (s *ids) user(principal string) string {
	name := s.mac("user", nil, []byte(principal))
	return "user-" + base64.RawURLEncoding.EncodeToString(name[:])
}

// mac returns the first half of the MAC. A purpose has no NUL, and its second input has a fixed length, so that no two
// inputs are the same bytes.
func (s *ids) mac(purpose string, nonce, rest []byte) part {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(purpose))
	h.Write([]byte{0})
	h.Write(nonce)
	h.Write(rest)
	return part(h.Sum(nil))
}

// parse takes the one spelling of an id apart.
func parse(id string) (nonce, owner, seal part, ok bool) {
	if len(id) != idLength || strings.ContainsAny(id, "\r\n") { // base64 skips line breaks
		return nonce, owner, seal, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil {
		return nonce, owner, seal, false
	}
	return part(raw), part(raw[partBytes:]), part(raw[2*partBytes:]), true
}
