package mcpauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

type m = map[string]any

var b64 = base64.RawURLEncoding

// base64URL are the digits of base64url (RFC 4648 §5), in order.
const base64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// compact returns a compact JWS whose signature is made by sign.
func compact(header m, payload string, sign func(input string) []byte) string {
	h, err := json.Marshal(header)
	if err != nil {
		panic(err)
	}
	input := b64.EncodeToString(h) + "." + b64.EncodeToString([]byte(payload))
	return input + "." + b64.EncodeToString(sign(input))
}

// goodPayload returns the claims of a good token, with more members written behind them.
func goodPayload(env *mcpauthtest.Environment, more string) string {
	now := time.Now().Unix()
	return fmt.Sprintf(`{"iss":%q,"aud":[%q],"sub":"usr_1","client_id":"m2m_1","iat":%d,"exp":%d%s}`,
		env.Issuer(), env.ResourceID(), now, now+300, more)
}

// stoppedClock makes it now for as long as a test takes.
func stoppedClock(now time.Time) func(*mcpauth.Config) {
	return func(cfg *mcpauth.Config) { cfg.Now = func() time.Time { return now } }
}

// A tokenCase is a token, and the status of the answer to a request with it.
type tokenCase struct {
	name, token string
	want        int
}

// judge sends each token over a socket. A 401 has to name invalid_token as its error.
func (f *fixture) judge(t *testing.T, cases []tokenCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := f.insist(t, c.token)
			if got.status != c.want {
				t.Fatalf("status %d, want %d; body %s", got.status, c.want, got.text)
			}
			if c.want == http.StatusUnauthorized && (got.body.Error != "invalid_token" || !strings.HasPrefix(got.challenge, `Bearer error="invalid_token", `)) {
				t.Errorf("challenge %q and body %q, want invalid_token", got.challenge, got.text)
			}
		})
	}
}

