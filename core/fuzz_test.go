package mcpauth

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzAuthorization checks that a header line is accepted in one form only, and that what comes out of it is in it.
func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{"", "Bearer", "Bearer ", "bearer abc", "Bearer  a.b-c_d~e+f/g==", "Bearer a b", "Bearer a,b", "Bearer\tx", " Bearer x ", "Basic x", "DPoP x", "Bearerx y", "Bearer =", "Bearer a=b", "Bearer ä"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		token, why := bearerToken([]string{line})
		switch why {
		case nil:
			if token == "" || !strings.HasSuffix(strings.TrimRight(line, " \t"), " "+token) {
				t.Errorf("%q gave the token %q", line, token)
			}
			scheme, _, _ := strings.Cut(strings.TrimLeft(line, " \t"), " ")
			if !strings.EqualFold(scheme, "Bearer") {
				t.Errorf("%q passed for Bearer", line)
			}
			if isToken68(token) != matchesToken68(token) {
				t.Errorf("isToken68(%q) = %v", token, isToken68(token))
			}
		case refusalNoCredentials, refusalMalformed:
			if token != "" {
				t.Errorf("%q is refused (%v), with the token %q", line, why, token)
			}
		default:
			t.Errorf("refused: %v", why)
		}
		if _, why := bearerToken([]string{line, line}); why != refusalMalformed {
			t.Errorf("two lines: %v", why)
		}
	})
}

// matchesToken68 is the grammar of RFC 9110 §11.2, spelled out.
func matchesToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/") == ""
}

// FuzzTokenHeader checks that an accepted header means the same to encoding/json, and has one spelling as base64url.
func FuzzTokenHeader(f *testing.F) {
	for _, seed := range []string{
		`{"alg":"RS256","kid":"snk_1","typ":"JWT"}`, `{"alg":"RS256","kid":"snk_1","kid":"snk_2"}`, `{"alg":"none"}`, `{}`, `[]`,
		`{"alg":"RS256","kid":"\u0073nk","typ":"at+jwt","jwk":{"kty":"RSA"}}`, `{"alg":"RS256","kid":"k","crit":["b64"]}`,
	} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(seed)))
	}
	f.Fuzz(func(t *testing.T, segment string) {
		kid, why := new(scratch).decodeHeader(segment)
		if why != nil {
			return
		}
		document, err := base64.RawURLEncoding.DecodeString(segment)
		if err != nil || base64.RawURLEncoding.EncodeToString(document) != segment {
			t.Fatalf("%q is not canonical base64url", segment)
		}
		var header map[string]any
		if err := json.Unmarshal(document, &header); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", document, err)
		}
		typ, _ := header["typ"].(string)
		if header["alg"] != "RS256" || header["kid"] != kid || header["crit"] != nil || header["typ"] != nil && !isAccessTokenType(typ) {
			t.Errorf("%q was accepted with kid %q", document, kid)
		}
	})
}

// FuzzClaims checks that accepted claims mean the same to encoding/json, which on documents without repeated members and
// with exact names is a fair judge.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"iss":"https://e","aud":["res_1","x"],"sub":"usr_1","client_id":"m2m_1","scope":"a b","exp":1800000000,"iat":1.5e9,"oid":"org_1"}`,
		`{"aud":"res_1","exp":1800000000.25,"scopes":["a"],"scp":"b","roles":["r"],"permissions":[],"custom_claims":{"org_id":"o"},"cnf":{}}`,
		`{"iss":"\u00e9\ud83d\ude00","sub":null,"x":[1,-0.5e+3,true,false,null,{"y":{}}]}`, `{"iss":"a","iss":"b"}`, `{"exp":9223372036854775808}`, `{"a":"\ud800"}`, ` {} `,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document string) {
		s, err := decodeClaims(document)
		if err != nil {
			return
		}
		if !utf8.ValidString(document) {
			t.Fatalf("%q is not UTF-8", document)
		}
		var claims map[string]any
		if err := json.Unmarshal([]byte(document), &claims); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", document, err)
		}
		text := func(name string) string {
			v, _ := claims[name].(string)
			return v
		}
		if s.issuer != text("iss") || s.subject != text("sub") || s.clientID != text("client_id") || s.sessionID != text("sid") || s.tokenID != text("jti") {
			t.Errorf("%q: got %+v", document, s)
		}
		if exp, ok := claims["exp"].(float64); ok != (s.has&hasExpiry != 0) || ok && s.expiresAt != int64(exp*1000) {
			t.Errorf("%q: exp %d", document, s.expiresAt)
		}
		var audience []string
		switch aud := claims["aud"].(type) {
		case string:
			audience = []string{aud}
		case []any:
			for _, a := range aud {
				a, _ := a.(string)
				audience = append(audience, a)
			}
		}
		if !reflect.DeepEqual(audience, s.audience) {
			t.Errorf("%q: aud %q", document, s.audience)
		}
		if !reflect.DeepEqual(s.Claims(), claims) {
			t.Errorf("%q: Claims differ", document)
		}
	})
}
