package differential_test

import (
	"crypto"
	"crypto/hmac"
	cryptorand "crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// A member is one member of a JSON object: its name without quotes, and its value as JSON text.
type member struct{ name, value string }

type object []member

func (o object) String() string {
	var parts []string
	for _, m := range o {
		parts = append(parts, `"`+m.name+`":`+m.value)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// set replaces a member, or adds one.
func (o *object) set(name, value string) {
	if i := slices.IndexFunc(*o, func(m member) bool { return m.name == name }); i >= 0 {
		(*o)[i].value = value
		return
	}
	*o = append(*o, member{name, value})
}

// repeat adds a member again, if it is there.
func (o *object) repeat(name string) {
	if i := slices.IndexFunc(*o, named(name)); i >= 0 {
		*o = append(*o, (*o)[i])
	}
}

func (o *object) remove(name string) {
	*o = slices.DeleteFunc(*o, func(m member) bool { return m.name == name })
}

// A draft is a token that is being made.
type draft struct {
	env  *mcpauthtest.Environment
	rand *rand.Rand

	header, claims object
	documents      []func(header, payload []byte) ([]byte, []byte) // change what is signed
	sign           func(input string) []byte
	tokens         []func(token string) string // change what was signed
}

func newDraft(env *mcpauthtest.Environment, r *rand.Rand) *draft {
	key := env.Keys().Current()
	d := &draft{
		env: env, rand: r, sign: rs256(key),
		header: object{{"alg", `"RS256"`}, {"kid", quote(key.ID())}, {"typ", `"JWT"`}},
		claims: object{
			{"iss", quote(env.Issuer())},
			{"aud", `["` + env.ResourceID() + `"]`},
			{"sub", quote(fmt.Sprintf("usr_%d", r.IntN(1e6)))},
			{"client_id", `"m2m_1"`},
			{"iat", fmt.Sprint(now.Unix() - 60)},
			{"exp", fmt.Sprint(now.Unix() + 240)},
		},
	}
	return d
}

func quote(s string) string { return `"` + s + `"` }

func (d *draft) build() *sample {
	header, payload := []byte(d.header.String()), []byte(d.claims.String())
	for _, change := range d.documents {
		header, payload = change(header, payload)
	}
	input := encode(header) + "." + encode(payload)
	token := input + "." + encode(d.sign(input))
	for _, change := range d.tokens {
		token = change(token)
	}
	return &sample{header: header, payload: payload, token: token}
}

var encode = base64.RawURLEncoding.EncodeToString

func rs256(key *mcpauthtest.Key) func(string) []byte {
	return func(input string) []byte {
		digest := sha256.Sum256([]byte(input))
		return must(key.Signer().Sign(nil, digest[:], crypto.SHA256))
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A mutation is one way to change a good token. The name of a broken one says what it breaks. The harmless ones are there
// because a verifier could mistake them for broken.
type mutation struct {
	name  string
	apply func(*draft)
}

var forger = mcpauthtest.NewKey("snk_forged")

// mutations returns all of them: those that put one value into one place, and more complicated ones.
func mutations(env *mcpauthtest.Environment) []mutation {
	var all []mutation
	add := func(name string, apply func(*draft)) { all = append(all, mutation{name, apply}) }
	for name, values := range map[string][]string{
		"alg": {`"none"`, `"None"`, `"HS256"`, `"PS256"`, `"RS384"`, `"ES256"`, `"EdDSA"`, `"rs256"`, `"RS256 "`, `""`, `null`, `1`, `["RS256"]`, `"\u0052S256"`},
		"typ": {`"jwt"`, `"at+jwt"`, `"AT+JWT"`, `"application/at+jwt"`, `"Application/AT+JWT"`, `"application/jwt"`, `"JWS"`, `"logout+jwt"`, `"dpop+jwt"`, `"id_token"`, `"JWT "`, `""`, `null`, `1`, `["JWT"]`},
		"kid": {`"snk_unknown"`, `"SNK"`, `""`, `null`, `1`, `["snk"]`, `"../keys"`, quote(strings.Repeat("k", 300)), quote(`\u0073` + env.Keys().Current().ID()[1:]), quote(" " + env.Keys().Current().ID())},
		"crit": {
			`["exp"]`, `["b64"]`, `[]`, `null`, `"exp"`, `[""]`, `{}`,
		},
		"jku": {`"https://evil.example/keys"`, `1`}, "x5u": {`"https://evil.example/cert"`}, "x5c": {`[]`, `["AA"]`, `"AA"`, `null`}, "jwk": {`{}`, `null`, `"x"`, `{"kty":"oct","k":"AA"}`},
		"cty": {`"JWT"`, `1`}, "zip": {`"DEF"`}, "b64": {`false`, `true`}, "nonce": {`"n"`, `1`}, "ALG": {`"none"`}, "Kid": {`"snk_unknown"`}, "TYP": {`"logout+jwt"`}, "CRIT": {`["exp"]`},
		"url": {`"https://e"`}, "x": {`"\ud800"`, "\"\xff\"", "\"\x00\"", `"\u0000"`, `"é"`, `{"a":1,"a":2}`, nested(12), nested(20), nested(12_000 / 10), `01`, `1e999`, `nul`, `'x'`, `[1,]`, quote(strings.Repeat("x", 5000))},
	} {
		for _, value := range values {
			add("header "+name+"="+short(value), func(d *draft) { d.header.set(name, value) })
		}
	}
	claimValues := map[string][]string{
		"iss": {quote(env.URL()), quote(env.URL() + "/"), quote(env.Issuer() + "/"), quote(strings.ToUpper(env.Issuer())), quote(env.URL() + "/resources/res_other"), `"https://evil.example"`, `""`, `null`, `1`, `["` + env.Issuer() + `"]`, quote(`\u0068` + env.Issuer()[1:]), quote(strings.ReplaceAll(env.Issuer(), "/", `\/`))},
		"aud": {`"res_test"`, `["x","res_test"]`, `["res_test","res_test"]`, `[]`, `[""]`, `""`, `null`, `1`, `[null,"res_test"]`, `["res_test",1]`, `[["res_test"]]`, `{"res_test":1}`, `"res_tes"`, `"res_test2"`, `"RES_TEST"`, `"res_test "`, `"x res_test"`, `"res\u005ftest"`, `true`},
		"sub": {`""`, `null`, `1`, `" "`, `["usr_1"]`, `"\u0000"`, `"é"`, `"\u00e9"`, `"\ud83d\ude00"`, `"\ud800"`, `"\ude00\ud83d"`, "\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"a\nb\"", `{}`, quote(strings.Repeat("u", 3000))},
		"cnf": {`{"jkt":"x"}`, `{}`, `"x"`, `null`}, "client_id": {`1`, `null`, `""`, `["x"]`}, "sid": {`1`, `null`}, "jti": {`1`, `"j"`}, "oid": {`1`, `"org_1"`, `null`}, "org_id": {`{}`, `"o"`}, "xoid": {`true`}, "xuid": {`[]`, `"u"`},
		"scope": {`"a b"`, `""`, `1`, `null`, `["a","b"]`, `["a",1]`, `{"a":1}`}, "scopes": {`["a"]`, `"a"`, `[[]]`, `false`}, "scp": {`"a"`, `1`, `["a"]`}, "roles": {`"r"`, `["r"]`, `[1]`, `null`}, "permissions": {`{}`, `[]`},
		"nonce": {`"n"`, `null`}, "events": {`{}`, `null`}, "at_hash": {`"x"`, `1`, `null`},
		"custom_claims": {`{"org_id":"o"}`, `{"org_id":1}`, `[]`, `1`, `{"a":1,"a":2}`, `null`}, "ISS": {`"https://evil.example"`}, "Exp": {`1`}, "AUD": {`"x"`}, "Sub": {`""`}, "CNF": {`{}`}, "act": {`{"sub":"x"}`},
		"x": {`"\ud800"`, "\"\xff\"", "\"\x00\"", `{"a":{"b":1,"b":2}}`, nested(12), nested(20), nested(1200), nested(11_000), `01`, `1.`, `.5`, `+1`, `-0`, `1e5`, `1e999`, `NaN`, `Infinity`, `tru`, `'x'`, `[1,]`, `{"a":1,}`, `/**/1`, `"\x"`, quote(strings.Repeat("x", 12_500)), quote(strings.Repeat("x", 8000))},
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		claimValues[name] = []string{
			`null`, `"` + fmt.Sprint(now.Unix()+60) + `"`, `true`, `[]`, `{}`, `0`, `-0`, `-1`, `0.5`, `1.75e9`, `17e8`, `1e400`, `1e20`, `-1e20`, `253402300799`, `253402300800`, `9223372036854775807`, `9223372036854775808`, `18446744073709551616`, `1e-400`, `0x7fffffff`, `01790000000`,
		}
	}
	for name, values := range claimValues {
		for _, value := range values {
			add("claims "+name+"="+short(value), func(d *draft) { d.claims.set(name, value) })
		}
	}
	slices.SortFunc(all, func(a, b mutation) int { return strings.Compare(a.name, b.name) }) // the order of maps is random

	for _, name := range []string{"alg", "kid", "typ"} {
		add("header "+name+" absent", func(d *draft) { d.header.remove(name) })
		add("header "+name+" twice, alike", func(d *draft) { d.header.repeat(name) })
	}
	add("header alg twice, none first", func(d *draft) { d.header = append(object{{"alg", `"none"`}}, d.header...) })
	add("header alg twice, none last", func(d *draft) { d.header = append(d.header, member{`\u0061lg`, `"none"`}) })
	add("header kid twice, another first", func(d *draft) { d.header = append(object{{"kid", `"snk_unknown"`}}, d.header...) })
	add("header typ twice, another first", func(d *draft) { d.header = append(object{{"typ", `"logout+jwt"`}}, d.header...) })
	add("header x twice", func(d *draft) { d.header = append(d.header, member{"x", "1"}, member{"x", "2"}) })
	add("header of 40 members", func(d *draft) { d.header = append(d.header, many(37)...) })
	for _, name := range []string{"iss", "aud", "sub", "exp", "iat"} {
		add("claims "+name+" absent", func(d *draft) { d.claims.remove(name) })
		add("claims "+name+" twice, alike", func(d *draft) { d.claims.repeat(name) })
	}
	add("claims iss twice, another first", func(d *draft) { d.claims = append(object{{"iss", `"https://evil.example"`}}, d.claims...) })
	add("claims iss twice, another last", func(d *draft) { d.claims = append(d.claims, member{"iss", `"https://evil.example"`}) })
	add("claims sub twice, escaped", func(d *draft) { d.claims = append(d.claims, member{`s\u0075b`, `"usr_admin"`}) })
	add("claims exp twice, past first", func(d *draft) { d.claims = append(object{{"exp", "1"}}, d.claims...) })
	add("claims of 300 members", func(d *draft) { d.claims = append(d.claims, many(295)...) })
	add("claims in another order", func(d *draft) {
		d.rand.Shuffle(len(d.claims), func(i, j int) { d.claims[i], d.claims[j] = d.claims[j], d.claims[i] })
	})
	for _, name := range []string{"exp", "nbf", "iat"} {
		near := func(d *draft) int64 {
			return now.Unix() + map[string]int64{"exp": -30, "nbf": 30, "iat": 30}[name] + int64(d.rand.IntN(3)) - 1
		}
		add("claims "+name+" near its limit", func(d *draft) { d.claims.set(name, fmt.Sprint(near(d))) })
		add("claims "+name+" near its limit, fraction", func(d *draft) { d.claims.set(name, fmt.Sprintf("%d.%03d", near(d), d.rand.IntN(1000))) })
		add("claims "+name+" near its limit, exponent", func(d *draft) { d.claims.set(name, fmt.Sprintf("%de-1", near(d)*10)) })
		add("claims "+name+" around now", func(d *draft) { d.claims.set(name, fmt.Sprint(now.Unix()+int64(d.rand.IntN(200))-100)) })
	}

	document := func(name string, change func(d *draft, text []byte) []byte) {
		add("header "+name, func(d *draft) {
			d.documents = append(d.documents, func(h, p []byte) ([]byte, []byte) { return change(d, h), p })
		})
		add("claims "+name, func(d *draft) {
			d.documents = append(d.documents, func(h, p []byte) ([]byte, []byte) { return h, change(d, p) })
		})
	}
	for _, text := range []string{``, `null`, `[]`, `""`, `1`, `{}`, ` `, `{`} {
		document("is "+quote(text), func(*draft, []byte) []byte { return []byte(text) })
	}
	for name, around := range map[string][2]string{
		"in white space": {" \r\n\t", " \n"}, "after a byte order mark": {"\ufeff", ""}, "before a brace": {"", "}"}, "before another": {"", "{}"}, "in an array": {"[", "]"}, "before NUL": {"", "\x00"}, "after a form feed": {"\f", ""},
	} {
		document(name, func(_ *draft, text []byte) []byte { return slices.Concat([]byte(around[0]), text, []byte(around[1])) })
	}
	document("with white space inside", func(_ *draft, text []byte) []byte {
		return []byte(strings.ReplaceAll(strings.ReplaceAll(string(text), `":`, "\" :\n"), `,"`, "\t, \""))
	})
	document("with a byte changed", func(d *draft, text []byte) []byte {
		text = slices.Clone(text)
		if len(text) > 0 {
			text[d.rand.IntN(len(text))] = byte(d.rand.IntN(256))
		}
		return text
	})
	document("with a bit changed", func(d *draft, text []byte) []byte {
		text = slices.Clone(text)
		if len(text) > 0 {
			text[d.rand.IntN(len(text))] ^= 1 << d.rand.IntN(8)
		}
		return text
	})
	slices.SortFunc(all, func(a, b mutation) int { return strings.Compare(a.name, b.name) })
	return append(all, shapes(env)...)
}

// shapes returns the mutations of the signed text, of the signature, and of the serialization.
func shapes(env *mcpauthtest.Environment) []mutation {
	var all []mutation
	key := env.Keys().Current()
	signed := func(name, alg string, sign func(input string) []byte) {
		all = append(all, mutation{"shape " + name, func(d *draft) {
			d.header.set("alg", quote(alg))
			d.sign = sign
		}})
	}
	private, _ := key.Signer().(*rsa.PrivateKey)
	der := must(x509.MarshalPKIXPublicKey(private.Public()))
	secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	signed("PS256 signature", "PS256", func(input string) []byte {
		digest := sha256.Sum256([]byte(input))
		return must(private.Sign(cryptorand.Reader, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}))
	})
	signed("PSS signature under RS256", "RS256", func(input string) []byte {
		digest := sha256.Sum256([]byte(input))
		return must(private.Sign(cryptorand.Reader, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}))
	})
	rs512 := func(input string) []byte {
		digest := sha512.Sum512([]byte(input))
		return must(private.Sign(nil, digest[:], crypto.SHA512))
	}
	signed("RS512 signature", "RS512", rs512)
	signed("RS512 signature under RS256", "RS256", rs512)
	signed("HS256 keyed with the public key", "HS256", func(input string) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(input))
		return mac.Sum(nil)
	})
	signed("none without a signature", "none", func(string) []byte { return nil })
	signed("RS256 without a signature", "RS256", func(string) []byte { return nil })
	signed("signature of another key", "RS256", rs256(forger))
	signed("signature of another text", "RS256", func(string) []byte { return rs256(key)("x.y") })
	signed("signature with a zero in front", "RS256", func(input string) []byte { return append([]byte{0}, rs256(key)(input)...) })
	signed("signature with a zero behind", "RS256", func(input string) []byte { return append(rs256(key)(input), 0) })
	signed("signature cut", "RS256", func(input string) []byte { return rs256(key)(input)[:255] })
	signed("signature of 5 KiB", "RS256", func(string) []byte { return make([]byte, 5<<10) })
	signed("header of another key", "RS256", rs256(forger))
	all[len(all)-1].apply = func(d *draft) { // the key comes with the token
		d.header.set("jwk", fmt.Sprintf(`{"kty":"RSA","kid":%q,"n":%q,"e":%q}`, key.ID(), forger.PublicJWK()["n"], forger.PublicJWK()["e"]))
		d.sign = rs256(forger)
	}

	token := func(name string, change func(d *draft, segments []string) string) {
		all = append(all, mutation{"shape " + name, func(d *draft) {
			d.tokens = append(d.tokens, func(token string) string { return change(d, strings.Split(token, ".")) })
		}})
	}
	rejoin := func(s []string) string { return strings.Join(s, ".") }
	token("two segments", func(_ *draft, s []string) string { return rejoin(s[:min(2, len(s))]) })
	token("four segments", func(_ *draft, s []string) string { return rejoin(append(s, "AA")) })
	token("five segments", func(_ *draft, s []string) string { return rejoin(append(s, "AA", "AA")) })
	token("a dot behind", func(_ *draft, s []string) string { return rejoin(s) + "." })
	token("a dot in front", func(_ *draft, s []string) string { return "." + rejoin(s) })
	token("an empty segment", func(d *draft, s []string) string { s[d.rand.IntN(len(s))] = ""; return rejoin(s) })
	token("segments swapped", func(_ *draft, s []string) string { slices.Reverse(s); return rejoin(s) })
	token("JSON, flattened", func(_ *draft, s []string) string {
		return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, s[0], s[max(0, len(s)-2)], s[len(s)-1])
	})
	token("JSON, general", func(_ *draft, s []string) string {
		return fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}],"sub":"usr_admin"}`, s[max(0, len(s)-2)], s[0], s[len(s)-1])
	})
	token("a bit of the signature", func(d *draft, s []string) string {
		signature, err := base64.RawURLEncoding.DecodeString(s[len(s)-1])
		if err == nil && len(signature) > 0 {
			signature[d.rand.IntN(len(signature))] ^= 1 << d.rand.IntN(8)
			s[len(s)-1] = encode(signature)
		}
		return rejoin(s)
	})
	token("a character changed", func(d *draft, s []string) string {
		const characters = "ABCxyz019-_.=+/ \n\x00~"
		text := []byte(rejoin(s))
		text[d.rand.IntN(len(text))] = characters[d.rand.IntN(len(characters))]
		return string(text)
	})
	for i, where := range []string{"header", "claims", "signature"} {
		segment := func(name string, change func(d *draft, s string) string) {
			token(where+" "+name, func(d *draft, s []string) string {
				s[i%len(s)] = change(d, s[i%len(s)])
				return rejoin(s)
			})
		}
		segment("padded", func(_ *draft, s string) string { return s + strings.Repeat("=", 3-(len(s)+3)%4) })
		segment("with one =", func(_ *draft, s string) string { return s + "=" })
		segment("in the other alphabet", func(_ *draft, s string) string { return strings.NewReplacer("-", "+", "_", "/").Replace(s) })
		segment("with a space", func(_ *draft, s string) string { return s[:len(s)/2] + " " + s[len(s)/2:] })
		segment("with a line feed", func(_ *draft, s string) string { return s[:len(s)/2] + "\n" + s[len(s)/2:] })
		segment("with CR LF behind", func(_ *draft, s string) string { return s + "\r\n" })
		segment("with bits left over", func(d *draft, s string) string {
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			if spare := map[int]int{2: 4, 3: 2}[len(s)%4]; spare > 0 {
				last := strings.IndexByte(alphabet, s[len(s)-1])
				s = s[:len(s)-1] + alphabet[(last|1+d.rand.IntN(1<<spare-1))&63:][:1]
			}
			return s
		})
	}
	return all
}

func named(name string) func(member) bool { return func(m member) bool { return m.name == name } }

func many(n int) (o object) {
	for i := range n {
		o = append(o, member{fmt.Sprintf("x%d", i), "1"})
	}
	return o
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// short keeps a name readable.
func short(value string) string {
	if len(value) > 40 {
		return fmt.Sprintf("%.20q... (%d bytes)", value, len(value))
	}
	return value
}