// TestR33toR49Tokens has tokens that differ from a good one in their signature, their header, or the way in which they are
// written. Those whose claims differ are in TestR38toR47Claims.
func TestR33toR49Tokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t, stoppedClock(time.Now()))
	env := f.env
	key := env.Keys().Current()
	claims := func(c m) string { return env.Token(c) }
	header := func(h m) string { return env.Mint(mcpauthtest.Token{Header: h}) }
	payload := func(p string) string { return env.Mint(mcpauthtest.Token{RawPayload: []byte(p)}) }
	rawHeader := func(h string) string { return env.Mint(mcpauthtest.Token{RawHeader: []byte(h)}) }
	segments := strings.Split(env.Token(nil), ".")
	public, ok := key.Signer().Public().(*rsa.PublicKey)
	if !ok {
		t.Fatal("the key is not RSA")
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := env.Token(nil)
	respelled := good[:len(good)-1] + string(base64URL[strings.IndexByte(base64URL, good[len(good)-1])+1])
	many := m{}
	for i := range 300 {
		many[fmt.Sprint("x", i)] = 1
	}
	nested := func(depth int) string {
		return goodPayload(env, `,"x":`+strings.Repeat("[", depth)+strings.Repeat("]", depth))
	}

	f.judge(t, []tokenCase{
		{"R33 good", claims(nil), 200},
		{"R33 a key that the environment does not have", env.Mint(mcpauthtest.Token{Key: mcpauthtest.NewKey("snk_forged")}), 401},
		{"R33 a key that the environment does not have, under a known kid", env.Mint(mcpauthtest.Token{Key: mcpauthtest.NewKey(key.ID())}), 401},
		{"R33 the signature of another token", strings.Join([]string{segments[0], b64.EncodeToString([]byte(goodPayload(env, `,"scope":"admin"`))), segments[2]}, "."), 401},
		{"R33 a cut signature", env.Token(nil)[:len(env.Token(nil))-8], 401},
		{"R34 alg none", compact(m{"alg": "none", "kid": key.ID()}, goodPayload(env, ""), func(string) []byte { return nil }), 401},
		{"R34 alg none with a signature", header(m{"alg": "none"}), 401},
		{"R34 HS256 keyed with the public key", compact(m{"alg": "HS256", "kid": key.ID(), "typ": "JWT"}, goodPayload(env, ""), func(input string) []byte {
			mac := hmac.New(sha256.New, der)
			mac.Write([]byte(input))
			return mac.Sum(nil)
		}), 401},
		{"R34 PS256", compact(m{"alg": "PS256", "kid": key.ID()}, goodPayload(env, ""), func(input string) []byte {
			digest := sha256.Sum256([]byte(input))
			sig, err := key.Signer().Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
			if err != nil {
				panic(err)
			}
			return sig
		}), 401},
		{"R34 ES256", compact(m{"alg": "ES256", "kid": key.ID()}, goodPayload(env, ""), func(input string) []byte {
			digest := sha256.Sum256([]byte(input))
			sig, err := ecdsa.SignASN1(rand.Reader, ecKey, digest[:])
			if err != nil {
				panic(err)
			}
			return sig
		}), 401},
		{"R34 PS256 by name, signed with RS256", header(m{"alg": "PS256"}), 401},
		{"R34 ES256 by name, signed with RS256", header(m{"alg": "ES256"}), 401},
		{"R34 RS384", header(m{"alg": "RS384"}), 401},
		{"R34 rs256", header(m{"alg": "rs256"}), 401},
		{"R34 no alg", header(m{"alg": nil}), 401},
		{"R34 alg of another type", rawHeader(fmt.Sprintf(`{"alg":["RS256"],"kid":%q}`, key.ID())), 401},
		{"R35 two segments", segments[0] + "." + segments[1], 401},
		{"R35 four segments", strings.Join(segments, ".") + ".x", 401},
		{"R35 five segments, a JWE", strings.Join(segments, ".") + ".x.y", 401},
		{"R35 an empty payload", segments[0] + ".." + segments[2], 401},
		{"R35 an empty signature", segments[0] + "." + segments[1] + ".", 401},
		{"R36 typ JWT", header(m{"typ": "JWT"}), 200},
		{"R36 typ jwt", header(m{"typ": "jwt"}), 200},
		{"R36 typ at+jwt", header(m{"typ": "at+jwt"}), 200},
		{"R36 typ application/at+jwt", header(m{"typ": "Application/AT+JWT"}), 200},
		{"R36 no typ", header(m{"typ": nil}), 200},
		{"R36 an empty typ", header(m{"typ": ""}), 401},
		{"R36 typ logout+jwt", header(m{"typ": "logout+jwt"}), 401},
		{"R36 typ dpop+jwt", header(m{"typ": "dpop+jwt"}), 401},
		{"R36 typ id_token", header(m{"typ": "id_token"}), 401},
		{"R36 typ of another type", header(m{"typ": 1}), 401},
		{"R37 crit", header(m{"crit": []string{"b64"}, "b64": true}), 401},
		{"R37 an empty crit", header(m{"crit": []string{}}), 401},
		{"R37 crit null", header(m{"crit": json.RawMessage("null")}), 401},
		{"R44 a repeated claim", payload(goodPayload(env, `,"scope":"a","scope":"b"`)), 401},
		{"R44 repeated, once escaped", payload(goodPayload(env, `,"\u0069ss":"x"`)), 401},
		{"R44 repeated deep inside", payload(goodPayload(env, `,"x":[{"a":1,"a":2}]`)), 401},
		{"R44 another case is another claim", payload(goodPayload(env, `,"ISS":"x","Aud":"y"`)), 200},
		{"R44 a repeated header", rawHeader(fmt.Sprintf(`{"alg":"RS256","kid":%q,"alg":"RS256"}`, key.ID())), 401},
		{"R44 a header in capitals", rawHeader(fmt.Sprintf(`{"ALG":"RS256","kid":%q}`, key.ID())), 401},
		{"R44 something behind the header", rawHeader(fmt.Sprintf(`{"alg":"RS256","kid":%q}{}`, key.ID())), 401},
		{"R44 an array", payload(`[]`), 401},
		{"R44 a string", payload(`"x"`), 401},
		{"R44 null", payload(`null`), 401},
		{"R44 nothing", payload(` `), 401},
		{"R44 something behind", payload(goodPayload(env, "") + "{}"), 401},
		{"R44 a trailing comma", payload(goodPayload(env, ",")), 401},
		{"R44 not UTF-8", payload(goodPayload(env, ",\"x\":\"\xff\"")), 401},
		{"R44 not UTF-8 behind an escape", payload(goodPayload(env, ",\"x\":\"\\n\xff\"")), 401},
		{"R44 half a surrogate pair", payload(goodPayload(env, `,"x":"\ud800"`)), 401},
		{"R44 NaN", payload(goodPayload(env, `,"x":NaN`)), 401},
		{"R44 a number that encoding/json refuses", claims(m{"x": json.RawMessage("1e999")}), 401},
		{"R44 a leading zero", payload(goodPayload(env, `,"x":01`)), 401},
		{"R44 nested deeply", payload(nested(15)), 200},
		{"R44 nested too deeply", payload(nested(16)), 401},
		{"R44 objects nested too deeply", payload(goodPayload(env, `,"x":`+strings.Repeat(`{"x":`, 16)+`1`+strings.Repeat(`}`, 16))), 401},
		{"R44 too many members", claims(many), 401},
		{"R44 padding", env.Token(nil) + "=", 401},
		{"R28 R44 padding inside is not token68", segments[0] + "=." + segments[1] + "." + segments[2], 400},
		{"R44 another spelling of the same signature", respelled, 401},
		{"R44 standard base64", segments[0] + "." + segments[1] + "+/." + segments[2], 401},
		{"R102 typ oauth-id-jag+jwt", header(m{"typ": "oauth-id-jag+jwt"}), 401},
		{"R102 typ application/oauth-id-jag+jwt", header(m{"typ": "application/oauth-id-jag+jwt"}), 401},
		{"R102 typ OAuth-ID-JAG+JWT", header(m{"typ": "OAuth-ID-JAG+JWT"}), 401},
		{"R102 typ secevent+jwt", header(m{"typ": "secevent+jwt"}), 401},
		{"R102 typ client-authentication+jwt", header(m{"typ": "client-authentication+jwt"}), 401},
		{"R102 typ authorization-grant+jwt", header(m{"typ": "authorization-grant+jwt"}), 401},
		{"R102 typ oauth-authz-req+jwt", header(m{"typ": "oauth-authz-req+jwt"}), 401},
		{"R102 typ token-introspection+jwt", header(m{"typ": "token-introspection+jwt"}), 401},
		{"R102 typ txntoken+jwt", header(m{"typ": "txntoken+jwt"}), 401},
		{"R102 typ rt+jwt", header(m{"typ": "rt+jwt"}), 401},
		{"R102 typ application/jwt", header(m{"typ": "application/jwt"}), 401},
		{"R49 no kid", header(m{"kid": nil}), 401},
		{"R49 an empty kid", header(m{"kid": ""}), 401},
		{"R49 a path for a kid", header(m{"kid": "../../etc/passwd"}), 401},
		{"R49 a URL for a kid", header(m{"kid": "https://evil.example/key"}), 401},
		{"R49 a long kid", header(m{"kid": strings.Repeat("k", 300)}), 401},
		{"R49 a long header", header(m{"x": strings.Repeat("x", 5000)}), 401},
		{"R49 a large token", claims(m{"x": strings.Repeat("x", 11<<10)}), 200},
		{"R49 a token that is too large", claims(m{"x": strings.Repeat("x", 12<<10)}), 401},
	})
}

