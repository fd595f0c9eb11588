package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"sync"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
	"github.com/scalekit-mcp/mcpauth/bench/internal/measure"
)

// An identity is what every verifier has to find out from a token that it accepts.
type identity struct {
	subject, organization string
	scopes                []string
}

// A verifier takes a token for an identity, or refuses it.
type verifier func(token string) (identity, error)

// oursVerifier is a resource server as the other verifiers are, for the check that all of them do the same.
func oursVerifier(rs *mcpauth.ResourceServer) verifier {
	return func(token string) (identity, error) {
		d := rs.Authenticate(context.Background(), fixture.Request(token))
		if d.Session == nil {
			return identity{}, fmt.Errorf("outcome %s", d.Outcome)
		}
		return identity{d.Session.UserID(), d.Session.OrganizationID(), d.Session.Scopes()}, nil
	}
}

// check makes sure that a verifier works: it accepts the token and reads it, and refuses the token with one bit of the
// signature changed, and the forged one.
func check(name string, f *fixture.Fixture, v verifier) error {
	got, err := v(f.Token)
	switch {
	case err != nil:
		return fmt.Errorf("%s refuses the token: %w", name, err)
	case got.subject != fixture.Subject || got.organization != fixture.Organization || len(got.scopes) != 3:
		return fmt.Errorf("%s reads %+v in the token", name, got)
	}
	for _, bad := range []string{fixture.Flip(f.Token), f.Forged} {
		if _, err := v(bad); err == nil {
			return fmt.Errorf("%s accepts a token with a wrong signature", name)
		}
	}
	return nil
}

// verifying measures the verification of one token.
func verifying(s *session) error {
	rsaAlone, err := s.rsaRow()
	if err != nil {
		return err
	}
	rows := []measure.Row{rsaAlone}
	token := []byte(s.fixture.Token)
	rows = append(rows, measure.Row{Name: "SHA-256 of the token alone", Run: func(n int) {
		for range n {
			if sum := sha256.Sum256(token); sum == [sha256.Size]byte{} {
				panic("a hash of zeros")
			}
		}
	}})
	ours, err := oursRows(s.fixture)
	if err != nil {
		return err
	}
	rows = append(rows, ours...)
	peers, err := newPeers(s.fixture)
	if err != nil {
		return err
	}
	for _, p := range peers {
		if err := check(p.name, s.fixture, p.verify); err != nil {
			return err
		}
		rows = append(rows, measure.Row{Name: p.name, Run: func(n int) {
			for range n {
				if _, err := p.verify(s.fixture.Token); err != nil {
					panic(err)
				}
			}
		}})
	}

	results := measure.Interleave(s.options, rows)
	rsa := results[0]
	table := measure.Table{Head: []string{"verify one token", "min us", "median us", "B/op", "allocs", "x RSA"}}
	for _, r := range results {
		table.Add(r.Name, measure.Micro(r.Min()), measure.Micro(r.Median()), measure.Count(r.Bytes), measure.Count(r.Allocs), ratio(r, rsa))
	}
	s.printf("## One token\n\nRS256, %d bytes, a key of 2,048 bits, two keys in the set, 11 claims, an array of audiences. Everybody checks signature,\n"+
		"issuer, audience and expiry, and reads subject, organization and scopes into a struct. \"x RSA\" is the ratio of the\n"+
		"minima to `rsa.VerifyPKCS1v15` on a ready digest, which is the floor of a first sight. A hit reads the whole\n"+
		"token twice, for a fast hash and for a MAC; a cache whose key is the SHA-256 of the token takes at least the time of the row below.\n\n", fixture.TokenBytes)
	table.Print(s.out)

	hit, first := results[2], results[4]
	s.target("hit", "<= 0.0250 x RSA", fmt.Sprintf("%.4f x RSA", hit.Min()/rsa.Min()), hit.Min() <= 0.025*rsa.Min())
	s.target("hit, allocations in Authenticate", "0", measure.Count(hit.Allocs), hit.Allocs == 0)
	s.target("first sight", "<= 1.20 x RSA", ratio(first, rsa)+" x RSA", first.Min() <= 1.2*rsa.Min())
	return nil
}

func (s *session) rsaRow() (measure.Row, error) {
	check, err := s.fixture.SignatureCheck()
	return measure.Row{Name: "crypto/rsa alone", Run: func(n int) {
		for range n {
			if err := check(); err != nil {
				panic(err)
			}
		}
	}}, err
}

// interleave measures rows, and in turns with them the signature check that their targets are ratios to.
func (s *session) interleave(rows []measure.Row) (results []measure.Result, rsa float64, err error) {
	alone, err := s.rsaRow()
	if err != nil {
		return nil, 0, err
	}
	results = measure.Interleave(s.options, append(rows, alone))
	return results[:len(rows)], results[len(rows)].Min(), nil
}

func ratio(r, rsa measure.Result) string {
	if r := r.Min() / rsa.Min(); r < 0.1 {
		return fmt.Sprintf("%.3f", r)
	}
	return fmt.Sprintf("%.2f", r.Min()/rsa.Min())
}

// oursRows are a hit, a hit on all cores, a first sight and a forged token.
func oursRows(f *fixture.Fixture) ([]measure.Row, error) {
	cached, err := f.ResourceServer(nil)
	if err != nil {
		return nil, err
	}
	uncached, err := f.ResourceServer(func(cfg *mcpauth.Config) { cfg.Cache.Disabled = true })
	if err != nil {
		return nil, err
	}
	for _, rs := range []*mcpauth.ResourceServer{cached, uncached} {
		if err := check("mcpauth", f, oursVerifier(rs)); err != nil {
			return nil, err
		}
	}
	hit := authenticating(cached, f.Token, mcpauth.OutcomeAllowed)
	return []measure.Row{
		{Name: "mcpauth, hit", Run: hit},
		{Name: fmt.Sprintf("mcpauth, hit, %d cores", runtime.GOMAXPROCS(0)), Run: onAllCores(hit)},
		{Name: "mcpauth, first sight", Run: authenticating(uncached, f.Token, mcpauth.OutcomeAllowed)},
		{Name: "mcpauth, forged token", Run: authenticating(cached, f.Forged, mcpauth.OutcomeInvalidToken)},
	}, nil
}

func authenticating(rs *mcpauth.ResourceServer, token string, want mcpauth.Outcome) func(n int) {
	request := fixture.Request(token)
	return func(n int) {
		for range n {
			if d := rs.Authenticate(context.Background(), request); d.Outcome != want {
				panic(d.Outcome)
			}
		}
	}
}

// onAllCores divides the work among as many goroutines as there are cores.
func onAllCores(run func(n int)) func(n int) {
	return func(n int) {
		workers := runtime.GOMAXPROCS(0)
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() { run((n + workers - 1) / workers) })
		}
		wg.Wait()
	}
}
