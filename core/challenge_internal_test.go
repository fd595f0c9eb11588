package mcpauth

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestUnavailableRoundsUp(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{0: "1", time.Nanosecond: "1", time.Second: "1", 1500 * time.Millisecond: "2"} {
		if got := unavailable(d).Header.Get("Retry-After"); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
}

func TestR15QuotedString(t *testing.T) {
	t.Parallel()
	c := challenge{metadataURL: `https://h/"\`}
	if got := c.reply(401, "", "x", "").Header.Get("WWW-Authenticate"); got != `Bearer resource_metadata="https://h/\"\\"` {
		t.Errorf("%s", got)
	}
}

// TestR15R20Challenges looks at every challenge there is: its parameters, each once, as clients parse them, and the words
// that clients look for without anchors.
func TestR15R20Challenges(t *testing.T) {
	t.Parallel()
	all := newReplies(challenge{"https://h.example/.well-known/oauth-protected-resource/mcp", "a b"})
	parameter := regexp.MustCompile(`^([a-z_]+)="((?:[^"\\]|\\.)*)"$`)
	for name, reply := range map[string]Reply{
		"no credentials": all.noCredentials, "malformed": all.malformed, "invalid": all.invalidToken, "expired": all.expired, "scope": all.insufficientScope,
	} {
		lines := reply.Header["Www-Authenticate"]
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "Bearer ") {
			t.Fatalf("%s: %q", name, lines)
		}
		seen := make(map[string]bool)
		parameters := strings.Split(strings.TrimPrefix(lines[0], "Bearer "), ", ")
		for i, text := range parameters {
			m := parameter.FindStringSubmatch(text)
			if m == nil || seen[m[1]] {
				t.Fatalf("%s: %q in %s", name, text, lines[0])
			}
			seen[m[1]] = true
			if m[1] == "error_description" && (i != len(parameters)-1 || regexp.MustCompile(`["\\]|scope=|error=|resource_metadata=`).MatchString(m[2])) {
				t.Errorf("%s: %s", name, lines[0])
			}
		}
		if !seen["resource_metadata"] || !seen["scope"] || seen["error"] == (name == "no credentials") || seen["error"] != seen["error_description"] {
			t.Errorf("%s: %s", name, lines[0])
		}
	}
}
