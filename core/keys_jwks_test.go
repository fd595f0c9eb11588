package mcpauth_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestR55Documents has key sets that hold no usable key, and such that hold one among others.
func TestR55Documents(t *testing.T) {
	t.Parallel()
	other := func(change func(jwk m)) string {
		jwk := mcpauthtest.NewKey("snk_other").PublicJWK()
		change(jwk)
		return string(marshal(jwk))
	}
	for _, c := range []struct {
		name   string
		keys   func(good string) string
		status int
	}{
		{"garbage", func(string) string { return "\x00\x01" }, 503},
		{"HTML", func(string) string { return "<html>" }, 503},
		{"nothing", func(string) string { return "" }, 503},
		{"null", func(string) string { return "null" }, 503},
		{"an array", func(good string) string { return "[" + good + "]" }, 503},
		{"no keys", func(string) string { return `{"keys":[]}` }, 503},
		{"keys null", func(string) string { return `{"keys":null}` }, 503},
		{"no member keys", func(string) string { return `{}` }, 503},
		{"two members keys", func(good string) string { return `{"keys":[` + good + `],"keys":[]}` }, 503},
		{"too long", func(good string) string { return `{"keys":[` + good + strings.Repeat(" ", 1<<20) + `]}` }, 503},
		{"only a key for encryption", func(good string) string { return `{"keys":[` + strings.Replace(good, `"sig"`, `"enc"`, 1) + `]}` }, 503},
		{"only a key for another algorithm", func(good string) string { return `{"keys":[` + strings.Replace(good, `"RS256"`, `"PS256"`, 1) + `]}` }, 503},
		{"a key for encryption next to a good one", func(good string) string {
			return `{"keys":[` + other(func(k m) { k["use"] = "enc" }) + "," + good + `]}`
		}, 200},
		{"an unknown type next to a good one", func(good string) string { return `{"keys":[{"kty":"XYZ","kid":"a"},` + good + `]}` }, 200},
		{"an elliptic key next to a good one", func(good string) string {
			return `{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"AAAA","y":"AAAA"},` + good + `]}`
		}, 200},
		{"a symmetric key next to a good one", func(good string) string { return `{"keys":[{"kty":"oct","kid":"a","k":"AAAA"},` + good + `]}` }, 200},
		{"a broken modulus next to a good one", func(good string) string { return `{"keys":[{"kty":"RSA","kid":"a","n":"!","e":"AQAB"},` + good + `]}` }, 200},
		{"a number next to a good one", func(good string) string { return `{"keys":[1,` + good + `]}` }, 200},
		{"a key without alg", func(good string) string { return `{"keys":[` + strings.Replace(good, `"alg":"RS256",`, "", 1) + `]}` }, 200},
		{"a key without use", func(good string) string { return `{"keys":[` + strings.Replace(good, `"use":"sig"`, `"x":1`, 1) + `]}` }, 200},
		{"a key without kid", func(good string) string { return `{"keys":[` + strings.Replace(good, `"kid"`, `"x"`, 1) + `]}` }, 503},
		{"a key that is too short", func(string) string {
			return `{"keys":[{"kty":"RSA","kid":"a","e":"AQAB","n":"` + strings.Repeat("x", 170) + `"}]}`
		}, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			f.env.Handle(mcpauthtest.KeysPath, serveText(c.keys(string(marshal(f.env.Keys().Current().PublicJWK())))))
			if got := f.send(t, f.env.Token(nil)); got.status != c.status {
				t.Errorf("status %d, want %d\n%s", got.status, c.status, f.log)
			}
		})
	}
}

// TestR55KeysForOtherUses has keys without "use" whose other members say what they are for (RFC 7517 §4.3).
func TestR55KeysForOtherUses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change m
		status int
	}{
		"key_ops for verifying":      {m{"key_ops": []string{"verify"}}, 200},
		"key_ops for something else": {m{"key_ops": []string{"encrypt"}}, 503},
		"a private key":              {m{"d": "AQAB"}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			jwk := f.env.Keys().Current().PublicJWK()
			maps.Copy(jwk, c.change)
			delete(jwk, "use")
			f.env.Handle(mcpauthtest.KeysPath, serveText(`{"keys":[`+string(marshal(jwk))+`]}`))
			if got := f.send(t, f.env.Token(nil)); got.status != c.status {
				t.Errorf("status %d, want %d", got.status, c.status)
			}
		})
	}
}

// TestR55KeysAreReadExactly has keys that jwx would take for RSA keys of another kind than their members say.
func TestR55KeysAreReadExactly(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(jwk m){
		"kty in another case":      func(jwk m) { jwk["ktY"] = jwk["kty"]; delete(jwk, "kty") },
		"an exponent of 65 bits":   func(jwk m) { jwk["e"] = "AQAAAAAAAQAB" },
		"a type in another case":   func(jwk m) { jwk["kty"] = "rsa" },
		"a type of another length": func(jwk m) { jwk["kty"] = "RSA " },
	} {
		f := newFixture(t, nil)
		jwk := f.env.Keys().Current().PublicJWK()
		change(jwk)
		f.env.Handle(mcpauthtest.KeysPath, serveText(string(marshal(m{"keys": []any{jwk}}))))
		if got := f.send(t, f.env.Token(nil)); got.status != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d", name, got.status)
		}
	}
}

func TestR55KeyWithARepeatedMemberIsSkipped(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	good := string(marshal(f.env.Keys().Current().PublicJWK()))
	f.env.Handle(mcpauthtest.KeysPath, serveText(`{"keys":[{"kty":"RSA","kid":"a","kid":"b"},`+good+`]}`))
	if got := f.send(t, f.env.Token(nil)); got.status != http.StatusOK {
		t.Errorf("status %d", got.status)
	}
}
