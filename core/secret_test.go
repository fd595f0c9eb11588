package mcpauth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// secretText is the secret that is looked for in what is printed.
const secretText = "wq7ZK-4GmXw9TnLbVcR8sJdHfPy3"

// printed returns v in every way in which programs print and log.
func printed(v any) string {
	var b bytes.Buffer
	for _, format := range []string{"%v ", "%+v ", "%#v ", "%s ", "%q ", "%x ", "%X ", "%d ", "%-20.10v ", "%T "} {
		fmt.Fprintf(&b, format, v)
	}
	fmt.Fprintln(&b, v)
	if encoded, err := json.Marshal(v); err == nil {
		b.Write(encoded)
	} else {
		b.WriteString(err.Error())
	}
	options := &slog.HandlerOptions{Level: slog.LevelDebug}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&b, options), slog.NewJSONHandler(&b, options)} {
		slog.New(handler).Info("x", "v", v, "in", slog.GroupValue(slog.Any("group", v)))
		slog.New(handler).With("v", v).Info("x")
	}
	return b.String()
}

// shows returns a piece of secret that is in text, in letters, hexadecimal digits or decimal bytes: more than the four
// characters that an error may show.
func shows(text, secret string) string {
	text = strings.ToLower(text)
	for i := range len(secret) - 4 {
		piece := secret[i : i+5]
		for _, spelled := range []string{piece, fmt.Sprintf("%x", piece), strings.Trim(fmt.Sprintf("%d", []byte(piece)), "[]"), fmt.Sprintf("% x", piece)} {
			if strings.Contains(text, strings.ToLower(spelled)) {
				return spelled
			}
		}
	}
	return ""
}

// wrapped returns v where printing finds it in other ways.
func wrapped[T any](v T) map[string]any {
	return map[string]any{
		"itself": v, "a pointer": &v, "a field": struct{ V T }{v}, "an unexported field": struct{ v T }{v},
		"an unexported pointer": struct{ v *T }{&v}, "a pointer to an unexported field": &struct{ v T }{v},
		"a slice": []T{v}, "pointers": []*T{&v}, "a map": map[string]T{"v": v}, "an interface": struct{ v any }{v},
		"an unexported slice": struct{ v []T }{[]T{v}}, "an array in it": struct{ v [1]T }{[1]T{v}},
	}
}

func TestR94SecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.ClientID, cfg.ClientSecret = "skc_1", mcpauth.NewSecret(secretText)
	for kind, all := range map[string]map[string]any{"Secret": wrapped(cfg.ClientSecret), "Config": wrapped(cfg)} {
		for name, v := range all {
			if text := printed(v); shows(text, secretText) != "" {
				t.Errorf("%s in %s: %s", kind, name, text)
			}
		}
	}
	rs, err := mcpauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range wrapped(*rs) {
		if text := printed(v); shows(text, secretText) != "" {
			t.Errorf("a resource server in %s: %s", name, text)
		}
	}
	if text := fmt.Sprintf("%+v", cfg); !strings.Contains(text, "base_url=https://mcp.example.com ") || !strings.Contains(text, "client_id=skc_1 client_secret=[redacted]") {
		t.Errorf("a Config is printed as %s", text)
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	s := mcpauth.NewSecret(secretText)
	if got := s.Reveal(); got != secretText {
		t.Errorf("got %q", got)
	}
	if got := fmt.Sprintf("%v %s %q %#v", s, s, s, s); got != "[redacted] [redacted] [redacted] [redacted]" {
		t.Errorf("printed as %s", got)
	}
	var none mcpauth.Secret
	if none != mcpauth.NewSecret("") || none.Reveal() != "" || fmt.Sprintf("%v%s%#v", none, none, none) != "" || none.LogValue().String() != "" {
		t.Errorf("the zero value is %v", none)
	}
	var read struct{ S, Empty mcpauth.Secret }
	if err := json.Unmarshal([]byte(`{"S":"abc","Empty":""}`), &read); err != nil || read.S.Reveal() != "abc" || read.Empty != none {
		t.Errorf("read %q, %v", read.S.Reveal(), err)
	}
	if got, err := json.Marshal(read); err != nil || string(got) != `{"S":"[redacted]","Empty":""}` {
		t.Errorf("written %s, %v", got, err)
	}
}

