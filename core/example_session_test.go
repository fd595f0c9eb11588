package mcpauth_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// A tool finds its caller in the context of the request. Without the middleware in front there is none, and an error that
// says so.
func ExampleSessionFromContext() {
	whoami := func(ctx context.Context) (string, error) {
		session, err := mcpauth.SessionFromContext(ctx)
		if err != nil {
			return "", err
		}
		return session.UserID() + " of " + session.OrganizationID(), nil
	}

	session := mcpauthtest.NewSession(map[string]any{"sub": "usr_ada", "oid": "org_acme"}) // in production: the middleware's
	fmt.Println(whoami(mcpauth.NewContext(context.Background(), session)))
	_, err := whoami(context.Background())
	fmt.Println(errors.Is(err, mcpauth.ErrNoSession))
	// Output:
	// usr_ada of org_acme <nil>
	// true
}

// NewContext puts a session into a context, so that a tool can be tested without HTTP.
func ExampleNewContext() {
	deleteOrder := func(ctx context.Context) error {
		session, err := mcpauth.SessionFromContext(ctx)
		if err != nil {
			return err
		}
		if !session.HasScopes("orders:write") {
			return errors.New("you may not delete orders")
		}
		return nil
	}

	reader := mcpauthtest.NewSession(map[string]any{"scope": "orders:read"})
	writer := mcpauthtest.NewSession(map[string]any{"scope": "orders:read orders:write"})
	fmt.Println(deleteOrder(mcpauth.NewContext(context.Background(), reader)))
	fmt.Println(deleteOrder(mcpauth.NewContext(context.Background(), writer)))
	// Output:
	// you may not delete orders
	// <nil>
}

// A Session says who calls, for whom and with what.
func ExampleSession() {
	session := mcpauthtest.NewSession(map[string]any{
		"sub": "usr_ada", "xuid": "4711", "client_id": "m2m_1", "sid": "ses_1", "jti": "tkn_1",
		"oid": "org_acme", "xoid": "acme", "scope": "orders:read", "roles": []string{"clerk"}, "permissions": []string{"refund"},
		"iat": 1_700_000_000, "exp": int64(4_000_000_000),
	})
	fmt.Println("user:", session.UserID(), "your own id:", session.ExternalUserID(), "machine:", session.IsMachine())
	fmt.Println("organization:", session.OrganizationID(), "your own id:", session.ExternalOrganizationID())
	fmt.Println("scopes:", session.Scopes(), "roles:", session.Roles(), "permissions:", session.Permissions())
	fmt.Println("client:", session.ClientID(), "session:", session.SessionID(), "token:", session.TokenID())
	fmt.Println("meant for:", session.Audience())
	fmt.Println("issued:", session.IssuedAt().UTC().Format(time.DateOnly), "expires:", session.ExpiresAt().UTC().Format(time.DateOnly))
	// Output:
	// user: usr_ada your own id: 4711 machine: false
	// organization: org_acme your own id: acme
	// scopes: [orders:read] roles: [clerk] permissions: [refund]
	// client: m2m_1 session: ses_1 token: tkn_1
	// meant for: [res_test]
	// issued: 2023-11-14 expires: 2096-10-02
}

// HasScopes is asked where one rule for the whole endpoint is not enough.
func ExampleSession_HasScopes() {
	session := mcpauthtest.NewSession(map[string]any{"scope": "orders:read orders:write"})
	fmt.Println(session.HasScopes("orders:read"), session.HasScopes("orders:read", "orders:delete"))
	// Output: true false
}

// DecodeClaims reads claims of your own into a type of your own. Claims returns all of them.
func ExampleSession_DecodeClaims() {
	session := mcpauthtest.NewSession(map[string]any{"plan": "gold", "seats": 12})
	var claims struct {
		Plan  string
		Seats int
	}
	if err := session.DecodeClaims(&claims); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(claims.Plan, claims.Seats, session.Claims()["plan"])
	// Output: gold 12 gold
}

// Principal is the key under which a program keeps what belongs to a caller: it stays the same when the token is refreshed,
// and no user of another issuer has it.
func ExampleSession_Principal() {
	morning := mcpauthtest.NewSession(map[string]any{"sub": "usr_ada", "jti": "tkn_1"})
	evening := mcpauthtest.NewSession(map[string]any{"sub": "usr_ada", "jti": "tkn_2"})
	carts := map[string][]string{morning.Principal(): {"tea"}}
	fmt.Println(carts[evening.Principal()], evening.Issuer() == morning.Issuer())
	// Output: [tea] true
}
