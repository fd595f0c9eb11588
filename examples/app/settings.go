package app

import (
	"cmp"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

type settings struct {
	addr, port string // ADDR, PORT
	devenvPort string // DEVENV_PORT; "" for the default port, or another if that is taken
	stateless  bool   // STATELESS
	public     bool   // PUBLIC
	config     mcpauth.Config
}

// readSettings returns all mistakes at once, including those that mcpauth.New would find.
func readSettings() (settings, error) {
	env := func(name string) string { return strings.TrimSpace(os.Getenv(name)) }
	s := settings{
		addr:       cmp.Or(env("ADDR"), "127.0.0.1"),
		port:       cmp.Or(env("PORT"), "3001"),
		devenvPort: env("DEVENV_PORT"),
		config:     mcpauth.ConfigFromEnv(),
	}
	s.config.InternalEnvironmentURL = env("INTERNAL_ENVIRONMENT_URL")
	s.config.RequiredScopes = strings.Fields(env("REQUIRED_SCOPES"))
	for origin := range strings.SplitSeq(env("ALLOWED_ORIGINS"), ",") {
		if origin = strings.TrimSpace(origin); origin != "" {
			s.config.AllowedOrigins = append(s.config.AllowedOrigins, origin)
		}
	}

	var errs []error
	mistake := func(name, reason string) {
		errs = append(errs, &mcpauth.ConfigError{Field: name, Value: env(name), Reason: reason})
	}
	if !isPort(s.port) {
		mistake("PORT", "is not a port; give a number up to 65535, or 0 for a free one")
	}
	if s.devenvPort != "" && !isPort(s.devenvPort) {
		mistake("DEVENV_PORT", "is not a port; give a number up to 65535, or 0 for a free one")
	}
	flag := func(name, value string) bool {
		on, err := strconv.ParseBool(cmp.Or(value, "0"))
		if err != nil {
			mistake(name, "is not valid; set 1 or 0")
		}
		return on
	}
	s.stateless, s.public = flag("STATELESS", env("STATELESS")), flag("PUBLIC", env("PUBLIC"))
	s.config.AdvertiseOfflineAccess = flag("ADVERTISE_OFFLINE_ACCESS", env("ADVERTISE_OFFLINE_ACCESS"))
	s.config.DangerouslyAllowInsecureEnvironment = flag("DANGEROUSLY_ALLOW_INSECURE_ENVIRONMENT", env("DANGEROUSLY_ALLOW_INSECURE_ENVIRONMENT"))
	if v := env("CLOCK_SKEW"); v != "" {
		skew, err := time.ParseDuration(v)
		if err != nil {
			mistake("CLOCK_SKEW", "is not a duration; give one such as 30s")
		}
		s.config.ClockSkew = skew
	}
	if s.config.EnvironmentURL == "" {
		for _, name := range []string{"SCALEKIT_CLIENT_ID", "SCALEKIT_CLIENT_SECRET", "SCALEKIT_RESOURCE_ID", "INTERNAL_ENVIRONMENT_URL"} {
			if env(name) != "" {
				errs = append(errs, &mcpauth.ConfigError{Field: name, Reason: "is set, but SCALEKIT_ENVIRONMENT_URL is not; set both, or neither for a local environment"})
			}
		}
	}

	check := s.config // with the values that are filled in later
	check.EnvironmentURL = cmp.Or(check.EnvironmentURL, "http://127.0.0.1:3002")
	check.BaseURL = cmp.Or(check.BaseURL, "http://localhost:3001")
	_, err := mcpauth.New(check)
	return s, errors.Join(append(errs, err)...)
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s
}

// variables maps the fields of mcpauth.Config to the environment variables that set them here.
var variables = map[string]string{
	"EnvironmentURL": "SCALEKIT_ENVIRONMENT_URL",
	"ClientID":       "SCALEKIT_CLIENT_ID",
	"ClientSecret":   "SCALEKIT_CLIENT_SECRET",
	"ResourceID":     "SCALEKIT_RESOURCE_ID",
	"BaseURL":        "BASE_URL",
	"RequiredScopes": "REQUIRED_SCOPES",
	"AllowedOrigins": "ALLOWED_ORIGINS",
	"ClockSkew":      "CLOCK_SKEW",

	"InternalEnvironmentURL":              "INTERNAL_ENVIRONMENT_URL",
	"DangerouslyAllowInsecureEnvironment": "DANGEROUSLY_ALLOW_INSECURE_ENVIRONMENT",
}

// explain returns one line for each mistake in err, with the names of variables instead of fields. Any other error is one
// line.
func explain(err error) (lines []string) {
	for mistake := range mcpauth.ConfigErrors(err) {
		named := *mistake
		named.Field = cmp.Or(variables[named.Field], named.Field)
		// One field is also in the cure of others.
		const insecure = "DangerouslyAllowInsecureEnvironment"
		named.Reason = strings.ReplaceAll(named.Reason, insecure, variables[insecure]+"=1")
		lines = append(lines, named.Error())
	}
	if lines == nil {
		lines = []string{strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	return lines
}
