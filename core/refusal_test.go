package mcpauth_test

import (
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// TestRefusalsAreLoggedWithCauseAndCure reads the log lines of refusals: claims are in them only when the signature holds.
func TestRefusalsAreLoggedWithCauseAndCure(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *mcpauth.Config) { cfg.ResourceID = "" })
	evil := mcpauthtest.NewKey(f.env.Keys().Current().ID())
	for _, c := range []struct {
		name, token string
		want, not   string
	}{
		{
			"audience", f.env.Token(m{"iss": f.env.URL(), "aud": "https://other.example"}),
			`level=INFO msg="request refused" outcome=invalid_token cause="the token is meant for another resource" token_iss=` + f.env.URL() +
				` token_aud=[https://other.example] resource=https://mcp.example.com/mcp accepted_aud="[https://mcp.example.com/mcp https://mcp.example.com]" cure="register the URL that this line calls resource as the Server URL in the Scalekit dashboard, or set SCALEKIT_RESOURCE_ID"`, "",
		},
		{"issuer", f.env.Token(nil), `cause="the token has another issuer" token_iss=` + f.env.Issuer(), ""},
		{"R72 forged", f.env.Mint(mcpauthtest.Token{Key: evil, Claims: m{"aud": "attackers-text", "iss": "attackers-text"}}), `cause="the token's signature is wrong"`, "attackers-text"},
		{"expired", f.env.Token(m{"iss": f.env.URL(), "aud": baseURL, "exp": 1_700_000_000, "iat": 1, "sub": "usr_secret"}), `outcome=expired cause="the token is expired"`, "usr_secret"},
		{"none", "", `level=DEBUG msg="request refused" outcome=no_credentials`, ""},
	} {
		before := len(f.log.String())
		f.send(t, c.token)
		got := f.log.String()[before:]
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
		if c.not != "" && strings.Contains(got, c.not) {
			t.Errorf("%s: the log shows %s", c.name, c.not)
		}
		if c.token != "" && strings.Contains(got, c.token[:40]) {
			t.Errorf("%s: the log shows the token", c.name)
		}
	}
}
