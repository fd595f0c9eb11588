package mcpauth_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// benchClaims make a token of some 900 bytes, as Scalekit's are.
var benchClaims = m{
	"aud": []string{"https://mcp.example.com/mcp", "res_test"}, "sub": "usr_69388798293746238", "client_id": "m2m_693887982937462389",
	"sid": "ses_69388798293746238", "oid": "org_69388798293746238", "jti": "tkn_69388798293746238", "scope": "greet:read greet:write profile:read",
	"nbf": time.Now().Unix(), "xuid": "user-4711-of-the-customer",
}

func benchRequest(token string) mcpauth.Request {
	header := http.Header{"Authorization": {"Bearer " + token}}
	return mcpauth.Request{Method: http.MethodPost, Path: "/mcp", Header: func(name string) []string { return header[name] }}
}

// BenchmarkRSA is the signature check alone, on a ready digest, which the others are compared with.
func BenchmarkRSA(b *testing.B) {
	f := newFixture(b, nil)
	token := f.env.Token(benchClaims)
	dot := strings.LastIndex(token, ".")
	input, signature := token[:dot], token[dot+1:]
	digest := sha256.Sum256([]byte(input))
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		b.Fatal(err)
	}
	public, ok := f.env.Keys().Current().Signer().Public().(*rsa.PublicKey)
	if !ok {
		b.Fatal("no RSA key")
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], sig); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHit is a token that was seen before.
func BenchmarkHit(b *testing.B) {
	f := newFixture(b, nil)
	req := benchRequest(f.env.Token(benchClaims))
	b.ReportAllocs()
	for b.Loop() {
		if d := f.rs.Authenticate(context.Background(), req); d.Session == nil {
			b.Fatal(d.Outcome)
		}
	}
}

func BenchmarkHitParallel(b *testing.B) {
	f := newFixture(b, nil)
	req := benchRequest(f.env.Token(benchClaims))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if d := f.rs.Authenticate(context.Background(), req); d.Session == nil {
				b.Error(d.Outcome)
				return
			}
		}
	})
}

// BenchmarkFirstSight is a token that was not seen before, from the header to the session.
func BenchmarkFirstSight(b *testing.B) {
	f := newFixture(b, func(cfg *mcpauth.Config) { cfg.Cache.Disabled = true })
	req := benchRequest(f.env.Token(benchClaims))
	b.ReportAllocs()
	for b.Loop() {
		if d := f.rs.Authenticate(context.Background(), req); d.Session == nil {
			b.Fatal(d.Outcome)
		}
	}
}

// BenchmarkForged is what an attacker can make the server do with a token under a known kid.
func BenchmarkForged(b *testing.B) {
	f := newFixture(b, func(cfg *mcpauth.Config) { cfg.Logger = slog.New(slog.DiscardHandler) })
	req := benchRequest(f.env.Mint(mcpauthtest.Token{Key: mcpauthtest.NewKey(f.env.Keys().Current().ID()), Claims: benchClaims}))
	b.ReportAllocs()
	for b.Loop() {
		if d := f.rs.Authenticate(context.Background(), req); d.Session != nil {
			b.Fatal(d.Outcome)
		}
	}
}

// BenchmarkOperationScopes is what reading the operation from the body costs, without authentication.
func BenchmarkOperationScopes(b *testing.B) {
	f := newFixture(b, nil)
	policy, err := mcpauth.NewPolicy(mcpauth.Rules{Tools: scopeRules(map[string][]string{"delete_order": {"orders:write"}})})
	if err != nil {
		b.Fatal(err)
	}
	require := f.rs.RequireOperations(policy)
	const body = `{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"delete_order","arguments":{"id":"4711","reason":"wrong size"},"_meta":{"progressToken":17}}}`
	ran := 0
	handler := require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran++ }))
	ctx := mcpauth.NewContext(context.Background(), mcpauthtest.NewSession(m{"scope": "orders:write"}))
	reader := strings.NewReader(body)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "/mcp", io.NopCloser(reader))
	if err != nil {
		b.Fatal(err)
	}
	req.ContentLength = int64(len(body))
	b.ReportAllocs()
	w := httptest.NewRecorder()
	for b.Loop() {
		reader.Reset(body)
		handler.ServeHTTP(w, req)
	}
	if ran == 0 {
		b.Error("the handler did not run")
	}
}