// TestR35JSONSerialization sends what jwx's jwt.Parse takes for a valid token: JSON serializations (RFC 7515 §7.2), some
// with claims outside of the signed part. JSON is not token68 (RFC 6750 §2.1), so the header itself is malformed.
func TestR35JSONSerialization(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	s := strings.Split(f.env.Token(nil), ".")
	forged := fmt.Sprintf(`"iss":%q,"aud":[%q],"sub":"usr_admin","exp":9999999999`, f.env.Issuer(), f.env.ResourceID())
	for name, document := range map[string]string{
		"flattened":               fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, s[0], s[1], s[2]),
		"flattened, outer claims": fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q,%s}`, s[0], s[1], s[2], forged),
		"general":                 fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, s[1], s[0], s[2]),
		"general, outer claims":   fmt.Sprintf(`{%s,"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, forged, s[1], s[0], s[2]),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := f.send(t, document); got.status != http.StatusBadRequest {
				t.Errorf("in the header as it is: status %d, want 400", got.status)
			}
			// As token68 it is one segment of base64url.
			if got := f.send(t, b64.EncodeToString([]byte(document))); got.status != http.StatusUnauthorized {
				t.Errorf("encoded: status %d, want 401", got.status)
			}
			if got := f.send(t, s[0]+"."+b64.EncodeToString([]byte(document))+"."+s[2]); got.status != http.StatusUnauthorized {
				t.Errorf("as the payload: status %d, want 401", got.status)
			}
		})
	}
}

