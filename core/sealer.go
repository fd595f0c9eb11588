package mcpauth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"time"
)

// A Sealer protects state that an MCP client keeps for a server: requestState of MCP 2026-07-28, or the handle of a task.
// Such text comes back from the client, which could change it, or present the state of another user. Sealed text opens
// only for the user, the purpose and the time for which it was sealed, and says nothing to the client.
//
// A Sealer is immutable and safe for concurrent use. Replicas that have the same keys open what any of them sealed.
type Sealer struct{ keys []sealingKey }

// A sealingKey is what the keys of messages are derived from.
type sealingKey []byte

// ErrNotSealed is the error of [Sealer.Open], whatever is wrong with the text. It is one error for all reasons, so that a
// client learns nothing from it.
var ErrNotSealed = errors.New("mcpauth: the sealed state was changed, has expired, or belongs to another user or purpose")

const (
	minSealingKey = 32 // bytes
	maxSealed     = 1 << 20

	sealVersion = 1
	saltBytes   = 24
	timeBytes   = 8
)

var sealedText = base64.RawURLEncoding.Strict()

// NewSealer returns a sealer. Each key is a secret text of at least 32 random bytes, such as the output of
//
//	openssl rand -base64 32
//
// The first key seals, and all of them open. To replace a key, put the new one first on every replica that opens, and
// remove the old one when everything that was sealed with it has expired. The error is an errors.Join of *[ConfigError].
func NewSealer(keys ...Secret) (*Sealer, error) {
	var errs []error
	mistake := func(reason string) { errs = append(errs, &ConfigError{Field: "NewSealer", Reason: reason}) }
	if len(keys) == 0 {
		mistake("has no key; give a secret of at least 32 random bytes, such as the output of openssl rand -base64 32")
	}
	s := new(Sealer)
	for i, key := range keys {
		text := key.Reveal()
		if len(text) < minSealingKey {
			mistake("key number " + strconv.Itoa(i+1) + " has fewer than 32 bytes; take the output of openssl rand -base64 32")
			continue
		}
		derived, err := hkdf.Extract(sha256.New, []byte(text), []byte("mcpauth sealer"))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.keys = append(s.keys, derived)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

// Seal encrypts data for the user of session. It opens with the same purpose until ttl has passed. purpose says what the
// text is for, such as "checkout step 2", so that text sealed for one thing can't be used for another; it is not secret.
// The user is [Session.Principal], whatever the token: to bind the state to an organization as well, write its id into the
// purpose. The text is safe in URLs and headers, and longer than data by a third and 80 bytes.
//
// An error means that s or session is nil, purpose is empty, ttl is not positive, or data is longer than 512 KiB.
func (s *Sealer) Seal(session *Session, purpose string, data []byte, ttl time.Duration) (string, error) {
	switch {
	case s == nil || len(s.keys) == 0:
		return "", errors.New("mcpauth: Seal needs a Sealer that NewSealer has made; check its error")
	case session == nil:
		return "", ErrNoSession
	case purpose == "":
		return "", errors.New("mcpauth: Seal needs a purpose")
	case ttl <= 0:
		return "", errors.New("mcpauth: Seal needs a ttl that is greater than 0")
	case len(data) > maxSealed/2:
		return "", errors.New("mcpauth: Seal takes 512 KiB at most")
	}
	sealed := make([]byte, 1+saltBytes+timeBytes, 1+saltBytes+timeBytes+len(data)+16)
	sealed[0] = sealVersion
	_, _ = rand.Read(sealed[1 : 1+saltBytes]) // which never fails
	binary.BigEndian.PutUint64(sealed[1+saltBytes:], uint64(time.Now().Add(ttl).UnixMilli()))
	aead, err := s.keys[0].cipher(sealed[1 : 1+saltBytes])
	if err != nil {
		return "", err
	}
	header := sealed
	sealed = aead.Seal(sealed, make([]byte, aead.NonceSize()), data, boundTo(header, session, purpose)) //nolint:gosec // see cipher
	return sealedText.EncodeToString(sealed), nil
}

// Open returns the data that [Sealer.Seal] sealed for the user of session and purpose, or [ErrNotSealed]. It never opens
// anything for a nil session.
func (s *Sealer) Open(session *Session, purpose, text string) ([]byte, error) {
	if s == nil || session == nil || len(text) > maxSealed {
		return nil, ErrNotSealed
	}
	sealed, err := sealedText.DecodeString(text)
	if err != nil || len(sealed) < 1+saltBytes+timeBytes || sealed[0] != sealVersion || sealedText.EncodeToString(sealed) != text {
		return nil, ErrNotSealed
	}
	header, data := sealed[:1+saltBytes+timeBytes], sealed[1+saltBytes+timeBytes:]
	bound := boundTo(header, session, purpose)
	for _, key := range s.keys {
		aead, err := key.cipher(header[1 : 1+saltBytes])
		if err != nil {
			return nil, ErrNotSealed
		}
		opened, err := aead.Open(nil, make([]byte, aead.NonceSize()), data, bound)
		if err != nil {
			continue
		}
		until := int64(binary.BigEndian.Uint64(header[1+saltBytes:])) //nolint:gosec // as it was sealed
		if time.Now().UnixMilli() >= until {
			return nil, ErrNotSealed
		}
		return opened, nil
	}
	return nil, ErrNotSealed
}

// cipher returns AES-256-GCM under a key of its own for each salt. Its nonce may be zero, because each key encrypts one
// message: with a key for all, random nonces of 96 bits would run out after 2^32 messages.
func (k sealingKey) cipher(salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Expand(sha256.New, k, "mcpauth sealed state v1"+string(salt), 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// boundTo returns the additional data of the AEAD: what is in front of the encrypted part, and who may open it for what.
// Lengths in front of both texts keep one from running into the other.
func boundTo(header []byte, session *Session, purpose string) []byte {
	bound := append([]byte(nil), header...)
	for _, text := range [...]string{session.Principal(), purpose} {
		bound = binary.BigEndian.AppendUint64(bound, uint64(len(text)))
		bound = append(bound, text...)
	}
	return bound
}
