package compose_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/oauth2"

	"github.com/scalekit-mcp/mcpauth/examples/client/flow"
)

// signIn does what a user of the machine does, whose client asks for what each tool needs.
func signIn(t *testing.T, machine http.RoundTripper) {
	t.Helper()
	session, err := flow.Connect(t.Context(), flow.Options{URL: public, Auto: true, User: "ada", Transport: machine})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	for call, want := range map[string]string{
		"whoami": "usr_ada", "get_organization": "Analytical Engines", // for which the server asks devenv with its own credentials
	} {
		if got, err := session.Text(t.Context(), flow.Call{Tool: call}); err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %q, %v", call, got, err)
		}
	}
}

// The file works as it is: the user's browser needs no name but localhost.
func TestComposeFile(t *testing.T) {
	t.Parallel()
	f := read(t)
	n := newNetwork(t, f)
	n.up(t, f)
	machine := n.machine(t)
	signIn(t, machine)
	n.mu.Lock()
	asked := slices.Collect(maps.Keys(n.asked))
	n.mu.Unlock()
	if !slices.Equal(asked, []string{"devenv:3002"}) {
		t.Errorf("the containers have asked %v", asked)
	}

	client := &http.Client{Transport: machine}
	for host, want := range map[string]int{
		"": http.StatusOK, "devenv:3002": http.StatusOK, "server:3002": http.StatusMisdirectedRequest, "evil.example:3002": http.StatusMisdirectedRequest,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:3002/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("Host %q: %d, want %d", host, resp.StatusCode, want)
		}
	}
}

// What the file says about /etc/hosts works, too, with a client that takes http for an issuer that is not on loopback: the
// issuer is http://devenv:3002 for everyone. The go-sdk's client refuses it.
func TestComposeFileWithOneName(t *testing.T) {
	t.Parallel()
	f := read(t)
	f.Services["devenv"].replace(t, "-dangerously-allow-network=localhost,devenv", "-dangerously-allow-network=devenv")
	f.Services["server"].Environment["SCALEKIT_ENVIRONMENT_URL"] = "http://devenv:3002"
	delete(f.Services["server"].Environment, "INTERNAL_ENVIRONMENT_URL")
	n := newNetwork(t, f, "devenv")
	n.up(t, f)
	machine := n.machine(t)
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: machine})
	token := signInAt(ctx, t, "http://devenv:3002", machine)
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test"}, nil).Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: public, HTTPClient: oauth2.NewClient(ctx, oauth2.StaticTokenSource(token)),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	for _, tool := range []string{"whoami", "get_organization"} {
		if result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: tool}); err != nil || result.IsError {
			t.Errorf("%s: %v, %v", tool, result, err)
		}
	}
	if session, err := flow.Connect(ctx, flow.Options{URL: public, Auto: true, User: "ada", Transport: machine}); err == nil {
		_ = session.Close()
		t.Error("the go-sdk's client takes http for an issuer that is not on loopback now: say so in docs/deploy.md")
	}
}

// signInAt registers a client at an environment, and signs Ada in there.
func signInAt(ctx context.Context, t *testing.T, environment string, machine http.RoundTripper) *oauth2.Token {
	t.Helper()
	codes := make(chan string, 1)
	redirect := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { codes <- r.FormValue("code") }))
	t.Cleanup(redirect.Close)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, environment+"/api/v1/resources/res_local/clients:register",
		strings.NewReader(`{"redirect_uris":["`+redirect.URL+`"]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := machine.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var client struct {
		ID string `json:"client_id"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&client); err != nil {
		t.Fatal(err)
	}
	endpoints := environment + "/resources/res_local/oauth/"
	config := oauth2.Config{
		ClientID: client.ID, RedirectURL: redirect.URL,
		Endpoint: oauth2.Endpoint{AuthURL: endpoints + "authorize", TokenURL: endpoints + "token", AuthStyle: oauth2.AuthStyleInParams},
	}
	verifier := oauth2.GenerateVerifier()
	if _, err := flow.Consent(ctx, machine, config.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)), "ada"); err != nil {
		t.Fatal(err)
	}
	token, err := config.Exchange(ctx, <-codes, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Each line that gives something up is needed, and the program says so when it is missing.
func TestComposeFileNeedsWhatItGivesUp(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		service string
		edit    func(t *testing.T, s *service)
		cure    string
	}{
		"network": {"devenv", func(t *testing.T, s *service) {
			s.replace(t, "-dangerously-allow-network=localhost,devenv", "")
			s.replace(t, "-addr=0.0.0.0:3002", "-addr=192.0.2.1:3002") // what is not loopback is refused before anything listens
		}, "-dangerously-allow-network"},
		"insecure environment": {"server", func(_ *testing.T, s *service) {
			delete(s.Environment, "DANGEROUSLY_ALLOW_INSECURE_ENVIRONMENT")
		}, "DANGEROUSLY_ALLOW_INSECURE_ENVIRONMENT=1"},
		"an insecure environment that is none": {"server", func(_ *testing.T, s *service) {
			s.Environment["SCALEKIT_ENVIRONMENT_URL"] = "https://acme.scalekit.com"
			delete(s.Environment, "INTERNAL_ENVIRONMENT_URL")
		}, "DANGEROUSLY_ALLOW_INSECURE_ENVIRONMENT: is set"},
		"a wrong value": {"server", func(_ *testing.T, s *service) {
			s.Environment["DANGEROUSLY_ALLOW_INSECURE_ENVIRONMENT"] = "yes"
		}, "set 1 or 0"},
		"an internal address alone": {"server", func(_ *testing.T, s *service) {
			delete(s.Environment, "SCALEKIT_ENVIRONMENT_URL")
		}, "INTERNAL_ENVIRONMENT_URL: is set, but SCALEKIT_ENVIRONMENT_URL is not"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := read(t)
			tc.edit(t, f.Services[tc.service])
			n := newNetwork(t, f)
			if err := n.start(t, tc.service, f.Services[tc.service], "http://"); err == nil || !strings.Contains(err.Error(), tc.cure) {
				t.Errorf("error = %v, want one with %q", err, tc.cure)
			}
		})
	}
}

// Both containers are built from the root, by the Dockerfile next to the file.
func TestComposeFileBuilds(t *testing.T) {
	t.Parallel()
	for name, s := range read(t).Services {
		if filepath.Clean(s.Build.Context) != root || filepath.Clean(filepath.Join(s.Build.Context, s.Build.Dockerfile)) != filepath.Join(root, "examples/deploy/compose/Dockerfile") {
			t.Errorf("%s: %+v", name, s.Build)
		}
		text, err := os.ReadFile("Dockerfile")
		if err != nil {
			t.Fatal(err)
		}
		if match := build.FindSubmatch(text); match == nil || !regexp.MustCompile(`/`+s.Command[0]+`\b`).Match(match[1]) {
			t.Errorf("the Dockerfile does not build %s", s.Command[0])
		}
	}
}
