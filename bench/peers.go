package main

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/auth0/go-jwt-middleware/v3/validator"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
	jwkv3 "github.com/lestrrat-go/jwx/v3/jwk"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
)

// A peer is another library, set up as its own documentation says, for the same policy as ours.
type peer struct {
	name   string
	verify verifier
}

const leeway = 30 * time.Second // as ours by default

var errPolicy = errors.New("the claims are not acceptable")

// A policy is what all of them enforce, with the environment's keys by their ids.
type policy struct {
	issuer, audience string
	jwks             []byte
	set              jose.JSONWebKeySet
	keys             map[string]*rsa.PublicKey
}

func newPolicy(f *fixture.Fixture) (*policy, error) {
	p := &policy{
		issuer: f.Env.Issuer(), audience: f.Env.ResourceID(),
		jwks: f.Env.Keys().JWKS(), keys: make(map[string]*rsa.PublicKey),
	}
	if err := json.Unmarshal(p.jwks, &p.set); err != nil {
		return nil, err
	}
	for _, key := range p.set.Keys {
		public, ok := key.Key.(*rsa.PublicKey)
		if !ok {
			return nil, fmt.Errorf("key %s is not an RSA key", key.KeyID)
		}
		p.keys[key.KeyID] = public
	}
	return p, nil
}

func newPeers(f *fixture.Fixture) ([]peer, error) {
	p, err := newPolicy(f)
	if err != nil {
		return nil, err
	}
	auth0, err := p.auth0()
	if err != nil {
		return nil, err
	}
	return []peer{
		{"golang-jwt v5", p.golangJWT()},
		{"jwx v2 jws.Verify(WithKey, WithCompact)", p.jwx},
		{"go-jose v4", p.goJOSE},
		{"coreos/go-oidc v3", p.goOIDC(f.Env.URL() + mcpauthtest.KeysPath)},
		{"auth0/go-jwt-middleware v3", auth0},
	}, nil
}

// accessClaims are the claims that matter, in addition to those that each library has a type for.
type accessClaims struct {
	OrganizationID string `json:"oid"`
	Scope          string `json:"scope"`
}

func (c *accessClaims) identity(subject string) identity {
	return identity{subject, c.OrganizationID, strings.Fields(c.Scope)}
}

// jwtClaims are accessClaims for golang-jwt, and for the middlewares on top of it.
type jwtClaims struct {
	jwt.RegisteredClaims
	accessClaims
}

func (p *policy) jwtOptions() []jwt.ParserOption {
	return []jwt.ParserOption{
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(p.issuer), jwt.WithAudience(p.audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway),
	}
}

func (p *policy) jwtKey(t *jwt.Token) (any, error) {
	kid, _ := t.Header["kid"].(string)
	if key := p.keys[kid]; key != nil {
		return key, nil
	}
	return nil, errPolicy
}

func (p *policy) golangJWT() verifier {
	parser := jwt.NewParser(p.jwtOptions()...)
	return func(token string) (identity, error) {
		var claims jwtClaims
		if _, err := parser.ParseWithClaims(token, &claims, p.jwtKey); err != nil {
			return identity{}, err
		}
		return claims.identity(claims.Subject), nil
	}
}

// jwx checks signatures only, so that header, claims and policy are ours: the fastest that can be done with it.
func (p *policy) jwx(token string) (identity, error) {
	segment, _, _ := strings.Cut(token, ".")
	document, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		return identity{}, err
	}
	var header struct {
		KeyID string `json:"kid"`
	}
	if err := json.Unmarshal(document, &header); err != nil {
		return identity{}, err
	}
	key := p.keys[header.KeyID]
	if key == nil {
		return identity{}, errPolicy
	}
	payload, err := jws.Verify([]byte(token), jws.WithKey(jwa.RS256, key), jws.WithCompact())
	if err != nil {
		return identity{}, err
	}
	var claims struct {
		Issuer    string   `json:"iss"`
		Subject   string   `json:"sub"`
		Audience  []string `json:"aud"`
		ExpiresAt int64    `json:"exp"`
		accessClaims
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return identity{}, err
	}
	if claims.Issuer != p.issuer || !slices.Contains(claims.Audience, p.audience) || time.Now().Unix() >= claims.ExpiresAt+int64(leeway.Seconds()) {
		return identity{}, errPolicy
	}
	return claims.identity(claims.Subject), nil
}

func (p *policy) goJOSE(token string) (identity, error) {
	parsed, err := josejwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return identity{}, err
	}
	var standard josejwt.Claims
	var claims accessClaims
	if err := parsed.Claims(&p.set, &standard, &claims); err != nil {
		return identity{}, err
	}
	if standard.Expiry == nil {
		return identity{}, errPolicy
	}
	expected := josejwt.Expected{Issuer: p.issuer, AnyAudience: []string{p.audience}, Time: time.Now()}
	if err := standard.ValidateWithLeeway(expected, leeway); err != nil {
		return identity{}, err
	}
	return claims.identity(standard.Subject), nil
}

// goOIDC calls what it verifies an ID token, and knows an audience as a client id; it serves for access tokens as well.
func (p *policy) goOIDC(jwksURL string) verifier {
	ctx := context.Background()
	v := oidc.NewVerifier(p.issuer, oidc.NewRemoteKeySet(ctx, jwksURL), &oidc.Config{ClientID: p.audience})
	return func(token string) (identity, error) {
		verified, err := v.Verify(ctx, token)
		if err != nil {
			return identity{}, err
		}
		var claims accessClaims
		if err := verified.Claims(&claims); err != nil {
			return identity{}, err
		}
		return claims.identity(verified.Subject), nil
	}
}

// Validate makes accessClaims what auth0's validator takes for custom claims.
func (c *accessClaims) Validate(context.Context) error { return nil }

func (p *policy) auth0Validator() (*validator.Validator, error) {
	set, err := jwkv3.ParseReader(bytes.NewReader(p.jwks))
	if err != nil {
		return nil, err
	}
	return validator.New(
		validator.WithKeyFunc(func(context.Context) (any, error) { return set, nil }),
		validator.WithAlgorithm(validator.RS256), validator.WithIssuer(p.issuer), validator.WithAudience(p.audience),
		validator.WithCustomClaims(func() *accessClaims { return new(accessClaims) }), validator.WithAllowedClockSkew(leeway),
	)
}

func (p *policy) auth0() (verifier, error) {
	v, err := p.auth0Validator()
	if err != nil {
		return nil, err
	}
	return func(token string) (identity, error) {
		result, err := v.ValidateToken(context.Background(), token)
		if err != nil {
			return identity{}, err
		}
		return auth0Identity(result)
	}, nil
}

func auth0Identity(result any) (identity, error) {
	validated, ok := result.(*validator.ValidatedClaims)
	if !ok {
		return identity{}, errPolicy
	}
	claims, ok := validated.CustomClaims.(*accessClaims)
	if !ok {
		return identity{}, errPolicy
	}
	return claims.identity(validated.RegisteredClaims.Subject), nil
}
