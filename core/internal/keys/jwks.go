package keys

import (
	"crypto/rsa"
	"slices"

	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
)

const (
	maxKeys      = 64 // of one key set; further ones are ignored
	maxKeysPerID = 4  // of one kid; each may cost a token with that kid one more signature check
)

// keysByID holds the usable keys of a key set, by kid.
type keysByID map[string][]*rsa.PublicKey

// add adds a key, unless it is there already or its kid has maxKeysPerID keys.
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
			text, err := r.Raw() // usableKey reads each key strictly
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
