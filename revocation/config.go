package mcpauthrevocation

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// Config says how long entries count, where they are kept, and which webhooks are believed. The zero value is a list for one
// process, without webhooks.
type Config struct {
	// Store is shared by all replicas. Without one, the list is for one process, and is lost with it. One that keeps entries for
	// less than MaxTokenLife and ClockSkew is refused.
	Store Store

	// MaxTokenLife is the longest life of a token from iat to exp, 24 h by default and at least a minute. Entries are forgotten
	// that long after they were revoked, and ClockSkew, because no token from before is valid then. A session that lives longer is
	// refused with 401. A session without iat is measured from when it is first seen.
	MaxTokenLife time.Duration

	// ClockSkew is that of [mcpauth.Config], 30 s by default and at most 5 min.
	ClockSkew time.Duration

	// MaxStaleness is how long the store may be silent, or behind with what it sends, 5 min by default and at least 2 s. After
	// that, requests are refused with 503 until it has caught up. A negative MaxStaleness lets requests in for as long as the store
	// is away, by what is known: what is revoked meanwhile on other replicas is not noticed.
	MaxStaleness time.Duration

	// RefuseWithoutOrganization refuses every session that names no organization with 401. Without it, such sessions of an
	// organization's users outlive the organization, unless Members names the users.
	RefuseWithoutOrganization bool

	// WebhookSecrets verify Scalekit's webhooks: whsec_ and base64, from the dashboard. Several may be valid while one replaces
	// another.
	WebhookSecrets []mcpauth.Secret

	// EnvironmentID is the environment that webhooks have to be from, env_...; it is required with WebhookSecrets. The secret of
	// another environment may be the same.
	EnvironmentID string

	// Members returns the ids (usr_...) of an organization's users, when it was deleted: tokens of MCP users are not documented
	// to name their organization. An error, a panic and no answer within 8 s answer the webhook with 503, so that it is sent again.
	Members func(ctx context.Context, organizationID string) (userIDs []string, err error)

	// DirectoryUser returns the id (usr_...) of a user that was deleted or deactivated in an organization's directory, because
	// those events carry none, or "" for a user that this server does not know. It fails as Members does. Without it, the events
	// are logged and change nothing.
	DirectoryUser func(ctx context.Context, user DirectoryUser) (userID string, err error)

	// Logger gets failures of the store (at Warn), what was revoked (at Info) and refused webhooks. The default is
	// slog.Default() at the time of [New].
	Logger *slog.Logger

	// Now is the clock, time.Now by default.
	Now func() time.Time
}

// A DirectoryUser is what Scalekit says of a user in the directory of an organization.
type DirectoryUser struct {
	ID             string // diruser_...
	OrganizationID string
	ConnectionID   string // dp_id
	Email          string
}

const (
	defaultTokenLife = 24 * time.Hour
	minTokenLife     = time.Minute
	defaultSkew      = 30 * time.Second
	maxSkew          = 5 * time.Minute
	defaultStaleness = 5 * time.Minute
	minStaleness     = 2 * time.Second

	secretPrefix   = "whsec_"
	minSecretBytes = 16
)

// normalize fills in the defaults, and returns the decoded secrets, or every mistake.
func (cfg *Config) normalize() (secrets [][]byte, err error) {
	var errs []error
	add := func(field, value, reason string) {
		errs = append(errs, &mcpauth.ConfigError{Field: field, Value: value, Reason: reason})
	}
	if cfg.MaxTokenLife == 0 {
		cfg.MaxTokenLife = defaultTokenLife
	}
	if cfg.MaxTokenLife < minTokenLife {
		add("MaxTokenLife", cfg.MaxTokenLife.String(), "is too short; 0 means 24 h, and at least 1 min is possible")
	}
	if cfg.ClockSkew == 0 {
		cfg.ClockSkew = defaultSkew
	}
	if cfg.ClockSkew < 0 || cfg.ClockSkew > maxSkew {
		add("ClockSkew", cfg.ClockSkew.String(), "is out of range; 0 means 30 s, and up to 5 min are possible")
	}
	if cfg.MaxStaleness == 0 {
		cfg.MaxStaleness = defaultStaleness
	}
	if cfg.MaxStaleness > 0 && cfg.MaxStaleness < minStaleness {
		add("MaxStaleness", cfg.MaxStaleness.String(), "is too short; 0 means 5 min, at least 2 s are possible, and a negative value means for ever")
	}
	for i, secret := range cfg.WebhookSecrets {
		encoded, ok := strings.CutPrefix(secret.Reveal(), secretPrefix)
		decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if !ok || err != nil || len(decoded) < minSecretBytes || strings.ContainsAny(encoded, "\r\n") {
			add("WebhookSecrets", "", "(number "+strconv.Itoa(i+1)+") is not a webhook secret; copy it from the webhook's page in the Scalekit dashboard: whsec_ and base64 of at least 16 bytes")
		}
		secrets = append(secrets, decoded)
	}
	switch {
	case len(secrets) > 0 && cfg.EnvironmentID == "":
		add("EnvironmentID", "", "is missing; set it to the id of the environment that sends the webhooks, env_..., from the Scalekit dashboard")
	case cfg.EnvironmentID != "" && !strings.HasPrefix(cfg.EnvironmentID, "env_"):
		add("EnvironmentID", "", "is not the id of an environment; it begins with env_")
	}
	if cfg.Store == nil {
		cfg.Store = soleStore{}
	}
	if store, ok := cfg.Store.(forgetful); ok && store.Keeps() < cfg.MaxTokenLife+cfg.ClockSkew {
		add("Store", store.Keeps().String(), "is how long it keeps entries, and too short: replicas that start later would let in what was revoked; "+
			"let it keep them for longer than MaxTokenLife and ClockSkew, which are "+(cfg.MaxTokenLife+cfg.ClockSkew).String())
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.Logger = safeLogger(cfg.Logger)
	cfg.Now = safeClock(cfg.Now)
	return secrets, errors.Join(errs...)
}
