package devenv

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv/internal/webhook"
)

const (
	defaultAddr      = "127.0.0.1:3002"
	defaultServerURL = "http://localhost:3001/mcp"
)

// Config describes an environment. The zero value is ready to use.
type Config struct {
	// Addr is where the environment listens: host:port, on loopback only unless DangerouslyAllowNetwork is set. Port 0 means a
	// free port. The default is 127.0.0.1:3002, or a free port when that one is taken; an Addr that is set and taken is an error.
	Addr string

	// DangerouslyAllowNetwork opens the environment to a network, such as that of the containers of a development machine. It
	// holds the host names under which the environment may be reached there, in addition to those of loopback, and Addr may then
	// be any address: devenv and 0.0.0.0:3002, for http://devenv:3002. The first name is the host of [Environment.URL] and of the
	// issuer, which browsers and MCP clients have to reach, too. With localhost in front, clients on the same machine use
	// http://localhost:3002, and only servers in the network use the other names (InternalEnvironmentURL of mcpauth.Config).
	//
	// Everyone who reaches the environment there can sign in as any user, press the buttons of its page and read what it shows;
	// those in between can read and change what others send. Requests for other host names are still refused (DNS rebinding), and
	// other web pages still can't sign in, press buttons or read. But browsers send no Fetch Metadata to names that are not on
	// loopback, so a page can request an address there without seeing the answer. Give only names that lead to this machine:
	// those who decide where a name leads can act as the page does.
	//
	// Client metadata documents on loopback are not fetched, so that the network can't reach other programs of this machine. The
	// default is none: loopback alone.
	DangerouslyAllowNetwork []string

	// ServerURL is the URL of the MCP server as it would be registered in Scalekit's dashboard. It is the first audience of
	// the access tokens, byte for byte. Clients may send it, its origin, or /mcp below either as resource (RFC 8707), or send no
	// resource. The default is http://localhost:3001/mcp.
	ServerURL string

	// Audience replaces the audiences of access tokens, which are ServerURL and ResourceID by default. ResourceID alone is what
	// tokens have when no Server URL is registered.
	Audience []string

	// ResourceID is the id of the MCP server, and the second audience of the access tokens. The default is res_local.
	ResourceID string

	// ClientID and ClientSecret are the environment's API credentials, for the Scalekit SDK. The defaults are skc_local
	// and a random secret.
	ClientID, ClientSecret string

	// BareIssuer makes {url} the issuer of access tokens, as in older environments, instead of {url}/resources/{id}.
	BareIssuer bool

	// IssuerOrigin replaces {url} in the issuer of access tokens by another origin, such as https://acme.scalekit.com. So it is with
	// tokens that were issued before an environment got a domain of its own. Nothing is asked there, and documents go on naming
	// {url}: clients refuse those that name another issuer than the one that they looked for. The default is {url}.
	IssuerOrigin string

	// Scopes are the scopes that clients may ask for, in addition to openid, profile, email and offline_access. The default
	// is announce:send, greet:write and profile:read.
	Scopes []string

	// AccessTokenTTL is how long tokens are valid, in whole seconds, until [Environment.SetTokenLife] changes it. The default is
	// five minutes.
	AccessTokenTTL time.Duration

	// OrgClaims adds oid, xoid, roles and permissions to the access tokens of users in an organization, as Scalekit's full-stack
	// tokens have them. Without it, tokens come as they are documented for MCP users: with sid, and without an organization.
	OrgClaims bool

	// Users are the people that one can sign in as. The default is three: one in each of two organizations, and one in none.
	Users []User

	// Clients are programs that were registered on the MCP server by hand, and get tokens for themselves. The default is none;
	// [Environment.CreateClient] registers more.
	Clients []Client

	// WebhookURLs get a signed webhook for each session, member, organization and user that is ended, removed, deleted or
	// deactivated. Each URL gets all of them: give one for each replica of a server that has no store in common. The default is none.
	WebhookURLs []string

	// WebhookSecret signs the webhooks: whsec_ and base64 of at least 16 bytes. The default is random.
	WebhookSecret string

	// WebhookWaits are the times between the tries of a webhook, which end with the first answer that is 2xx within 10 s. The
	// default is three: 5 s, 30 s and 2 min. An empty slice that is not nil means one try.
	WebhookWaits []time.Duration

	// EnvironmentID is in every webhook. The default is env_local.
	EnvironmentID string

	// Logger gets refused requests at Debug, and a replaced port and webhooks that were given up at Warn. The default is
	// slog.Default().
	Logger *slog.Logger
}

// A User is a person that the sign-in page offers.
type User struct {
	ID           string // the token's sub; starts with usr_
	Name         string
	Email        string
	Organization Organization // the zero value for a user without one

	// Roles and Permissions are those in the organization. They are in tokens with OrgClaims.
	Roles, Permissions []string
}

// An Organization is what the organization service returns for its id. That id is the token's oid, where tokens have one.
type Organization struct {
	ID         string // starts with org_
	Name       string
	ExternalID string // optional; the id in the user's own program
}

func defaultUsers() []User {
	return []User{
		{
			ID: "usr_ada", Name: "Ada Lovelace", Email: "ada@analytical.example",
			Organization: Organization{ID: "org_analytical", Name: "Analytical Engines", ExternalID: "tenant-1"},
			Roles:        []string{"admin"}, Permissions: []string{"engines:run", "engines:read"},
		},
		{
			ID: "usr_grace", Name: "Grace Hopper", Email: "grace@compilers.example",
			Organization: Organization{ID: "org_compilers", Name: "Compilers United", ExternalID: "tenant-2"},
			Roles:        []string{"member"}, Permissions: []string{"compilers:read"},
		},
		{ID: "usr_alan", Name: "Alan Turing", Email: "alan@nowhere.example"},
	}
}

