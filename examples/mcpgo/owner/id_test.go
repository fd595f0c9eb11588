package owner

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func testIDs() *ids { return newIDs(bytes.Repeat([]byte{7}, minKeyBytes)) }

func TestIDsAreOfOneUser(t *testing.T) {
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
		t.Error("nobody has a session")
	}
	if err := s.check(s.user("usr_ada"), "usr_ada"); err == nil {
		t.Error("what stands for a session is the id of one")
	}
}

// TestEachByteOfAnIDCounts changes every bit of an id.
func TestEachByteOfAnIDCounts(t *testing.T) {
	t.Parallel()
	s := testIDs()
	id := s.generate("usr_ada")
	_, raw, ok := parse(id)
	if !ok {
		t.Fatal(id)
	}
	for i := range raw {
		for bit := range 8 {
			changed := bytes.Clone(raw)
			changed[i] ^= 1 << bit
			if s.check(base64.RawURLEncoding.EncodeToString(changed), "usr_ada") == nil {
				t.Errorf("without bit %d of byte %d", bit, i)
			}
		}
	}
	for _, other := range []string{id + "=", id[:len(id)-4], id + "AAAA", id[:60] + "\n" + id[60:63], strings.ToUpper(id), " " + id[1:]} {
		if s.check(other, "usr_ada") == nil {
			t.Errorf("%q is taken for %q", other, id)
		}
	}
}

// TestEndedIDsAreBounded ends more sessions than are remembered. The last ones stay ended.
func TestEndedIDsAreBounded(t *testing.T) {
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
		err := s.check(id, "usr_ada")
		if want := i >= 10; errors.Is(err, errEnded) != want {
			t.Fatalf("session %d: %v", i, err)
		}
		if s.check(id, "usr_grace") == nil {
			t.Fatalf("session %d answers to another user", i)
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
		n, raw, ok := parse(id)
		if !ok {
			if s.check(id, "usr_ada") == nil {
				t.Errorf("%q is no id and was taken", id)
			}
			return
		}
		if base64.RawURLEncoding.EncodeToString(raw) != id || !bytes.HasPrefix(raw, n[:]) {
			t.Errorf("%q is another spelling of %x", id, raw)
		}
		if s.check(id, "usr_grace") == nil {
			t.Errorf("%q is a session of a user who has none", id)
		}
	})
}
