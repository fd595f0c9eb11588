package mcpauth_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// sealingKey returns a key of 32 bytes.
func sealingKey(letter string) mcpauth.Secret { return mcpauth.NewSecret(strings.Repeat(letter, 32)) }

func newSealer(t testing.TB, keys ...mcpauth.Secret) *mcpauth.Sealer {
	t.Helper()
	s, err := mcpauth.NewSealer(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func seal(t testing.TB, s *mcpauth.Sealer, session *mcpauth.Session, purpose, data string, ttl time.Duration) string {
	t.Helper()
	text, err := s.Seal(session, purpose, []byte(data), ttl)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSealedStateIsForOneUserAndPurpose(t *testing.T) {
	t.Parallel()
	s := newSealer(t, sealingKey("a"))
	ada, grace := mcpauthtest.NewSession(m{"sub": "usr_ada"}), mcpauthtest.NewSession(m{"sub": "usr_grace"})
	again := mcpauthtest.NewSession(m{"sub": "usr_ada", "jti": "tkn_2", "scope": "other"}) // the same user with another token
	f := newFixture(t, nil)
	elsewhere := authenticate(f.rs, f.env.Token(m{"sub": "usr_ada"})).Session
	for _, data := range []string{"", "x", `{"step":2}`, strings.Repeat("long ", 50_000)} {
		text := seal(t, s, ada, "checkout", data, time.Minute)
		if strings.Contains(text, "step") || strings.ContainsAny(text, "+/=\n") {
			t.Errorf("%.40q shows what it holds, or has to be escaped", text)
		}
		for name, c := range map[string]struct {
			session *mcpauth.Session
			purpose string
			opens   bool
		}{
			"the user": {ada, "checkout", true}, "the user's next token": {again, "checkout", true},
			"another user": {grace, "checkout", false}, "the same subject of another environment": {elsewhere, "checkout", false},
			"another purpose": {ada, "refund", false}, "a longer purpose": {ada, "checkout2", false}, "no purpose": {ada, "", false},
			"no session": {nil, "checkout", false},
		} {
			opened, err := s.Open(c.session, c.purpose, text)
			if c.opens && (err != nil || string(opened) != data) || !c.opens && (!errors.Is(err, mcpauth.ErrNotSealed) || opened != nil) {
				t.Errorf("%s: got %.40q, %v; opens should be %t", name, opened, err, c.opens)
			}
		}
	}
}

// TestSealedStateLengthsAreBound has two pairs of principal and purpose whose texts are the same when they are joined.
func TestSealedStateLengthsAreBound(t *testing.T) {
	t.Parallel()
	s := newSealer(t, sealingKey("a"))
	text := seal(t, s, mcpauthtest.NewSession(m{"sub": "usr_1"}), "23", "state", time.Minute)
	if _, err := s.Open(mcpauthtest.NewSession(m{"sub": "usr_12"}), "3", text); !errors.Is(err, mcpauth.ErrNotSealed) {
		t.Errorf("error %v", err)
	}
}

func TestSealedStateExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSealer(t, sealingKey("a"))
		session := mcpauthtest.NewSession(nil)
		text := seal(t, s, session, "p", "state", time.Minute)
		time.Sleep(time.Minute - time.Millisecond)
		if _, err := s.Open(session, "p", text); err != nil {
			t.Errorf("a moment before the end: %v", err)
		}
		time.Sleep(time.Millisecond)
		if _, err := s.Open(session, "p", text); !errors.Is(err, mcpauth.ErrNotSealed) {
			t.Errorf("at the end: %v", err)
		}
	})
}

