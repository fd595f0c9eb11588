// Package differential_test compares core's verdict on access tokens with those of two independent implementations.
package differential_test

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

const (
	tokens = 20_000
	shards = 8
	leeway = 30 * time.Second
)

var now = time.Unix(1_790_000_000, 0) // a whole second, so that tokens can be exactly at a limit

// A sample is a token and the verdict of each judge.
type sample struct {
	index           int
	mutations       []string
	header, payload []byte // as they were signed
	token           string
	ours, jwt, jose bool
}

// did reports whether one of the mutations has a name that starts with one of prefixes.
func (s *sample) did(prefixes ...string) bool {
	return slices.ContainsFunc(s.mutations, func(name string) bool {
		return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	})
}

// TestAgreement judges tokens, good ones and ones that are broken in one or two ways, and fails for a disagreement that it
// can't explain. MCPAUTH_SEED repeats a run, or chooses another.
func TestAgreement(t *testing.T) {
	t.Parallel()
	seed := uint64(20_260_728)
	if text := os.Getenv("MCPAUTH_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("MCPAUTH_SEED=%d", seed)

	env := mcpauthtest.NewEnvironment()
	t.Cleanup(env.Close)
	ours, theirs := newOurs(t, env), newPeers(env)
	all := mutations(env)
	var mu sync.Mutex
	sum := summary{explained: make(map[string]int), alone: make(map[string]int), seen: make(map[string]int)}
	t.Run("shards", func(t *testing.T) {
		for shard := range shards {
			t.Run(strconv.Itoa(shard), func(t *testing.T) {
				t.Parallel()
				for i := shard; i < tokens; i += shards {
					s := generate(env, all, seed, i)
					s.ours, s.jwt, s.jose = ours(t, s.token), theirs.golangJWT(s.token) == nil, theirs.goJOSE(s.token) == nil
					mu.Lock()
					sum.add(t, s)
					mu.Unlock()
				}
			})
		}
	})
	sum.report(t, all)
}

// generate makes token number i. It depends only on its arguments, and not on the order of the shards.
func generate(env *mcpauthtest.Environment, all []mutation, seed uint64, i int) *sample {
	r := rand.New(rand.NewPCG(seed, uint64(i)))
	d := newDraft(env, r)
	var names []string
	for range []int{0, 1, 1, 1, 1, 1, 2, 2, 2, 2}[r.IntN(10)] {
		m := all[r.IntN(len(all))]
		m.apply(d)
		names = append(names, m.name)
	}
	s := d.build()
	s.index, s.mutations = i, names
	return s
}

type summary struct {
	total, accepted, refused int
	explained, alone, seen   map[string]int
}

// add counts a sample, and fails the test for a disagreement without a reason.
func (sum *summary) add(t *testing.T, s *sample) {
	t.Helper()
	sum.total++
	for _, name := range s.mutations {
		sum.seen[name]++
	}
	switch {
	case len(s.mutations) == 0 && !s.ours:
		t.Errorf("token %d is good but refused: %s", s.index, s.token)
	case s.ours && s.jwt && s.jose:
		sum.accepted++
	case !s.ours && !s.jwt && !s.jose:
		sum.refused++
	}
	for _, peer := range []struct {
		name    string
		verdict bool
	}{{"golang-jwt", s.jwt}, {"go-jose", s.jose}} {
		if peer.verdict == s.ours {
			continue
		}
		i := slices.IndexFunc(reasons, func(r reason) bool {
			return r.weAccept == s.ours && strings.Contains(r.peers, peer.name) && r.applies(s)
		})
		if i < 0 {
			t.Errorf("token %d, %q: we say %v, %s says %v\nheader: %.300q\nclaims: %.600q\ntoken: %.1500s",
				s.index, s.mutations, s.ours, peer.name, peer.verdict, s.header, s.payload, s.token)
			continue
		}
		sum.explained[reasons[i].name+" / "+peer.name]++
		if len(s.mutations) == 1 {
			sum.alone[reasons[i].name+" / "+peer.name]++
		}
	}
}

// report prints the table. It fails the test for a reason or a mutation that never occurred.
func (sum *summary) report(t *testing.T, all []mutation) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%d tokens, %d mutations\n%6d accepted by all\n%6d refused by all\n%6d disagreements with a reason\n",
		sum.total, len(all), sum.accepted, sum.refused, sum.total-sum.accepted-sum.refused)
	for _, r := range reasons {
		for peer := range strings.SplitSeq(r.peers, ", ") {
			n := sum.explained[r.name+" / "+peer]
			if sum.alone[r.name+" / "+peer] == 0 { // with two mutations, the other one may have been the reason
				t.Errorf("the reason %q for %s never occurred; remove it", r.name, peer)
			}
			stricter := "we are"
			if r.weAccept {
				stricter = peer + " is"
			}
			fmt.Fprintf(&b, "%6d %-45s %-11s %s stricter\n", n, r.name, peer, stricter)
		}
	}
	for _, m := range all {
		if sum.seen[m.name] == 0 {
			t.Errorf("the mutation %q never occurred", m.name)
		}
	}
	t.Log(b.String())
}

