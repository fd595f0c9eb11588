package mcpauth

import (
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	defaultPath      = "/mcp"
	defaultClockSkew = 30 * time.Second
	maxClockSkew     = 5 * time.Minute
	defaultMaxCall   = time.Hour
	defaultEntries   = 10_000
	defaultCacheAge  = time.Minute
	maxCacheAge      = 10 * time.Minute
	redacted         = "[redacted]"
)

// checker collects the mistakes of a Config.
type checker struct {
	errs   []error
	secret Secret // never shown in an error, even if it is also in another field
	place  string // says which value of several is being checked, or is empty

	insecure bool // DangerouslyAllowInsecureEnvironment
}

// add adds a mistake in a value that a user typed.
func (c *checker) add(field, value, reason string) {
	c.addKnown(field, abridgeExcept(c.secret, value), reason)
}

// addKnown adds a mistake in a value that is safe to show: a word of ours, a number, or [redacted].
func (c *checker) addKnown(field, value, reason string) {
	c.errs = append(c.errs, &ConfigError{Field: field, Value: value, Reason: c.place + reason})
}

// each calls check for each value of a list. Mistakes say which of several values it is, because little of a value is shown.
func (c *checker) each(values []string, check func(value string)) {
	outer := c.place
	for i, value := range values {
		if len(values) > 1 {
			c.place = outer + "(number " + strconv.Itoa(i+1) + ") "
		}
		check(value)
	}
	c.place = outer
}

// normalize returns cfg with its defaults filled in and its URLs trimmed, or every mistake in it.
func normalize(cfg Config) (Config, error) {
	c := checker{secret: cfg.ClientSecret, insecure: cfg.DangerouslyAllowInsecureEnvironment}
	cfg.EnvironmentURL = c.environmentURL(cfg.EnvironmentURL)
	cfg.InternalEnvironmentURL = c.internalEnvironmentURL(cfg.InternalEnvironmentURL)
	if cfg.InternalEnvironmentURL == cfg.EnvironmentURL {
		cfg.InternalEnvironmentURL = "" // so that SharedKeys take both for the same
	}
	c.insecureEnvironment(&cfg)
	cfg.BaseURL = c.baseURL(cfg.BaseURL)
	cfg.Path = c.path(cfg.Path)
	c.metadataURL(&cfg)
	c.resourceID(cfg.ResourceID)
	c.credentials(cfg.ClientID, cfg.ClientSecret.Reveal())
	c.scopes(&cfg)
	c.documentMembers(&cfg)
	c.each(cfg.ChallengeInResultFor, c.resultClient)
	c.each(cfg.AllowedOrigins, c.origin)
	c.each(cfg.AllowedHeaders, c.allowedHeader)
	c.each(cfg.ExposedHeaders, c.exposedHeader)
	c.issuersAndAudiences(&cfg)
	if cfg.SharedKeys != nil && cfg.EnvironmentURL != "" {
		cfg.SharedKeys.check(&c, cfg.EnvironmentURL, cfg.InternalEnvironmentURL, cfg.HTTPClient)
	}
	c.credentialHeader(cfg.CredentialHeader, cfg.Credential != nil)
	if cfg.OmitRootMetadata && cfg.Path == "/" && strings.Count(cfg.BaseURL, "/") == 2 {
		c.add("OmitRootMetadata", "", "leaves no metadata document at all when Path is \"/\"; give the endpoint a path, or serve the root document")
	}
	c.bounds(&cfg)
	return cfg, errors.Join(c.errs...)
}

func (c *checker) environmentURL(raw string) string {
	const field = "EnvironmentURL"
	if raw == "" {
		c.add(field, "", "is missing; set SCALEKIT_ENVIRONMENT_URL to the environment's URL, such as https://acme.scalekit.com")
		return ""
	}
	trimmed, u := c.webURL(field, raw, "the environment's URL from the Scalekit dashboard")
	if u != nil && u.Path != "" {
		c.add(field, raw, "has a path; give the environment's origin alone, and the MCP server's id as ResourceID")
	}
	return trimmed
}

func (c *checker) internalEnvironmentURL(raw string) string {
	const field = "InternalEnvironmentURL"
	if raw == "" {
		return ""
	}
	trimmed, u := c.webURL(field, raw, "the origin at which this server reaches the environment")
	if u != nil && u.Path != "" {
		c.add(field, raw, "has a path; give scheme, host and port alone")
	}
	return trimmed
}

// insecureEnvironment has the setting removed where it allows nothing: it would allow something after a later change.
func (c *checker) insecureEnvironment(cfg *Config) {
	isInsecure := func(raw string) bool { return strings.HasPrefix(raw, "http://") }
	if cfg.DangerouslyAllowInsecureEnvironment && !isInsecure(cfg.EnvironmentURL) && !isInsecure(cfg.InternalEnvironmentURL) && !slices.ContainsFunc(cfg.Issuers, isInsecure) {
		c.add("DangerouslyAllowInsecureEnvironment", "", "is set, and no address of the environment begins with http://; remove it")
	}
}