func TestSealingKeysRotate(t *testing.T) {
	t.Parallel()
	session := mcpauthtest.NewSession(nil)
	before, during, after := newSealer(t, sealingKey("a")), newSealer(t, sealingKey("b"), sealingKey("a")), newSealer(t, sealingKey("b"))
	old, current := seal(t, before, session, "p", "old", time.Minute), seal(t, during, session, "p", "new", time.Minute)
	for name, c := range map[string]struct {
		sealer *mcpauth.Sealer
		text   string
		opens  bool
	}{
		"the old key opens while it is there": {during, old, true}, "the first key seals": {after, current, true},
		"the old key is gone": {after, old, false}, "a replica without the new key": {before, current, false},
	} {
		if _, err := c.sealer.Open(session, "p", c.text); (err == nil) != c.opens {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSealedStateIsNotMalleable changes, removes and adds each byte.
func TestSealedStateIsNotMalleable(t *testing.T) {
	t.Parallel()
	s := newSealer(t, sealingKey("a"))
	session := mcpauthtest.NewSession(nil)
	text := seal(t, s, session, "p", "state", time.Minute)
	if again := seal(t, s, session, "p", "state", time.Minute); again == text {
		t.Error("the same data is sealed to the same text")
	}
	changed := []string{text + "=", text + "\n", text + "A", " " + text, text + text, ""}
	for i := range text {
		for _, c := range []byte{'A', 'B', text[i] ^ 1} {
			if c != text[i] {
				b := []byte(text)
				b[i] = c
				changed = append(changed, string(b))
			}
		}
		changed = append(changed, text[:i], text[:i]+text[i+1:], text[:i]+"\r\n"+text[i:])
	}
	for _, c := range changed {
		if _, err := s.Open(session, "p", c); !errors.Is(err, mcpauth.ErrNotSealed) {
			t.Errorf("%q: %v", c, err)
		}
	}
}

func TestSealerMistakes(t *testing.T) {
	t.Parallel()
	short := mcpauth.NewSecret(strings.Repeat("q", 31))
	s, err := mcpauth.NewSealer(sealingKey("a"), short, mcpauth.Secret{})
	if mistakes := slices.Collect(mcpauth.ConfigErrors(err)); s != nil || len(mistakes) != 2 || strings.Contains(err.Error(), "qqqq") {
		t.Errorf("got %v, %v; want two mistakes, and no key in them", s, err)
	}
	if s, err := mcpauth.NewSealer(); s != nil || err == nil {
		t.Errorf("no keys: %v, %v", s, err)
	}
	s = newSealer(t, sealingKey("a"))
	session := mcpauthtest.NewSession(nil)
	for name, c := range map[string]struct {
		session *mcpauth.Session
		purpose string
		data    []byte
		ttl     time.Duration
	}{
		"no session": {nil, "p", nil, time.Minute}, "no purpose": {session, "", nil, time.Minute},
		"no time": {session, "p", nil, 0}, "a time that is over": {session, "p", nil, -time.Minute},
		"too much": {session, "p", bytes.Repeat([]byte{0}, 512<<10+1), time.Minute},
	} {
		if text, err := s.Seal(c.session, c.purpose, c.data, c.ttl); err == nil || text != "" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	whole := bytes.Repeat([]byte{0}, 512<<10)
	text, err := s.Seal(session, "p", whole, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := s.Open(session, "p", text); err != nil || !bytes.Equal(opened, whole) {
		t.Errorf("512 KiB: %d bytes, %v", len(opened), err)
	}
}

// FuzzSealerOpen checks that only what was sealed opens. Each process of the fuzzer seals with another salt, so that the
// data is compared, and not the text.
func FuzzSealerOpen(f *testing.F) {
	s := newSealer(f, sealingKey("a"))
	session := mcpauthtest.NewSession(nil)
	sealed := seal(f, s, session, "p", "state", time.Hour)
	f.Add(sealed)
	f.Add(sealed[:len(sealed)-1])
	f.Add(seal(f, newSealer(f, sealingKey("b")), session, "p", "state", time.Hour))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if opened, err := s.Open(session, "p", text); err == nil && string(opened) != "state" || err != nil && (opened != nil || text == sealed) {
			t.Errorf("%q: %q, %v", text, opened, err)
		}
	})
}

// TestSealerWithoutKeys has no sealer, and one that NewSealer did not make: nothing is sealed, and nothing opens.
func TestSealerWithoutKeys(t *testing.T) {
	t.Parallel()
	ada := mcpauthtest.NewSession(m{"sub": "usr_ada"})
	text := seal(t, newSealer(t, sealingKey("a")), ada, "checkout", "x", time.Minute)
	for _, s := range []*mcpauth.Sealer{nil, {}} {
		if sealed, err := s.Seal(ada, "checkout", []byte("x"), time.Minute); err == nil || !strings.Contains(err.Error(), "NewSealer") || sealed != "" {
			t.Errorf("sealed %q, %v", sealed, err)
		}
		if opened, err := s.Open(ada, "checkout", text); !errors.Is(err, mcpauth.ErrNotSealed) || opened != nil {
			t.Errorf("opened %q, %v", opened, err)
		}
	}
}
