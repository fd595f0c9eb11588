package differential_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A reason explains why core's verdict differs from a peer's.
type reason struct {
	name     string
	peers    string // the peers that differ; the test checks that each of them does
	weAccept bool   // core accepts and the peer refuses; if false, the reverse
	why      string
	applies  func(*sample) bool
}

// reasons lists all known reasons. The first one that applies is counted.
var reasons = []reason{
	{
		"a member twice", "golang-jwt", false,
		"encoding/json keeps the last one, and other programs the first: two readers of one token must not read different claims.",
		func(s *sample) bool {
			return strings.Contains(strings.Join(s.mutations, "\n"), " twice") || s.did(`header x={"a":1,"a":2}`)
		},
	},
	{
		"a member twice, inside another claim", "golang-jwt, go-jose", false,
		"As above. go-jose looks for repeated members only in what it decodes.",
		func(s *sample) bool { return s.did(`claims custom_claims={"a":1,"a":2}`, `claims x={"a":{"b"`) },
	},
	{
		"broken Unicode", "golang-jwt, go-jose", false,
		"Bytes that are not UTF-8 and halves of surrogate pairs become U+FFFD there, so that different subjects become one.",
		func(s *sample) bool {
			escaped := func(text []byte) bool {
				return bytes.Contains(text, []byte(`\ud800`)) || bytes.Contains(text, []byte(`\ude00\ud83d`))
			}
			return !utf8.Valid(s.header) || !utf8.Valid(s.payload) || escaped(s.header) || escaped(s.payload)
		},
	},
	{
		"a claim of another type", "golang-jwt, go-jose", false,
		"The peers check the types of registered claims; core also checks scopes and client_id.",
		func(s *sample) bool {
			return s.did(
				"claims client_id=1", "claims client_id=[",
				"claims scope=1", `claims scope=["a",1]`, "claims scope={", "claims scopes=[[", "claims scopes=false", "claims scp=1",
			)
		},
	},
	{
		"jti of another type", "go-jose", true,
		"Nothing depends on it, so core treats it as absent. golang-jwt does not look at it either.",
		func(s *sample) bool { return s.did("claims jti=1") },
	},
	{
		"a claim of other tokens", "golang-jwt, go-jose", false,
		"ID tokens, logout tokens and security events are not access tokens. The peers leave that to their callers.",
		func(s *sample) bool { return s.did(`claims nonce="n"`, "claims events={", "claims at_hash=") },
	},
	{
		"bound to a key", "golang-jwt, go-jose", false,
		"A token with cnf is not a bearer token (RFC 7800 §3). The peers leave that to their callers.",
		func(s *sample) bool { return s.did("claims cnf={", `claims cnf="`) },
	},
	{
		"a date out of range", "golang-jwt, go-jose", false,
		"Before 1970 or after 9999. The peers convert to int64, where the result for a number that is too large depends on the processor.",
		func(s *sample) bool {
			return anyDate(s, func(_ string, seconds float64) bool { return seconds < 0 || seconds > 253402300799 })
		},
	},
	{
		"nbf or iat with a fraction", "golang-jwt, go-jose", false,
		"The peers cut the fraction off, and so accept the token up to a second early.",
		func(s *sample) bool { return fractional(s, "nbf", "iat") },
	},
	{
		"exp with a fraction", "golang-jwt", true,
		"golang-jwt cuts the fraction off, and so ends the token up to a second early.",
		func(s *sample) bool { return fractional(s, "exp") },
	},
	{
		"exp at the last instant", "go-jose", false,
		"Current time must be before exp (RFC 7519 §4.1.4). go-jose takes it when they are equal.",
		func(s *sample) bool {
			return anyDate(s, func(name string, seconds float64) bool {
				return name == "exp" && int64(seconds) == now.Unix()-int64(leeway.Seconds())
			})
		},
	},
	{
		"a date that is null", "golang-jwt", true,
		"null counts as absent for core, as for go-jose. exp is required, so this is about nbf and iat.",
		func(s *sample) bool { return s.did("claims nbf=null", "claims iat=null") },
	},
	{
		"a header member that is null", "go-jose", false,
		"go-jose treats it as absent. crit must be absent here, and typ has to be a string (RFC 7515 §4.1.9).",
		func(s *sample) bool { return s.did("header typ=null", "header crit=null") },
	},
	{
		"a header member that is not ours", "go-jose", true,
		"Core ignores members that name or hold a key, and extensions that are not marked as critical (RFC 7515 §4). go-jose decodes them, and refuses tokens in which it can't; b64 it refuses without crit.",
		func(s *sample) bool { return s.did("header jwk=", "header x5c=", "header b64=", "header nonce=") },
	},
	{
		"a number beyond float64", "go-jose", false,
		"It is valid JSON (RFC 8259 §6), but Session.Claims could not return it. go-jose does not look at members that it has no field for.",
		func(s *sample) bool { return s.did("claims x=1e999") },
	},
	{
		"too many members", "golang-jwt, go-jose", false,
		"Core accepts at most 32 in a header and 256 in claims, because the search for repeated ones takes time that grows with the square.",
		func(s *sample) bool { return s.did("header of 40 members", "claims of 300 members") },
	},
	{
		"nested too deeply", "golang-jwt, go-jose", false,
		"Core accepts at most 16 levels, the peers 10,000.",
		func(s *sample) bool {
			deep := []byte(strings.Repeat("[", 16)) // the object around it makes one more
			return bytes.Contains(s.header, deep) || bytes.Contains(s.payload, deep)
		},
	},
	{
		"too long", "golang-jwt, go-jose", false,
		"Core accepts at most 16 KiB for a token, and 4 KiB for its header. The peers have no limit.",
		func(s *sample) bool { return len(s.token) > 16<<10 || strings.IndexByte(s.token, '.') > 4<<10 },
	},
	{
		"a line break in base64", "golang-jwt, go-jose", false,
		"encoding/base64 ignores it, so that one token has many spellings. No HTTP header carries it either.",
		func(s *sample) bool { return strings.ContainsAny(s.token, "\r\n") },
	},
	{
		"bits left over in base64", "go-jose", false,
		"One token has one spelling. golang-jwt was told to be strict, and go-jose signs what it encodes again.",
		func(s *sample) bool {
			return strings.Contains(strings.Join(s.mutations, "\n"), " with bits left over") || s.did("shape a character changed")
		},
	},
}

// anyDate reports whether a date of the payload matches.
func anyDate(s *sample, matches func(name string, seconds float64) bool) bool {
	var claims map[string]json.RawMessage
	if json.Unmarshal(s.payload, &claims) != nil {
		return false
	}
	return slices.ContainsFunc([]string{"exp", "nbf", "iat"}, func(name string) bool {
		seconds, err := strconv.ParseFloat(string(claims[name]), 64)
		return err == nil && matches(name, seconds)
	})
}

// fractional reports whether one of the dates is not whole.
func fractional(s *sample, names ...string) bool {
	return anyDate(s, func(name string, seconds float64) bool {
		return slices.Contains(names, name) && seconds != float64(int64(seconds))
	})
}