func (c *checker) baseURL(raw string) string {
	const field = "BaseURL"
	if raw == "" {
		c.add(field, "", "is missing; set BASE_URL to the public URL of this server without the endpoint's path, such as https://mcp.example.com")
		return ""
	}
	trimmed, u := c.webURL(field, raw, "the public URL of this server")
	if u != nil && u.Path != "" {
		if reason := pathMistake(u.EscapedPath()); reason != "" {
			c.add(field, raw, "has a path that "+reason)
		}
	}
	return trimmed
}

func (c *checker) path(path string) string {
	if path == "" {
		return defaultPath
	}
	trimmed := path
	if path != "/" {
		trimmed = strings.TrimSuffix(path, "/")
	}
	switch {
	case !strings.HasPrefix(path, "/"):
		c.add("Path", path, "does not start with a slash; write it like /mcp")
	case hasPrefixFold(trimmed, wellKnownPath), hasPrefixFold(trimmed, serverMetadataPath): // some routers ignore case
		c.add("Path", path, "is where the metadata documents are; choose another")
	case trimmed != "/":
		if reason := pathMistake(trimmed); reason != "" {
			c.add("Path", path, reason)
		}
	}
	return trimmed
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func (c *checker) resourceID(id string) {
	const field = "ResourceID"
	switch {
	case id == "":
	case strings.HasPrefix(id, "conn_"):
		c.add(field, id, "is a connection id; the MCP server's id starts with res_ and is shown by the dashboard under MCP Auth")
	case !strings.HasPrefix(id, "res_"):
		c.add(field, id, "is not an MCP server's id, which starts with res_ and is shown by the dashboard under MCP Auth; leave it empty without one")
	case id == "res_" || strings.ContainsFunc(id, func(r rune) bool { return !isAlphanumeric(r) && r != '_' && r != '-' }):
		c.add(field, id, "is not an id; copy it from the dashboard, without spaces or slashes")
	}
}

func (c *checker) credentials(id, secret string) {
	badCharacter := func(r rune) bool { return r <= ' ' || r == 0x7f }
	switch {
	case id != "" && secret == "":
		c.add("ClientSecret", "", "is missing while ClientID is set; set SCALEKIT_CLIENT_SECRET, or neither of the two")
	case id == "" && secret != "":
		c.add("ClientID", "", "is missing while ClientSecret is set; set SCALEKIT_CLIENT_ID, or neither of the two")
	}
	if strings.HasPrefix(id, "res_") || strings.HasPrefix(id, "m2m_") || strings.HasPrefix(id, "conn_") || strings.ContainsFunc(id, badCharacter) {
		c.add("ClientID", id, "is not the id of API credentials, which starts with skc_ and is shown by the dashboard under API Credentials")
	}
	if strings.ContainsFunc(secret, badCharacter) {
		c.addKnown("ClientSecret", redacted, "holds white space or a control character; copy it again from the dashboard")
	}
}

func (c *checker) scopes(cfg *Config) {
	c.advertisedScopes("Scopes", cfg.Scopes)
	c.advertisedScopes("RequiredScopes", cfg.RequiredScopes)
	for _, scope := range slices.Sorted(maps.Keys(cfg.ImpliedScopes)) {
		c.scope("ImpliedScopes", scope)
		for _, implied := range cfg.ImpliedScopes[scope] {
			c.scope("ImpliedScopes", implied)
		}
	}
}

// ownHeaders are those that have a meaning of their own, and those of corsHeaders.
var ownHeaders = []string{"Authorization", "Cookie", "Origin", "Host", "Connection", "Proxy-Authorization", "Content-Length", "Transfer-Encoding"}

func (c *checker) credentialHeader(name string, hasHook bool) {
	const field = "CredentialHeader"
	isName := func(other string) bool { return strings.EqualFold(other, name) }
	switch {
	case name == "":
	case !hasHook:
		c.add(field, name, "is set while Credential is not; set the function that checks its values, or remove it")
	case !isToken(name):
		c.add(field, name, "is not the name of a header; write one such as X-Api-Key")
	case slices.ContainsFunc(ownHeaders, isName) || slices.ContainsFunc(strings.Split(corsHeaders, ", "), isName) ||
		strings.HasPrefix(strings.ToLower(name), paramHeader):
		c.add(field, name, "has a meaning of its own in HTTP or MCP; choose another header, such as X-Api-Key, or leave it empty for values of Bearer")
	}
}

func (c *checker) documentMembers(cfg *Config) {
	if cfg.DocsURL != "" {
		if u, err := url.Parse(cfg.DocsURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			c.add("DocsURL", cfg.DocsURL, "is not a web address; give an absolute https URL, such as https://docs.example.com")
		}
	}
	if strings.ContainsFunc(cfg.ResourceName, isControl) {
		c.add("ResourceName", cfg.ResourceName, "holds a control character; remove it")
	}
	c.extraMetadata(cfg.ExtraMetadata)
}

func (c *checker) extraMetadata(extra map[string]any) {
	const field = "ExtraMetadata"
	ours := metadataMembers(&Config{}, "")
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		if name == "" || slices.ContainsFunc(ours, func(m member) bool { return m.name == name }) {
			c.addKnown(field, name, "is a member that the library writes itself; use the field of Config for it")
			continue
		}
		encoded, err := json.Marshal(extra[name])
		if err != nil {
			c.add(field, name, "can't be written as JSON; use strings, numbers, slices and maps") // err may hold the value
			continue
		}
		// Members without a value have to be left out (RFC 9728 §2).
		if s := string(encoded); s == "null" || s == `""` || s == "[]" {
			c.add(field, name, "has no value; leave it out")
		}
	}
}

