package keys

// This file holds all that mcpauth uses of jwx: its decoder of a single key, and its RS256.

import (
	"crypto/rsa"
	"math/big"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

const (
	minRSABits = 2048
	maxRSABits = 8192 // the cost of a signature check grows with it

	// MaxSignatureBytes is the length of the longest signature that a usable key can make.
	MaxSignatureBytes = maxRSABits / 8

	// MaxIDBytes is the length of the longest id that a usable key can have.
	MaxIDBytes = 256
)

// usableKey returns a key that may sign access tokens with RS256, or nil.
func usableKey(text string) (kid string, public *rsa.PublicKey) {
	// jwx accepts "KTY" as kty, and the last of repeated members, so the key is read strictly first.
	var kty string
	r := strictjson.NewReader(text, strictjson.Limits{})
	if err := r.Object(func(name string) (err error) {
		if name == "kty" {
			kty, err = r.Text()
			return err
		}
		return r.Skip()
	}); err != nil || kty != "RSA" {
		return "", nil
	}
	parsed, err := jwk.ParseKey([]byte(text))
	if err != nil {
		return "", nil
	}
	rsaKey, ok := parsed.(jwk.RSAPublicKey)
	kid = parsed.KeyID()
	alg := parsed.Algorithm().String()
	switch {
	case !ok, kid == "", len(kid) > MaxIDBytes,
		parsed.KeyUsage() != "" && parsed.KeyUsage() != string(jwk.ForSignature),
		alg != "" && alg != "RS256",
		len(parsed.KeyOps()) > 0 && !slices.Contains(parsed.KeyOps(), jwk.KeyOpVerify):
		return "", nil
	}
	public = new(rsa.PublicKey)
	if rsaKey.Raw(public) != nil || public.N.BitLen() < minRSABits || public.N.BitLen() > maxRSABits || public.E < 3 || public.E%2 == 0 ||
		new(big.Int).SetBytes(rsaKey.E()).Cmp(big.NewInt(int64(public.E))) != 0 { // jwx keeps 64 bits of an exponent
		return "", nil
	}
	return kid, public
}

// verifyRS256 reports whether signature is the RS256 signature of input under the key. jwx gets only these two: its own
// parser of tokens also takes claims from outside the signed part.
func verifyRS256(input, signature []byte, public *rsa.PublicKey) bool {
	return rs256.Verify(input, signature, public) == nil
}

var rs256 = func() jws.Verifier {
	v, err := jws.NewVerifier("RS256")
	if err != nil {
		panic(err) // can't happen: jwx registers RS256 at init
	}
	return v
}()
