package keys

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

type transport func(*http.Request) *http.Response

func (f transport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req), nil }

// FuzzMetadataDocument checks that an accepted document means the same to encoding/json, that its keys are on the
// environment's origin for the HTTP client too, and that no redirect leads away from there.
func FuzzMetadataDocument(f *testing.F) {
	const environment = "https://env.example.com"
	issuers := []string{environment, environment + "/resources/res_1"}
	for _, uri := range []string{
		environment + "/keys", "HTTPS://ENV.example.com/keys", environment, environment + "?a#b", environment + ":443/keys", environment + ".evil.example/keys",
		"https://env.example.com@evil.example/keys", `https://env.example.com\\@evil.example/keys`, "//env.example.com/keys", "/keys", "http://env.example.com/keys", "",
	} {
		f.Add(`{"issuer":"https://env.example.com/resources/res_1","jwks_uri":"`+uri+`"}`, "")
		f.Add(`{"issuer":"https://env.example.com","jwks_uri":"https://env.example.com/keys"}`, uri)
	}
	for _, document := range []string{
		`{"issuer":"https://env.example.com","jwks_uri":"https://env.example.com/a","jwks_uri":"https://evil.example/b"}`, `[]`, `{}`, `{"issuer":null}`,
		`{"issuer":"https://evil.example","jwks_uri":"https://env.example.com/keys"}`, `{"issuer":"https://env.example.com","JWKS_URI":"https://env.example.com/keys"} `,
	} {
		f.Add(document, "")
	}
	f.Fuzz(func(t *testing.T, document, location string) {
		onEnvironment := func(u *url.URL) bool { // https://env.example.com:443 is the same origin, but no metadata writes it so
			return strings.EqualFold(u.Scheme, "https") && strings.EqualFold(u.Host, "env.example.com") && u.User == nil
		}
		hops := 0
		client := &http.Client{Transport: transport(func(req *http.Request) *http.Response {
			if !onEnvironment(req.URL) {
				t.Errorf("the location %q led to %s", location, req.URL)
			}
			resp := &http.Response{StatusCode: http.StatusOK, Request: req, Header: make(http.Header)}
			if hops++; location != "" && hops == 1 {
				resp.StatusCode = http.StatusFound
				resp.Header.Set("Location", location)
			}
			resp.Body = io.NopCloser(strings.NewReader(document))
			return resp
		})}
		d := newDiscovery(Source{EnvironmentURL: environment, ResourceID: "res_1", Issuers: issuers, Client: client, Quote: strconv.Quote})
		uri, err := d.fetchMetadata(context.Background(), environment+"/.well-known/openid-configuration")
		if err != nil {
			return
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(document), &fields); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", document, err)
		}
		issuer, _ := fields["issuer"].(string)
		if !slices.Contains(issuers, issuer) || fields["jwks_uri"] != uri {
			t.Errorf("%q was accepted with the address %q", document, uri)
		}
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, uri, nil)
		if err != nil {
			t.Fatalf("net/http can't fetch %q: %v", uri, err)
		}
		if !onEnvironment(req.URL) {
			t.Errorf("%q is fetched from %s", uri, req.URL)
		}
	})
}

// FuzzInternalAddress checks that whatever address a document names is asked for at the internal one, with the same path and
// query, or not at all.
func FuzzInternalAddress(f *testing.F) {
	for _, seed := range []string{
		"https://env.example.com/keys", "https://ENV.example.com/a%2Fb?x=%20#f", "https://env.example.com", "https://env.internal:8443/keys", "https://evil.example/keys",
		"https://env.example.com@evil.example/", "https://user@env.example.com/", "//env.example.com/keys", "/keys", "https://env.example.com:443/keys", "https:env.example.com/keys", "https://acme.example/keys", "https://env.example.com//evil.example",
	} {
		f.Add(seed)
	}
	d := newDiscovery(Source{EnvironmentURL: "https://env.example.com", InternalURL: "https://env.internal:8443", Quote: strconv.Quote})
	f.Fuzz(func(t *testing.T, uri string) {
		got, err := d.reachable("https://acme.example/resources/res_1", uri)
		if err != nil {
			return
		}
		named, err := url.Parse(uri)
		if err != nil {
			t.Fatalf("%q was accepted: %v", uri, err)
		}
		asked, err := url.Parse(got)
		if err != nil {
			t.Fatalf("%q became %q: %v", uri, got, err)
		}
		if asked.Scheme != "https" || !strings.EqualFold(asked.Host, "env.internal:8443") || asked.User != nil {
			t.Errorf("%q became %q", uri, got)
		}
		if asked.Path != named.Path || asked.RawQuery != named.RawQuery {
			t.Errorf("%q became %q", uri, got)
		}
	})
}

