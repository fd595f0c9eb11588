package mcpauthtest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"sync"
)

// A Key is an RSA signing key as Scalekit has them: 2048 bits, RS256, an id that starts with "snk_".
type Key struct {
	id      string
	private *rsa.PrivateKey
}

// NewKey generates a key with the given id. It belongs to no environment: a token that it signs is forged.
func NewKey(id string) *Key {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(fmt.Sprintf("mcpauthtest: generating a key: %v", err))
	}
	return &Key{id: id, private: private}
}

// ID returns the key id, the kid of the tokens that the key signs.
func (k *Key) ID() string { return k.id }

// Signer returns the private key.
func (k *Key) Signer() crypto.Signer { return k.private }

// PublicJWK returns the public key as a JSON Web Key (RFC 7517) with the members that Scalekit serves.
func (k *Key) PublicJWK() map[string]any {
	return map[string]any{
		"kty": "RSA",
		"use": "sig",
		"alg": "RS256",
		"kid": k.id,
		"n":   base64.RawURLEncoding.EncodeToString(k.private.N.Bytes()),
		"e":   base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.private.E)).Bytes()),
	}
}

// Sign returns the compact serialization (RFC 7515 §3.1) of header and payload, signed with RS256 even if the header says
// otherwise. Neither needs to be valid JSON.
func (k *Key) Sign(header, payload []byte) string {
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(nil, k.private, crypto.SHA256, digest[:])
	if err != nil {
		panic(fmt.Sprintf("mcpauthtest: signing: %v", err))
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// A KeySet is the set of keys of an environment: one that signs, and older ones that are still published.
// It is safe for concurrent use.
type KeySet struct {
	mu   sync.Mutex
	keys []*Key // the newest, which signs, is last
}

// NewKeySet returns a set of one key.
func NewKeySet() *KeySet {
	s := new(KeySet)
	s.Rotate()
	return s
}

// Current returns the key that signs.
func (s *KeySet) Current() *Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[len(s.keys)-1]
}

// Rotate adds a new key, which signs from now on, and returns it. The older ones stay published until [KeySet.Withdraw].
func (s *KeySet) Rotate() *Key {
	// The id is random: an environment that is started again must not publish another key under a known id.
	k := NewKey("snk_" + rand.Text()[:16])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, k)
	return k
}

// Withdraw takes a key out of the published set. The key that signs can't be withdrawn: rotate first.
func (s *KeySet) Withdraw(k *Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k == s.keys[len(s.keys)-1] {
		panic("mcpauthtest: the current key can't be withdrawn; rotate first")
	}
	s.keys = slices.DeleteFunc(s.keys, func(have *Key) bool { return have == k })
}

// JWKS returns the published set as a JSON Web Key Set document (RFC 7517 §5).
func (s *KeySet) JWKS() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]map[string]any, 0, len(s.keys))
	for _, k := range slices.Backward(s.keys) {
		keys = append(keys, k.PublicJWK())
	}
	return mustJSON(map[string]any{"keys": keys})
}

// AuthorizationServerMetadata returns the authorization server metadata (RFC 8414 §2) of an MCP resource as an
// environment serves it at both well-known locations.
func AuthorizationServerMetadata(environmentURL, resourceID string) map[string]any {
	resource := environmentURL + "/resources/" + resourceID
	return map[string]any{
		"issuer":                                resource,
		"authorization_endpoint":                resource + "/oauth/authorize",
		"token_endpoint":                        resource + "/oauth/token",
		"registration_endpoint":                 environmentURL + "/api/v1/resources/" + resourceID + "/clients:register",
		"jwks_uri":                              environmentURL + "/keys",
		"response_types_supported":              []string{"code"},
		"grant_types_supported":                 []string{"authorization_code", "client_credentials", "refresh_token"},
		"code_challenge_methods_supported":      []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{"none", "client_secret_post", "client_secret_basic"},
		"client_id_metadata_document_supported": true,
	}
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("mcpauthtest: %v", err))
	}
	return b
}