// newOurs returns a function that asks a resource server for its verdict.
func newOurs(t *testing.T, env *mcpauthtest.Environment) func(*testing.T, string) bool {
	t.Helper()
	cfg := env.Config("https://mcp.example.com")
	cfg.Now = func() time.Time { return now }
	cfg.Cache.Disabled = true
	cfg.ClockSkew = leeway
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := rs.Ready(context.Background()); err != nil {
		t.Fatal(err)
	}
	impatient, cancel := context.WithCancel(context.Background())
	cancel() // the keys are there already; with a live context each unknown kid would wait for seconds
	return func(t *testing.T, token string) bool {
		t.Helper()
		decision := rs.Authenticate(impatient, mcpauth.Request{
			Method: http.MethodPost, Path: rs.Path(),
			Header: func(name string) []string {
				if name == "Authorization" {
					return []string{"Bearer " + token}
				}
				return nil
			},
		})
		switch decision.Outcome {
		case mcpauth.OutcomeAllowed, mcpauth.OutcomeInvalidToken, mcpauth.OutcomeInvalidRequest, mcpauth.OutcomeExpired, mcpauth.OutcomeUnavailable:
		default:
			t.Fatalf("the outcome is %s", decision.Outcome)
		}
		return decision.Outcome == mcpauth.OutcomeAllowed
	}
}

// peers hold the policy that both other libraries are given: ours, as far as they can express it.
type peers struct {
	kid     string
	public  *rsa.PublicKey
	issuers []string
	aud     string
	parser  *jwt.Parser
}

var errPolicy = errors.New("against the policy")

func newPeers(env *mcpauthtest.Environment) *peers {
	key := env.Keys().Current()
	public, _ := key.Signer().Public().(*rsa.PublicKey)
	return &peers{
		kid: key.ID(), public: public, issuers: []string{env.URL(), env.Issuer()}, aud: env.ResourceID(),
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{"RS256"}), jwt.WithLeeway(leeway), jwt.WithTimeFunc(func() time.Time { return now }),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithAudience(env.ResourceID()), jwt.WithStrictDecoding(),
		),
	}
}

// header checks the header members that the policy restricts and the two libraries ignore.
func (p *peers) header(members map[string]any) error {
	if _, ok := members["crit"]; ok {
		return errPolicy
	}
	if typ, ok := members["typ"]; ok {
		text, _ := typ.(string)
		if !slices.Contains([]string{"jwt", "at+jwt", "application/at+jwt"}, strings.ToLower(text)) {
			return errPolicy
		}
	}
	return nil
}

func (p *peers) golangJWT(token string) error {
	claims := jwt.MapClaims{}
	_, err := p.parser.ParseWithClaims(token, claims, func(token *jwt.Token) (any, error) {
		if token.Header["kid"] != p.kid {
			return nil, errPolicy
		}
		return p.public, p.header(token.Header)
	})
	if err != nil {
		return err
	}
	issuer, _ := claims["iss"].(string)
	subject, _ := claims["sub"].(string)
	if !slices.Contains(p.issuers, issuer) || subject == "" {
		return errPolicy
	}
	return nil
}

func (p *peers) goJOSE(token string) error {
	parsed, err := josejwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return err
	}
	members := make(map[string]any)
	for name, value := range parsed.Headers[0].ExtraHeaders {
		members[string(name)] = value
	}
	if parsed.Headers[0].KeyID != p.kid {
		return errPolicy
	}
	if err := p.header(members); err != nil {
		return err
	}
	var claims josejwt.Claims
	if err := parsed.Claims(p.public, &claims); err != nil {
		return err
	}
	if claims.Expiry == nil || claims.Subject == "" || !slices.Contains(p.issuers, claims.Issuer) {
		return errPolicy
	}
	return claims.ValidateWithLeeway(josejwt.Expected{AnyAudience: josejwt.Audience{p.aud}, Time: now}, leeway)
}
