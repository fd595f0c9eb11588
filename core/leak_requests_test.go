package mcpauth_test

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// A leakRequest is a request that must be refused, and what of it must not be seen again.
type leakRequest struct {
	name          string
	authorization []string
	origin        string
	query, cookie string
	good          bool // but for the world, it would get in

	pieces []string // 16 characters in a row of one of these are a leak
	never  []string // neither in an answer nor in the log
	signed []string // iss and aud of a token whose signature holds: in the log, but in no answer
}

// marker returns a string that appears nowhere by chance. It is an id as well as a host name.
func marker(kind string) string { return "leak" + kind + strings.ToLower(rand.Text()[:20]) }

// leakRequests returns one request of each kind, with markers of its own in all places.
func leakRequests(env *mcpauthtest.Environment, forger *mcpauthtest.Key, now time.Time) []*leakRequest {
	key := env.Keys().Current()
	var all []*leakRequest
	add := func(name string, authorization ...string) *leakRequest {
		r := &leakRequest{name: name, authorization: authorization, query: marker("query"), cookie: marker("cookie")}
		r.never = append(r.never, r.query, r.cookie)
		for _, line := range authorization {
			r.pieces = append(r.pieces, strings.FieldsFunc(line, func(c rune) bool { return strings.ContainsRune(" .,\"", c) })...)
		}
		all = append(all, r)
		return r
	}

	// mint returns a token full of markers, with changes on top. Those of iss and aud are in front.
	mint := func(t mcpauthtest.Token) (token string, markers []string) {
		mark := func(kind string) string {
			markers = append(markers, marker(kind))
			return markers[len(markers)-1]
		}
		iss, aud := mark("iss"), mark("aud")
		claims := m{
			"iss": env.Issuer(), "aud": []string{env.ResourceID(), aud},
			"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(5 * time.Minute).Unix(),
			"other_iss": "https://" + iss,
		}
		for _, name := range []string{"sub", "email", "name", "scope", "client_id", "sid", "jti", "oid", "xoid", "xuid", "custom"} {
			claims[name] = mark(strings.ReplaceAll(name, "_", ""))
		}
		claims["roles"], claims["permissions"] = []string{mark("role")}, []string{mark("permission")}
		header := m{
			mark("member"): mark("value"), "jku": "http://" + mark("jku") + ".example/keys", "x5u": "http://" + mark("xfu") + ".example",
		}
		for name, value := range t.Claims {
			switch value {
			case "iss":
				value = "https://" + iss
			case "aud":
				value = aud
			}
			claims[name] = value
		}
		for name, value := range t.Header {
			if value == "marker" {
				value = mark("header")
			}
			header[name] = value
		}
		t.Claims, t.Header = claims, header
		return env.Mint(t), markers
	}
	forged := func(name string, t mcpauthtest.Token) {
		token, markers := mint(t)
		r := add(name, "Bearer "+token)
		r.never = append(r.never, markers...)
	}
	signed := func(name string, claims m) *leakRequest {
		token, markers := mint(mcpauthtest.Token{Claims: claims})
		r := add(name, "Bearer "+token)
		r.signed, r.never = markers[:2], append(r.never, markers[2:]...)
		return r
	}

	signed("a good token", nil).good = true
	signed("another issuer", m{"iss": "iss"})
	signed("another audience", m{"aud": "aud"})
	signed("expired", m{"exp": 1})
	signed("not valid yet", m{"nbf": now.Add(time.Hour).Unix()})
	signed("issued in the future", m{"iat": now.Add(time.Hour).Unix()})
	signed("no subject", m{"sub": nil})
	signed("bound", m{"cnf": m{"jkt": "x"}})
	signed("no expiry", m{"exp": nil})
	signed("claims of wrong types", m{"sub": []int{1}})

	forged("another's key under a known kid", mcpauthtest.Token{Key: forger, Header: m{"kid": key.ID()}})
	forged("an unknown kid", mcpauthtest.Token{Key: forger, Header: m{"kid": "marker"}})
	forged("another issuer, forged", mcpauthtest.Token{Key: forger, Header: m{"kid": key.ID()}, Claims: m{"iss": "iss"}})
	forged("another audience, forged", mcpauthtest.Token{Key: forger, Header: m{"kid": key.ID()}, Claims: m{"aud": "aud"}})
	forged("expired, forged", mcpauthtest.Token{Key: forger, Header: m{"kid": key.ID()}, Claims: m{"exp": 1}})
	forged("alg none", mcpauthtest.Token{Header: m{"alg": "none"}})
	forged("alg of the attacker", mcpauthtest.Token{Header: m{"alg": "marker"}})
	forged("typ of the attacker", mcpauthtest.Token{Header: m{"typ": "marker"}})
	forged("crit", mcpauthtest.Token{Header: m{"crit": []string{"b64"}}})
	forged("a kid too long", mcpauthtest.Token{Header: m{"kid": strings.Repeat(marker("kid"), 12)}})
	forged("a header too long", mcpauthtest.Token{Header: m{"x": strings.Repeat(marker("long"), 200)}})
	forged("a token too long", mcpauthtest.Token{Claims: m{"x": strings.Repeat(marker("long"), 600)}})

	// The markers of these are in what is not JSON, or not a token.
	raw := func(name string, build func(mark func(string) string) string) {
		var markers []string
		line := build(func(kind string) string {
			markers = append(markers, marker(kind))
			return markers[len(markers)-1]
		})
		r := add(name, line)
		r.never = append(r.never, markers...)
	}
	good := func() string { return env.Token(m{"sub": marker("sub")}) }
	raw("a payload that is not JSON", func(mark func(string) string) string {
		return "Bearer " + env.Mint(mcpauthtest.Token{RawPayload: []byte("{" + mark("payload"))})
	})
	raw("a member twice", func(mark func(string) string) string {
		return "Bearer " + env.Mint(mcpauthtest.Token{RawPayload: []byte(`{"sub":"` + mark("sub") + `","sub":"` + mark("sub") + `"}`)})
	})
	raw("a header that is not JSON", func(mark func(string) string) string {
		return "Bearer " + env.Mint(mcpauthtest.Token{RawHeader: []byte(mark("header"))})
	})
	raw("a kid twice", func(mark func(string) string) string {
		return "Bearer " + env.Mint(mcpauthtest.Token{RawHeader: []byte(`{"alg":"RS256","kid":"` + mark("kid") + `","kid":"` + mark("kid") + `"}`)})
	})
	raw("not base64", func(mark func(string) string) string {
		return "Bearer " + mark("a") + "=." + mark("b") + "." + mark("c")
	})
	raw("five segments", func(mark func(string) string) string { return "Bearer " + good() + "." + mark("d") + "." + mark("e") })
	raw("the JSON serialization", func(mark func(string) string) string {
		return `Bearer {"payload":"` + mark("payload") + `","signature":"` + mark("signature") + `","protected":"` + mark("protected") + `"}`
	})
	raw("opaque", func(mark func(string) string) string { return "Bearer " + mark("opaque") })
	raw("half a token", func(func(string) string) string { token := good(); return "Bearer " + token[:len(token)/2] })
	raw("two tokens in a line", func(mark func(string) string) string { return "Bearer " + good() + " " + mark("second") })
	raw("quoted", func(func(string) string) string { return `Bearer "` + good() + `"` })
	raw("no space", func(func(string) string) string { return "Bearer" + good() })
	raw("a tab", func(func(string) string) string { return "Bearer\t" + good() })
	raw("an equals sign", func(func(string) string) string { return "Bearer=" + good() })
	raw("no scheme", func(func(string) string) string { return good() })
	raw("Basic", func(mark func(string) string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(mark("user")+":"+mark("password")))
	})
	raw("DPoP", func(func(string) string) string { return "DPoP " + good() })
	raw("a scheme of the attacker", func(mark func(string) string) string { return mark("scheme") + " " + good() })
	add("two lines", "Bearer "+good(), "Bearer "+good())
	add("no header")
	foreign := add("another origin", "Bearer "+good())
	foreign.origin = "https://" + marker("origin") + ".example"
	foreign.never = append(foreign.never, foreign.origin[len("https://"):])
	return all
}