// An unwritable is a metadata value that can't be written as JSON, and whose error repeats it.
type unwritable string

func (u unwritable) MarshalJSON() ([]byte, error) { return nil, errors.New("can't write " + string(u)) }

// misplaced puts a text into each setting that can hold one.
var misplaced = map[string]func(cfg *mcpauth.Config, s string){
	"EnvironmentURL":       func(cfg *mcpauth.Config, s string) { cfg.EnvironmentURL = s },
	"BaseURL":              func(cfg *mcpauth.Config, s string) { cfg.BaseURL = s },
	"Path":                 func(cfg *mcpauth.Config, s string) { cfg.Path = s },
	"Path and BaseURL":     func(cfg *mcpauth.Config, s string) { cfg.Path = "/" + s; cfg.BaseURL += "/" + s },
	"both URLs":            func(cfg *mcpauth.Config, s string) { cfg.BaseURL, cfg.EnvironmentURL = s, s },
	"ResourceID":           func(cfg *mcpauth.Config, s string) { cfg.ResourceID = s },
	"ClientID":             func(cfg *mcpauth.Config, s string) { cfg.ClientID = s },
	"ClientID, in a line":  func(cfg *mcpauth.Config, s string) { cfg.ClientID = s + "\n" },
	"ClientSecret":         func(cfg *mcpauth.Config, s string) { cfg.ClientSecret = mcpauth.NewSecret(s + "\n") },
	"Scopes":               func(cfg *mcpauth.Config, s string) { cfg.Scopes = []string{"a", s + " b"} },
	"RequiredScopes":       func(cfg *mcpauth.Config, s string) { cfg.RequiredScopes = []string{s + `"`} },
	"ImpliedScopes":        func(cfg *mcpauth.Config, s string) { cfg.ImpliedScopes = map[string][]string{s + " ": {s + "\n"}} },
	"ResourceName":         func(cfg *mcpauth.Config, s string) { cfg.ResourceName = s + "\n" },
	"DocsURL":              func(cfg *mcpauth.Config, s string) { cfg.DocsURL = s },
	"a name in metadata":   func(cfg *mcpauth.Config, s string) { cfg.ExtraMetadata = map[string]any{s: nil} },
	"a value in metadata":  func(cfg *mcpauth.Config, s string) { cfg.ExtraMetadata = map[string]any{"x": unwritable(s)} },
	"the name of its fail": func(cfg *mcpauth.Config, s string) { cfg.ExtraMetadata = map[string]any{s: unwritable(s)} },
	"AllowedOrigins":       func(cfg *mcpauth.Config, s string) { cfg.AllowedOrigins = []string{s, "https://a.example/" + s} },
	"Issuers":              func(cfg *mcpauth.Config, s string) { cfg.Issuers = []string{s} },
	"Audiences":            func(cfg *mcpauth.Config, s string) { cfg.Audiences = []string{s + "\n"} },
	"Audiences, of all":    func(cfg *mcpauth.Config, s string) { cfg.Audiences, cfg.EnvironmentURL = []string{s}, s },
}

