package mcpauthmcpgo

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func testIDs() *ids { return newIDs(bytes.Repeat([]byte{7}, minKeyBytes)) }

func TestR69IDsAreOfOneUser(t *testing.T) {
	t.Parallel()
	s := testIDs()
	id := s.generate("https://a\nusr_ada")
	if err := s.check(id, "https://a\nusr_ada"); err != nil {
		t.Fatal(err)
	}
	for _, principal := range []string{"", "https://a\nusr_ad", "https://a\nusr_ada\n", "https://b\nusr_ada", "usr_ada"} {
		if err := s.check(id, principal); !errors.Is(err, errForeign) {
			t.Errorf("%q: %v", principal, err)
		}
	}
	if err := s.check(s.generate(""), ""); err == nil {
		t.Error("a session without an owner answers")
	}
	if err := s.check(s.user("usr_ada"), "usr_ada"); !errors.Is(err, errUnknown) {
		t.Errorf("what stands for a session is the id of one: %v", err)
	}
	other := newIDs(bytes.Repeat([]byte{8}, minKeyBytes))
	if err := other.check(id, "https://a\nusr_ada"); !errors.Is(err, errUnknown) {
		t.Errorf("under another key: %v", err)
	}
	if again := s.generate("https://a\nusr_ada"); again == id || again[idLength/3:2*idLength/3] == id[idLength/3:2*idLength/3] {
		t.Errorf("two sessions of one user look alike: %s %s", id, again)
	}
}

// TestR69EachByteOfAnIDCounts changes every bit of an id: none is taken for the owner's, and none for another user's.
func TestR69EachByteOfAnIDCounts(t *testing.T) {
	t.Parallel()
	s := testIDs()
	id := s.generate("usr_ada")
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(raw) != idBytes {
		t.Fatal(id, err)
	}
	for i := range raw {
		for bit := range 8 {
			changed := bytes.Clone(raw)
			changed[i] ^= 1 << bit
			if err := s.check(base64.RawURLEncoding.EncodeToString(changed), "usr_ada"); !errors.Is(err, errUnknown) {
				t.Errorf("without bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
	for _, other := range []string{"", id + "=", id[:len(id)-4], id + "AAAA", id[:60] + "\n" + id[60:63], strings.ToUpper(id), " " + id[1:]} {
		if err := s.check(other, "usr_ada"); !errors.Is(err, errUnknown) {
			t.Errorf("%q is taken for %q: %v", other, id, err)
		}
	}
}

// TestR69EndedSessionsAreBounded ends more sessions than are remembered. The last ones stay ended.
func TestR69EndedSessionsAreBounded(t *testing.T) {
	t.Parallel()
	s := testIDs()
	all := make([]string, maxEnded+10)
	for i := range all {
		all[i] = s.generate("usr_ada")
		s.end(all[i])
		s.end(all[i]) // twice is once
	}
	s.end("no id")
	if len(s.ended) != maxEnded || len(s.order) != maxEnded {
		t.Errorf("%d and %d are remembered, want %d", len(s.ended), len(s.order), maxEnded)
	}
	for i, id := range all {
		if err, want := s.check(id, "usr_ada"), i >= 10; errors.Is(err, errEnded) != want {
			t.Fatalf("session %d: %v", i, err)
		}
		if err := s.check(id, "usr_grace"); !errors.Is(err, errForeign) {
			t.Fatalf("session %d of another user: %v", i, err)
		}
	}
}

func FuzzID(f *testing.F) {
	s := testIDs()
	f.Add(s.generate("usr_ada"))
	f.Add(s.user("usr_ada"))
	f.Add("mcp-session-0b27cd5c-2ba9-4e0e-9a4e-000000000000")
	f.Add("")
	f.Fuzz(func(t *testing.T, id string) {
		nonce, owner, seal, ok := parse(id)
		if err := s.check(id, "usr_grace"); err == nil || !ok && !errors.Is(err, errUnknown) {
			t.Errorf("%q is a session of a user who has none: %v", id, err)
		}
		if raw := append(append(nonce[:], owner[:]...), seal[:]...); ok && base64.RawURLEncoding.EncodeToString(raw) != id {
			t.Errorf("%q is another spelling of %x", id, raw)
		}
	})
}