// FuzzKeySet checks that an accepted key is fit for RS256, and is the key that encoding/json reads under the same kid.
func FuzzKeySet(f *testing.F) {
	n := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xfb", minRSABits/8)))
	short := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xfb", minRSABits/8-1)))
	long := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xfb", maxRSABits/8+1)))
	for _, members := range []string{
		`"n":"` + n + `","e":"AQAB"`, `"n":"` + n + `","e":"AQAB","use":"sig","alg":"RS256"`, `"n":"` + n + `","e":"AQAB","use":"enc"`, `"n":"` + short + `","e":"AQAB"`,
		`"n":"` + long + `","e":"AQAB"`, `"n":"` + n + `","e":"AQ"`, `"n":"` + n + `","e":"Ag"`, `"n":"` + n + `","e":"AQAB","kid":"b"`, `"n":"` + n + `","e":"AQAB","N":"AQAB","KTY":"EC"`,
		`"n":"` + n + `","e":"AQAB","alg":"PS256"`, `"n":"AA` + n[2:] + `","e":"AQAB","key_ops":["verify"]`, `"n":"` + n + `=","e":"AQAB"`, `"n":"` + n + `","e":"AQAB","d":"AQAB"`,
		`"n":"` + n + `","e":"AAAAAAAAAAAB"`, `"n":"` + n + `","e":"_____w"`,
	} {
		f.Add(`{"keys":[{"kty":"RSA","kid":"a",` + members + `}]}`)
	}
	one := `{"kty":"RSA","kid":"a","n":"` + n + `","e":"AQAB"}`
	for _, keys := range []string{``, one + `,` + strings.Replace(one, "AQAB", "Aw", 1), `null,1,[],{},` + one, `{"kty":"EC","kid":"a","crv":"P-256","x":"AA","y":"AA"},` + one} {
		f.Add(`{"keys":[` + keys + `]}`)
	}
	f.Add(`{"keys":{}}`)
	f.Add(`{"keys":[` + one + `],"keys":[]}`)
	f.Fuzz(func(t *testing.T, document string) {
		keys, err := decodeKeySet(document)
		if err != nil {
			return
		}
		var set map[string]any
		if err := json.Unmarshal([]byte(document), &set); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", document, err)
		}
		entries, ok := set["keys"].([]any)
		if !ok {
			t.Fatalf("%q has no keys", document)
		}
		for kid, all := range keys {
			if len(all) == 0 || len(all) > maxKeysPerID {
				t.Errorf("%d keys under %q", len(all), kid)
			}
			for _, key := range all {
				if bits := key.N.BitLen(); bits < 2048 || bits > maxRSABits || key.E < 3 || key.E%2 == 0 || kid == "" || len(kid) > MaxIDBytes {
					t.Errorf("%q was accepted with %d bits and the exponent %d", kid, bits, key.E)
				}
				published := slices.ContainsFunc(entries, func(entry any) bool {
					fields, _ := entry.(map[string]any)
					return fields["kty"] == "RSA" && fields["kid"] == kid && (fields["use"] == nil || fields["use"] == "sig" || fields["use"] == "") &&
						(fields["alg"] == nil || fields["alg"] == "RS256" || fields["alg"] == "") && fields["d"] == nil &&
						sameInteger(fields["n"], key.N) && sameInteger(fields["e"], big.NewInt(int64(key.E)))
				})
				if !published {
					t.Errorf("%q does not have the key that was accepted under %q", document, kid)
				}
			}
		}
	})
}

// sameInteger reports whether a member is the base64 of n, in any base64 alphabet: jwx accepts all of them.
func sameInteger(member any, n *big.Int) bool {
	text, _ := member.(string)
	text = strings.TrimRight(strings.NewReplacer("+", "-", "/", "_", "\r", "", "\n", "").Replace(text), "=")
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	return err == nil && new(big.Int).SetBytes(decoded).Cmp(n) == 0
}