// TestR94ErrorsOfNew puts a secret into every wrong place, by itself and where URLs have one.
func TestR94ErrorsOfNew(t *testing.T) {
	t.Parallel()
	for name, put := range misplaced {
		for _, form := range []string{
			"%s", " %s", "%s\n", "skc_%s", "conn_%s", "https://%s", "http://%s", "https://x.example/%s", "https://x.example?%s", "https://x.example/?token=%s",
			"https://x.example#%s", "http://x.example/%s", "https://user:%s@x.example", "https://%s@x.example", "https://user:a/%s@x.example", "//%s", "%s://x.example", "%s:x", "x.example/%s",
			"https:%s", "https://x.example\\%s", "https://x.example %s", "https://x.example\n%s", "https://x.example:%s", "https://x:%s", "https://[::1]:%s", "https://[%s]", "https://[::1%s", "ftp://u:%s@x.example", "https://x.example/%%%s", "HTTPS://x.example/%s", "/%s*", `"%s"`,
		} {
			for _, known := range []bool{false, true} {
				cfg := goodConfig()
				if known {
					cfg.ClientID, cfg.ClientSecret = "skc_1", mcpauth.NewSecret(secretText)
				}
				put(&cfg, fmt.Sprintf(form, secretText))
				if text := printed(cfg); shows(text, secretText) != "" {
					t.Errorf("%s, %q: a Config is printed as %s", name, form, text)
				}
				_, err := mcpauth.New(cfg)
				if err == nil {
					continue // the setting allows this text
				}
				if text := printed(err); shows(text, secretText) != "" {
					t.Errorf("%s, %q, known %v: %v", name, form, known, err)
				}
				for _, mistake := range configErrors(t, cfg) {
					if text := printed(mistake) + printed(*mistake); shows(text, secretText) != "" {
						t.Errorf("%s, %q, known %v: %#v", name, form, known, mistake)
					}
				}
			}
		}
	}
}

func TestR94ErrorsOfOperationScopes(t *testing.T) {
	t.Parallel()
	const s = secretText
	_, err := mcpauth.NewPolicy(mcpauth.Rules{
		Tools:     scopeRules(map[string][]string{s + "*": {s + " a"}, "b\n": nil}),
		Prompts:   scopeRules(map[string][]string{"p": {"c", s + "\""}}),
		Resources: scopeRules(map[string][]string{s: nil, "x://{" + s: nil, "https://x.example/../" + s: nil}),
	})
	if err == nil || shows(printed(err), s) != "" {
		t.Errorf("%v", err)
	}
	for _, want := range []string{
		`Tools: "b\n" (number 1 in alphabetical order) holds`, `Tools: "wq7Z..." (number 2 in alphabetical order) holds a *`,
		`Prompts: "wq7Z..." (number 2) is not a scope`, `Resources: "https://x.example/..." (number 1 in alphabetical order) has a dot segment`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in\n%v", want, err)
		}
	}
	rs, err := mcpauth.New(goodConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if text := fmt.Sprint(recover()); !strings.Contains(text, "can't be the scope") || shows(text, s) != "" {
			t.Error(text)
		}
	}()
	rs.WithRequiredScopes(s + " ")
}

// TestR94SessionsAreNotPrinted looks for claims such as an email address in what is printed: only identifiers may be there.
func TestR94SessionsAreNotPrinted(t *testing.T) {
	t.Parallel()
	claims := m{"email": secretText + "@example.com", "xuid": secretText, "xoid": secretText, "oid": "org_1", "client_id": "m2m_1", "sid": "ses_1", "jti": "tkn_1"}
	for _, list := range []string{"roles", "permissions"} {
		claims[list] = []string{secretText}
	}
	session := mcpauthtest.NewSession(claims)
	for name, v := range wrapped(session) {
		if text := printed(v); shows(text, secretText) != "" {
			t.Errorf("%s of a pointer: %s", name, text)
		}
	}
	for name, v := range wrapped(*session) {
		if text := printed(v); shows(text, secretText) != "" {
			t.Errorf("%s: %s", name, text)
		}
	}
	const shown = "user_id=usr_1 organization_id=org_1 client_id=m2m_1 session_id=ses_1 token_id=tkn_1 expires_at="
	for _, text := range []string{fmt.Sprintf("%+v", session), fmt.Sprintf("%#v", *session), session.String(), fmt.Sprint(session)} {
		if !strings.HasPrefix(text, "["+shown) {
			t.Errorf("got %s", text)
		}
	}
	encoded, err := json.Marshal(struct{ S *mcpauth.Session }{session})
	if err != nil || !strings.HasPrefix(string(encoded), `{"S":{"client_id":"m2m_1","expires_at":"2`) || !strings.Contains(string(encoded), `"user_id":"usr_1"`) {
		t.Errorf("got %s, %v", encoded, err)
	}
	var none *mcpauth.Session
	if got := fmt.Sprintf("%v", none); got != "<nil>" {
		t.Errorf("no session is printed as %s", got)
	}
}