func (c *checker) resultClient(product string) {
	if product != "*" && !isToken(product) {
		c.add("ChallengeInResultFor", product, "is not the name of a product; write the name alone, such as openai-mcp for the User-Agent openai-mcp/1.0.0")
	}
}

func (c *checker) origin(origin string) {
	const field = "AllowedOrigins"
	if origin == "*" {
		return
	}
	if origin == "null" {
		c.addKnown(field, origin, "stands for every sandboxed page and can't be listed; serve the page from an origin of its own, and list that, or set DangerouslyAllowNullOrigin")
		return
	}
	u, err := url.Parse(origin)
	switch {
	case err == nil && u.User != nil:
		c.addKnown(field, redacted, "holds a user name or password; give scheme and host alone")
	case err != nil || u.Scheme == "" || u.Host == "" || u.Hostname() == "" || strings.ContainsFunc(origin, func(r rune) bool { return r <= ' ' || r > '~' }):
		c.add(field, origin, "is not an origin; write it like https://app.example.com")
	case u.Path != "" || strings.ContainsAny(origin, "?#"):
		c.add(field, origin, "is more than an origin; keep scheme, host and port, without a slash at the end")
	case strings.Contains(origin, "*"):
		c.add(field, origin, "is a pattern, but origins are compared byte by byte; list each origin, or use \"*\" for all")
	case origin != strings.ToLower(origin):
		c.add(field, origin, "has capital letters, which browsers never send; write it in lower case")
	case !validPort(u):
		c.add(field, origin, "has a port that is impossible, or that is the default of its scheme, which browsers leave out; remove it")
	}
}

func (c *checker) issuersAndAudiences(cfg *Config) {
	c.each(cfg.Issuers, func(issuer string) {
		c.webURL("Issuers", issuer, "the issuer exactly as tokens carry it in iss")
	})
	if cfg.BaseURL != "" && cfg.BaseURL == cfg.EnvironmentURL && cfg.ResourceID == "" {
		c.add("BaseURL", cfg.BaseURL, "is the environment's own URL, and tokens for it are not meant for this server; set BASE_URL to the public URL of this server")
	}
	if cfg.Path != "/" && strings.HasSuffix(cfg.BaseURL, cfg.Path) {
		c.add("BaseURL", cfg.BaseURL, "ends in the endpoint's path, which is added to it; remove the path from BASE_URL")
	}
	c.each(cfg.Audiences, func(audience string) {
		if audience != "" && strings.TrimSuffix(audience, "/") == cfg.EnvironmentURL { // the slash makes no difference
			c.add("Audiences", audience, "is the environment's own URL, and tokens for it are not meant for this server; remove it")
		}
		if audience == "" || strings.ContainsFunc(audience, isControl) {
			c.add("Audiences", audience, "holds an empty entry or a control character; give the audience exactly as tokens carry it in aud")
		}
	})
}

// bounds checks how much and how long, and fills in the defaults.
func (c *checker) bounds(cfg *Config) {
	switch {
	case cfg.ClockSkew != 0 && cfg.ClockSkew < time.Millisecond || cfg.ClockSkew > maxClockSkew:
		c.addKnown("ClockSkew", cfg.ClockSkew.String(), "is out of range; 0 means 30 s, and 1 ms to 5 min are possible")
	case cfg.ClockSkew == 0:
		cfg.ClockSkew = defaultClockSkew
	}
	switch {
	case cfg.MaxCall < 0:
		cfg.MaxCall = -time.Millisecond
	case cfg.MaxCall == 0:
		cfg.MaxCall = defaultMaxCall
	}
	switch {
	case cfg.Cache.MaxEntries < 0:
		c.addKnown("Cache.MaxEntries", strconv.Itoa(cfg.Cache.MaxEntries), "is negative; 0 means 10,000, and Cache.Disabled turns the cache off")
	case cfg.Cache.MaxEntries == 0:
		cfg.Cache.MaxEntries = defaultEntries
	}
	switch {
	case cfg.Cache.MaxAge != 0 && cfg.Cache.MaxAge < time.Millisecond || cfg.Cache.MaxAge > maxCacheAge:
		c.addKnown("Cache.MaxAge", cfg.Cache.MaxAge.String(), "is out of range; 0 means 60 s, and 1 ms to 10 min are possible")
	case cfg.Cache.MaxAge == 0:
		cfg.Cache.MaxAge = defaultCacheAge
	}
}
