package devenv

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv/internal/netaddr"
)

const (
	defaultAddr      = "127.0.0.1:3002"
	defaultServerURL = "http://localhost:3001/mcp"
)

// Config says what an environment looks like. The zero value is ready to use.
type Config struct {
	// Addr is where it listens: host:port, on loopback only. Port 0 is a free one. The default is 127.0.0.1:3002, or a
	// free port when that one is taken; an address that is written here and is taken is an error.
	Addr string

	// ServerURL is the URL of the MCP server as one registers it in Scalekit's dashboard, and the first audience of the
	// access tokens, byte for byte. Clients may send it, or its origin, as resource (RFC 8707), or none at all.
	// The default is http://localhost:3001/mcp.
	ServerURL string

	// ResourceID is the id of the MCP server, and the second audience. The default is res_local.
	ResourceID string

	// ClientID and ClientSecret are the environment's API credentials, for the Scalekit SDK. The defaults are skc_local
	// and a random secret.
	ClientID, ClientSecret string

	// BareIssuer makes {url} the issuer of access tokens, as older environments have it, instead of
	// {url}/resources/{id}.
	BareIssuer bool

	// Scopes are what clients may ask for, beside openid, profile, email and offline_access. The default is
	// announce:send, greet:write and profile:read.
	Scopes []string

	// AccessTokenTTL is how long tokens are valid, in whole seconds; the default is five minutes.
	AccessTokenTTL time.Duration

	// Users are the people that one can sign in as. The default is one of each of two organizations, and one of none.
	Users []User

	// Logger gets what was refused, at Debug, and a replaced port, at Warn; the default is slog.Default().
	Logger *slog.Logger
}

// A User is a person whom the sign-in page offers.
type User struct {
	ID           string // the token's sub; starts with usr_
	Name         string
	Email        string
	Organization Organization // the zero value for a user of none
}

// An Organization is what the organization service answers for its id, which is the token's oid.
type Organization struct {
	ID         string // starts with org_
	Name       string
	ExternalID string // optional; the user's program's own id
}

func defaultUsers() []User {
	return []User{
		{
			ID: "usr_ada", Name: "Ada Lovelace", Email: "ada@analytical.example",
			Organization: Organization{ID: "org_analytical", Name: "Analytical Engines", ExternalID: "tenant-1"},
		},
		{
			ID: "usr_grace", Name: "Grace Hopper", Email: "grace@compilers.example",
			Organization: Organization{ID: "org_compilers", Name: "Compilers United", ExternalID: "tenant-2"},
		},
		{ID: "usr_alan", Name: "Alan Turing", Email: "alan@nowhere.example"},
	}
}

// withDefaults returns c with every zero value replaced, but for Addr, whose zero value allows another port.
func (c Config) withDefaults() Config {
	c.ServerURL = cmp.Or(c.ServerURL, defaultServerURL)
	c.ResourceID = cmp.Or(c.ResourceID, "res_local")
	c.ClientID = cmp.Or(c.ClientID, "skc_local")
	c.ClientSecret = cmp.Or(c.ClientSecret, rand.Text())
	c.AccessTokenTTL = cmp.Or(c.AccessTokenTTL, 5*time.Minute)
	if len(c.Scopes) == 0 {
		c.Scopes = []string{"announce:send", "greet:write", "profile:read"}
	}
	if len(c.Users) == 0 {
		c.Users = defaultUsers()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Scopes, c.Users = slices.Clone(c.Scopes), slices.Clone(c.Users)
	return c
}

var (
	resourceIDPattern = regexp.MustCompile(`^res_[A-Za-z0-9_-]+$`)
	scopePattern      = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+$`) // RFC 6749 §3.3
)

// validate reports every mistake at once.
func (c Config) validate() error {
	var errs []error
	mistake := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("devenv: "+field+": "+format, args...))
	}
	if err := checkAddr(cmp.Or(c.Addr, defaultAddr)); err != nil {
		mistake("Addr", "%w", err)
	}
	if u, err := url.Parse(c.ServerURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") ||
		u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		mistake("ServerURL", "%q is not an http or https URL without query and fragment", c.ServerURL)
	}
	if !resourceIDPattern.MatchString(c.ResourceID) {
		mistake("ResourceID", "%q is not the id of an MCP server, which looks like res_local", c.ResourceID)
	}
	if !strings.HasPrefix(c.ClientID, "skc_") {
		mistake("ClientID", "%q does not start with skc_", c.ClientID)
	}
	if c.AccessTokenTTL < time.Second {
		mistake("AccessTokenTTL", "%v is less than a second", c.AccessTokenTTL)
	}
	for _, scope := range c.Scopes {
		if !scopePattern.MatchString(scope) {
			mistake("Scopes", "%q is not a scope (RFC 6749 §3.3)", scope)
		}
	}
	return errors.Join(append(errs, checkUsers(c.Users)...)...)
}

func checkUsers(users []User) []error {
	var errs []error
	known := make(map[string]bool)
	organizations := make(map[string]Organization)
	for _, u := range users {
		if !strings.HasPrefix(u.ID, "usr_") {
			errs = append(errs, fmt.Errorf("devenv: Users: id %q does not start with usr_", u.ID))
		}
		if known[u.ID] {
			errs = append(errs, fmt.Errorf("devenv: Users: id %q is given twice", u.ID))
		}
		known[u.ID] = true
		org := u.Organization
		if org == (Organization{}) {
			continue
		}
		if !strings.HasPrefix(org.ID, "org_") {
			errs = append(errs, fmt.Errorf("devenv: Users: organization %q of %q does not start with org_", org.ID, u.ID))
		}
		if have, ok := organizations[org.ID]; ok && have != org {
			errs = append(errs, fmt.Errorf("devenv: Users: organization %q is described in two ways", org.ID))
		}
		organizations[org.ID] = org
	}
	return errs
}

// checkAddr refuses what is not loopback, before anything listens there.
func checkAddr(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not host:port", addr)
	}
	if !netaddr.IsLoopback(host) {
		return fmt.Errorf("%q is not loopback: anybody can sign in as anybody here; use 127.0.0.1, ::1 or localhost", addr)
	}
	return nil
}
