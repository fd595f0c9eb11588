package mcpauth

import (
	"crypto/rsa"
	"math/big"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

const (
	maxKeys      = 64 // that are read of one key set
	maxKeysPerID = 4  // each of which a token under that id may cost a signature check
	minRSABits   = 2048
	maxRSABits   = 8192 // the cost of a signature check grows with it
)

// keysByID are the usable keys of a key set by kid. There may be several under one (RFC 7517 §4.5 only says SHOULD).
type keysByID map[string][]*rsa.PublicKey

// add adds a key, unless it is there already or its kid has enough of them.
func (keys keysByID) add(kid string, public *rsa.PublicKey) {
	same := func(other *rsa.PublicKey) bool { return other.Equal(public) }
	if len(keys[kid]) < maxKeysPerID && !slices.ContainsFunc(keys[kid], same) {
		keys[kid] = append(keys[kid], public)
	}
}

// decodeKeySet returns the usable keys of a JSON Web Key Set (RFC 7517 §5). A key that can't be used is left out, and the
// others stay.
func decodeKeySet(document string) (keysByID, error) {
	keys := make(keysByID)
	r := strictjson.NewReader(document, strictjson.Limits{})
	hasKeys, read := false, 0
	err := r.Object(func(name string) error {
		if name != "keys" {
			return r.Skip()
		}
		hasKeys = true
		return r.Array(func() error {
			text, err := r.Raw() // usableKey is strict about each key by itself
			if err != nil {
				return err
			}
			if read++; read <= maxKeys {
				if kid, public := usableKey(text); public != nil {
					keys.add(kid, public)
				}
			}
			return nil
		})
	})
	if err == nil {
		err = r.End()
	}
	if err == nil && !hasKeys {
		err = strictjson.ErrType
	}
	return keys, err
}

// usableKey returns a key that may sign access tokens with RS256, or nil.
func usableKey(text string) (kid string, public *rsa.PublicKey) {
	// jwx takes "KTY" for kty, and the last of repeated members.
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
	case !ok, kid == "", len(kid) > maxKeyIDBytes,
		parsed.KeyUsage() != "" && parsed.KeyUsage() != string(jwk.ForSignature),
		alg != "" && alg != "RS256",
		len(parsed.KeyOps()) > 0 && !slices.Contains(parsed.KeyOps(), jwk.KeyOpVerify):
		return "", nil
	}
	public = new(rsa.PublicKey)
	if rsaKey.Raw(public) != nil || public.N.BitLen() < minRSABits || public.N.BitLen() > maxRSABits || public.E < 3 || public.E%2 == 0 ||
		new(big.Int).SetBytes(rsaKey.E()).Cmp(big.NewInt(int64(public.E))) != 0 { // jwx keeps the last 64 bits of a longer one
		return "", nil
	}
	return kid, public
}
