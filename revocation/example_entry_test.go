package mcpauthrevocation_test

import (
	"context"
	"fmt"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// refuses prints whether an entry refuses the token of usr_1 in org_1, and the one that the user gets an hour later.
func refuses(e mcpauthrevocation.Entry) {
	list, _ := mcpauthrevocation.New(mcpauthrevocation.Config{Logger: quiet})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go list.Run(ctx) //nolint:errcheck // it ends with ctx
	for list.Ready(ctx) != nil {
		time.Sleep(time.Millisecond)
	}
	e.At = time.Now().Add(-time.Hour)
	if err := list.Revoke(ctx, e); err != nil {
		fmt.Println(err)
	}
	for _, issued := range []time.Time{e.At, time.Now()} {
		session := mcpauthtest.NewSession(map[string]any{"oid": "org_1", "jti": "tkn_1", "iat": issued.Unix()})
		fmt.Println(list.Watch(session)() != nil)
	}
}

func ExampleToken() {
	refuses(mcpauthrevocation.Token("tkn_1"))
	// Output:
	// true
	// true
}

func ExampleSession() {
	refuses(mcpauthrevocation.Session("ses_1"))
	// Output:
	// true
	// true
}

func ExampleUser() {
	refuses(mcpauthrevocation.User("usr_1"))
	// Output:
	// true
	// false
}

func ExampleMember() {
	refuses(mcpauthrevocation.Member("usr_1", "org_1"))
	// Output:
	// true
	// false
}

func ExampleOrganization() {
	refuses(mcpauthrevocation.Organization("org_1"))
	// Output:
	// true
	// false
}

func ExampleClient() {
	refuses(mcpauthrevocation.Client("m2m_1"))
	// Output:
	// true
	// false
}