// TestR35ShapeComesBeforeTheKeys has a malformed token under an unknown kid: it must not cause a fetch, nor be called
// anything but invalid while the environment is down.
func TestR35ShapeComesBeforeTheKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	s := strings.Split(f.env.Mint(mcpauthtest.Token{Header: m{"kid": "snk_unknown"}}), ".")
	for _, token := range []string{s[0] + "." + s[1] + ".+/", s[0] + "." + s[1] + "=." + s[2], s[0] + ".+/." + s[2], s[0] + "." + s[1] + "." + strings.Repeat("A", 2000)} {
		if d := authenticate(f.rs, token); d.Outcome != mcpauth.OutcomeInvalidToken && d.Outcome != mcpauth.OutcomeInvalidRequest {
			t.Errorf("%s", d.Outcome)
		}
	}
	if n := f.env.Requests(mcpauthtest.KeysPath); n != 0 {
		t.Errorf("%d fetches for malformed tokens", n)
	}
}

// TestR37HeaderKeysCauseNoRequest has keys, and places of keys, in the token's header. They must not be used, and cause no
// request.
func TestR37HeaderKeysCauseNoRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	evil := mcpauthtest.NewEnvironment()
	defer evil.Close()
	for name, header := range map[string]m{
		"jku": {"jku": evil.URL() + "/keys"},
		"x5u": {"x5u": evil.URL() + "/keys"},
		"jwk": {"jwk": evil.Keys().Current().PublicJWK()},
		"x5c": {"x5c": []string{"MIIB"}},
	} {
		if got := f.send(t, f.env.Mint(mcpauthtest.Token{Header: header})); got.status != http.StatusOK {
			t.Errorf("%s in a token with a good signature: status %d, want 200", name, got.status)
		}
		mcpauth.Unpace(f.rs) // otherwise the unknown key id waits for some seconds
		if got := f.insist(t, f.env.Mint(mcpauthtest.Token{Header: header, Key: evil.Keys().Current()})); got.status != http.StatusUnauthorized {
			t.Errorf("%s: status %d, want 401", name, got.status)
		}
	}
	if n := evil.Requests(mcpauthtest.KeysPath); n != 0 {
		t.Errorf("the address in the token was asked %d times", n)
	}
}

// TestR49LongKidCausesNoFetch has a kid that no key can have, because it is longer than 256 bytes.
func TestR49LongKidCausesNoFetch(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.send(t, f.env.Token(nil))
	before := f.env.Requests(mcpauthtest.KeysPath)
	f.send(t, f.env.Mint(mcpauthtest.Token{Header: m{"kid": strings.Repeat("k", 257)}}))
	if n := f.env.Requests(mcpauthtest.KeysPath); n != before {
		t.Errorf("%d fetches", n-before)
	}
}

// TestNothingIsKeptOfPooledMemory verifies other tokens in the memory in which the first one was verified: the first one's
// session stays what it was.
func TestNothingIsKeptOfPooledMemory(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.Cache.Disabled = true })
	first := authenticate(f.rs, f.env.Token(m{"sub": "usr_ada", "scope": "a", "oid": "org_a"})).Session
	for range 10 {
		authenticate(f.rs, f.env.Token(m{"sub": "usr_bob", "scope": "b", "oid": "org_b"}))
	}
	if first.UserID() != "usr_ada" || !first.HasScopes("a") || first.OrganizationID() != "org_a" || first.Claims()["sub"] != "usr_ada" {
		t.Errorf("ada's session became %s, %v", first.UserID(), first.Claims())
	}
}