// withDefaults returns c with every zero value replaced, except Addr: there the zero value allows another port.
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
	c.EnvironmentID = cmp.Or(c.EnvironmentID, "env_local")
	c.WebhookSecret = cmp.Or(c.WebhookSecret, webhook.NewSecret())
	if c.WebhookWaits == nil {
		c.WebhookWaits = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if len(c.Audience) == 0 {
		c.Audience = []string{c.ServerURL, c.ResourceID}
	}
	c.Audience = slices.Clone(c.Audience)
	c.Scopes, c.Users = slices.Clone(c.Scopes), slices.Clone(c.Users)
	c.WebhookURLs, c.WebhookWaits = slices.Clone(c.WebhookURLs), slices.Clone(c.WebhookWaits)
	c.Clients = slices.Clone(c.Clients)
	c.DangerouslyAllowNetwork = slices.Clone(c.DangerouslyAllowNetwork)
	return c
}

var (
	resourceIDPattern = regexp.MustCompile(`^res_[A-Za-z0-9_-]+$`)
	scopePattern      = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+$`) // RFC 6749 §3.3
)

// validate returns all mistakes at once.
func (c Config) validate() error {
	var errs []error
	mistake := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("devenv: "+field+": "+format, args...))
	}
	if err := c.checkAddr(cmp.Or(c.Addr, defaultAddr)); err != nil {
		mistake("Addr", "%w", err)
	}
	if u, err := url.Parse(c.ServerURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") ||
		u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		mistake("ServerURL", "%q is not an http or https URL without user, query and fragment; give one like http://localhost:3001/mcp", c.ServerURL)
	}
	if !isOrigin(cmp.Or(c.IssuerOrigin, "https://acme.scalekit.com")) {
		mistake("IssuerOrigin", "%q is not an origin; give scheme and host alone, in lower case and without a slash at the end, like https://acme.scalekit.com", c.IssuerOrigin)
	}
	if !resourceIDPattern.MatchString(c.ResourceID) {
		mistake("ResourceID", "%q is not the id of an MCP server; give one like res_local", c.ResourceID)
	}
	if slices.Contains(c.Audience, "") {
		mistake("Audience", "one of them is empty; give URLs or ids like res_local, or none for the server's URL and id")
	}
	if !strings.HasPrefix(c.ClientID, "skc_") {
		mistake("ClientID", "%q does not start with skc_; give one like skc_local", c.ClientID)
	}
	if c.AccessTokenTTL < time.Second {
		mistake("AccessTokenTTL", "%v is less than a second; give at least 1s, or 0 for five minutes", c.AccessTokenTTL)
	}
	for _, scope := range c.Scopes {
		if !scopePattern.MatchString(scope) {
			mistake("Scopes", "%q is not a scope (RFC 6749 §3.3); give names without spaces, quotes and backslashes, like greet:write", scope)
		}
	}
	return errors.Join(slices.Concat(errs, c.checkNetwork(), c.checkWebhooks(), checkUsers(c.Users), checkClients(c.Clients))...)
}

func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && s == u.Scheme+"://"+strings.ToLower(u.Host)
}

func (c Config) checkWebhooks() []error {
	var errs []error
	for i, target := range c.WebhookURLs {
		u, err := url.Parse(target)
		switch {
		case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.Fragment != "":
			errs = append(errs, fmt.Errorf("devenv: WebhookURLs: number %d is not an http or https URL without fragment; give one like http://localhost:3001/webhooks/scalekit", i+1))
		case slices.Contains(c.WebhookURLs[:i], target):
			errs = append(errs, fmt.Errorf("devenv: WebhookURLs: number %d was given before; give each URL once", i+1))
		}
	}
	if _, err := webhook.Key(c.WebhookSecret); err != nil {
		errs = append(errs, fmt.Errorf("devenv: WebhookSecret: the value %w; leave it out for a random one", err))
	}
	for _, wait := range c.WebhookWaits {
		if wait < 0 {
			errs = append(errs, fmt.Errorf("devenv: WebhookWaits: %v is negative; give times to wait between two tries, like 5s", wait))
		}
	}
	if !strings.HasPrefix(c.EnvironmentID, "env_") {
		errs = append(errs, fmt.Errorf("devenv: EnvironmentID: %q does not start with env_; give one like env_local", c.EnvironmentID))
	}
	return errs
}

func checkUsers(users []User) []error {
	var errs []error
	known := make(map[string]bool)
	organizations := make(map[string]Organization)
	for _, u := range users {
		if !strings.HasPrefix(u.ID, "usr_") {
			errs = append(errs, fmt.Errorf("devenv: Users: id %q does not start with usr_; give one like usr_ada", u.ID))
		}
		if known[u.ID] {
			errs = append(errs, fmt.Errorf("devenv: Users: id %q is given twice; give each user an id of their own", u.ID))
		}
		known[u.ID] = true
		org := u.Organization
		if org == (Organization{}) {
			continue
		}
		if !strings.HasPrefix(org.ID, "org_") {
			errs = append(errs, fmt.Errorf("devenv: Users: organization %q of %q does not start with org_; give an id like org_analytical", org.ID, u.ID))
		}
		if have, ok := organizations[org.ID]; ok && have != org {
			errs = append(errs, fmt.Errorf("devenv: Users: organization %q has different names or external ids; give all its users the same", org.ID))
		}
		organizations[org.ID] = org
	}
	return errs
}
