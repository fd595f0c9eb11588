package mcpauth

import (
	"iter"
	"strconv"
)

// A ConfigError is one mistake in a [Config] or in [Rules]. [New] and [NewPolicy] return all mistakes
// in one error, and [ConfigErrors] lists them.
//
// It can be logged. Of a value it holds no more than the scheme and host of a URL, or a known prefix and four characters,
// and nothing at all of a value that contains the ClientSecret or could contain a password.
type ConfigError struct {
	Field  string // the field's name, such as "BaseURL" or "AllowedOrigins"
	Value  string // what the offending value begins with, or "" when it is missing; it may be "[redacted]"
	Reason string // what is wrong, and how to mend it
}

// Error returns the field, the value and the reason, such as
//
//	ResourceID: "conn_1" is a connection id; the MCP server's id starts with res_
func (e *ConfigError) Error() string {
	if e.Value == "" {
		return e.Field + ": " + e.Reason
	}
	return e.Field + ": " + strconv.Quote(e.Value) + " " + e.Reason
}

// ConfigErrors lists every [ConfigError] in err, in the order in which [New] and [NewPolicy] report them. Errors
// of other types are left out; errors that wrap or join others are looked into. A nil err has none.
func ConfigErrors(err error) iter.Seq[*ConfigError] {
	return func(yield func(*ConfigError) bool) { eachConfigError(err, yield) }
}

// eachConfigError reports whether yield wants more.
func eachConfigError(err error, yield func(*ConfigError) bool) bool {
	switch err := err.(type) { //nolint:errorlint // this is the walk that errors.As stops at the first match of
	case *ConfigError:
		return yield(err)
	case interface{ Unwrap() error }:
		return eachConfigError(err.Unwrap(), yield)
	case interface{ Unwrap() []error }:
		for _, joined := range err.Unwrap() {
			if !eachConfigError(joined, yield) {
				return false
			}
		}
	}
	return true
}
