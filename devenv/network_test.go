package devenv_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

// network finds the containers devenv and other on this machine, as the name server of their network does.
var network = func() http.RoundTripper {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		if host == "devenv" || host == "other" {
			addr = net.JoinHostPort("127.0.0.1", port)
		}
		return dial(ctx, network, addr)
	}
	return transport
}()

// In both forms, the user signs in at the environment's URL, and the server in another container fetches the keys at
// http://devenv. Only the first has users reach that name, too.
func TestSignInBetweenContainers(t *testing.T) {
	t.Parallel()
	for name, names := range map[string][]string{
		"one name":                      {"devenv"},
		"localhost for users":           {"localhost", "devenv"},
		"an address for users":          {"127.0.0.1", "devenv"},
		"one name, and another of them": {"devenv", "other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := start(t, devenv.Config{DangerouslyAllowNetwork: names})
			_, port, _ := strings.Cut(strings.TrimPrefix(env.URL(), "http://"), ":")
			if want := "http://" + names[0] + ":" + port; env.URL() != want {
				t.Fatalf("URL = %s, want %s", env.URL(), want)
			}
			internal := "http://devenv:" + port
			cfg := mcpauth.Config{
				EnvironmentURL: env.URL(), InternalEnvironmentURL: internal, DangerouslyAllowInsecureEnvironment: true,
				ResourceID: env.ResourceID(), BaseURL: "http://localhost:3001",
				HTTPClient: &http.Client{Transport: onlyTo("devenv:" + port)},
			}
			if names[0] == "devenv" {
				cfg.InternalEnvironmentURL = ""
			}
			rs, err := mcpauth.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			c := register(t, env)
			code := c.signIn("usr_grace", "approve", nil)
			if code.Get("iss") != env.URL()+"/resources/res_local" {
				t.Errorf("redirected with %v", code)
			}
			token, _ := c.redeem(code.Get("code"), nil).json(t, http.StatusOK)["access_token"].(string)
			decision := rs.Authenticate(t.Context(), mcpauth.Request{
				Method: http.MethodPost, Path: "/mcp",
				Header: func(name string) []string { return http.Header{"Authorization": {"Bearer " + token}}.Values(name) },
			})
			if decision.Session == nil || decision.Session.UserID() != "usr_grace" {
				t.Errorf("outcome = %v", decision.Outcome)
			}
			if err := rs.Ready(t.Context()); err != nil {
				t.Errorf("ready: %v", err)
			}
		})
	}
}

// onlyTo is the network of a container that reaches one host, and finds itself at localhost.
type onlyTo string

func (host onlyTo) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != string(host) {
		return nil, &net.AddrError{Err: "connection refused", Addr: r.URL.Host}
	}
	return network.RoundTrip(r)
}

// What is allowed is the names that were given, and nothing that resembles them: a website has a name of its own (DNS rebinding).
func TestOnlyNamesOfTheNetworkAreAnswered(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{DangerouslyAllowNetwork: []string{"devenv", "dev.test", "10.0.0.7", "fd00::7"}})
	alone := start(t, devenv.Config{})
	authorize := strings.TrimPrefix(register(t, env).authorizeURL(nil), env.URL())
	for host, allowed := range map[string]bool{
		"devenv:3002": true, "devenv": true, "DevEnv:3002": true, "devenv:1": true,
		"dev.test:3002": true, "10.0.0.7:3002": true, "[fd00::7]:3002": true,

		"devenv.:3002": false, "a.devenv:3002": false, "devenv.evil.example": false, "evildevenv": false, "devenv2": false,
		"test": false, "xdev.test": false, "devxtest": false, "a.dev.test": false, "10.0.0.8:3002": false, "10.0.0.7.evil.example": false,
		"[fd00::8]:3002": false, "fd00": false, "0.0.0.0:3002": false, "[::]:3002": false, "evil.example": false, "evil.example:devenv": false,
		"devenv,evil.example": false, "*": false, "localhost.evil.example": false,
	} {
		for _, path := range []string{"/keys", "/.well-known/oauth-authorization-server/resources/res_local", authorize, "/", "/devenv/style.css"} {
			req := request(t, http.MethodGet, env.URL()+path, nil)
			req.Host = host
			want := http.StatusMisdirectedRequest
			if allowed {
				want = http.StatusOK
			}
			got := do(t, req)
			if got.status != want && (allowed || got.status != http.StatusBadRequest) { // net/http refuses what is not a host at all
				t.Errorf("Host %s, %s: %d, want %d", host, path, got.status, want)
			}
			if !allowed && strings.Contains(got.body, "dev.test") {
				t.Errorf("Host %s learns the names: %s", host, got.body)
			}
		}
		req := request(t, http.MethodGet, alone.URL()+"/keys", nil)
		req.Host = host
		if got := do(t, req).status; got == http.StatusOK {
			t.Errorf("without the option, Host %s: %d", host, got)
		}
	}
	for _, host := range []string{"localhost:3002", "127.0.0.1", "[::1]:3002", "app.localhost"} {
		req := request(t, http.MethodGet, env.URL()+"/keys", nil)
		req.Host = host
		if got := do(t, req).status; got != http.StatusOK {
			t.Errorf("Host %s: %d", host, got)
		}
	}
}

func TestRefusedHostIsLoggedWithTheCure(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	env := start(t, devenv.Config{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	req := request(t, http.MethodGet, env.URL()+"/keys", nil)
	req.Host = "devenv:3002"
	got := do(t, req)
	if err := env.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"DangerouslyAllowNetwork", "localhost"} {
		if !strings.Contains(got.body, want) || !strings.Contains(log.String(), want) {
			t.Errorf("no %s in %q or %q", want, got.body, log.String())
		}
	}
	if !strings.Contains(log.String(), "host=devenv:3002") {
		t.Errorf("log: %s", &log)
	}
}

// Other web pages get nothing from an environment in a network, as from one on loopback: not from its pages, and not from its
// buttons. That includes pages of other containers.
func TestPagesGetNothingFromTheNetwork(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{DangerouslyAllowNetwork: []string{"devenv", "other"}})
	c := register(t, env)
	csrf := csrfOf(t, env)
	for _, origin := range []string{"https://evil.example", "http://evil.example:3002", "http://other:6274", "http://devenv:6274", "http://localhost:6274", "null", "http://other:3002"} {
		action, fields := c.form(get(t, c.authorizeURL(nil)))
		fields.Set("user", "usr_ada")
		fields.Set("decision", "approve")
		for target, form := range map[string]string{
			action: fields.Encode(), env.URL() + "/devenv/rotate-keys": "csrf=" + csrf, env.URL() + "/oauth/token": credentials(env).Encode(),
		} {
			req := request(t, http.MethodPost, target, strings.NewReader(form))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Origin", origin)
			if got := do(t, req); got.status != http.StatusForbidden || got.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("POST %s from %s: %d %v", target, origin, got.status, got.header)
			}
		}
		req := request(t, http.MethodGet, env.URL()+"/devenv/events", nil)
		req.Header.Set("Origin", origin)
		if got := do(t, req); got.status != http.StatusForbidden {
			t.Errorf("GET events from %s: %d", origin, got.status)
		}
		if strings.Contains(origin, "localhost") { // a client that runs in a page
			continue
		}
		req = request(t, http.MethodPost, registrationURL(env), strings.NewReader(`{"redirect_uris":["https://e.example/cb"]}`))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Origin", origin)
		if got := do(t, req); got.status != http.StatusForbidden {
			t.Errorf("registration from %s: %d", origin, got.status)
		}
	}
	req := request(t, http.MethodPost, env.URL()+"/devenv/rotate-keys", strings.NewReader("csrf="+csrf))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", env.URL())
	if got := do(t, req); got.status != http.StatusSeeOther {
		t.Errorf("the page's own button: %d", got.status)
	}
	req = request(t, http.MethodPost, env.URL()+"/devenv/rotate-keys", strings.NewReader("csrf="+csrf+"x"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if got := do(t, req); got.status != http.StatusForbidden {
		t.Errorf("a button without its token: %d", got.status)
	}
}

// The network must not reach other programs of the machine through the environment.
func TestNoDocumentsFromLoopbackInANetwork(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 8)
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	private := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path })}
	go func() { _ = private.Serve(listener) }()
	t.Cleanup(func() { _ = private.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	for _, names := range [][]string{nil, {"devenv"}, {"localhost"}} {
		env := start(t, devenv.Config{DangerouslyAllowNetwork: names})
		for _, host := range []string{"127.0.0.1", "localhost", "127.1.2.3"} {
			id := "http://" + host + ":" + port + "/client.json"
			got := get(t, newClient(t, env, id).authorizeURL(nil))
			if got.status != http.StatusBadRequest || strings.Contains(got.body, "let the client register instead") != (names != nil) {
				t.Errorf("%v, %s: %d %s", names, id, got.status, got.body)
			}
		}
	}
	if n := len(asked); n != 2 && n != 3 { // those of the first environment; the last address is not on every system
		t.Errorf("%d documents were fetched", n)
	}
}

func TestNetworkSettings(t *testing.T) {
	t.Parallel()
	for name, cure := range map[string]string{
		"":                              "is empty",
		" ":                             "not the name of a host",
		"*":                             "pattern",
		"*.test":                        "pattern",
		"0.0.0.0":                       "-addr",
		"::":                            "-addr",
		"devenv:3002":                   "leave out scheme, port and path",
		"http://devenv":                 "leave out scheme, port and path",
		"devenv/":                       "leave out scheme, port and path",
		"[fd00::7]":                     "leave out scheme, port and path",
		"user@devenv":                   "leave out scheme, port and path",
		"DevEnv":                        "lower case",
		"dev env":                       "not the name of a host",
		"devenv.":                       "not the name of a host",
		".devenv":                       "not the name of a host",
		"dev..env":                      "not the name of a host",
		"-devenv":                       "not the name of a host",
		"devenv-":                       "not the name of a host",
		"d\u00e9venv":                   "xn--",
		"dev\nenv":                      "not the name of a host",
		"devenv,other":                  "not the name of a host",
		strings.Repeat("a", 64):         "not the name of a host",
		strings.Repeat("a.", 127) + "a": "not the name of a host",
		"127.1":                         "ends in a number",
		"3232235521":                    "ends in a number",
		"0x7f000001":                    "ends in a number",
		"010.0.0.1":                     "ends in a number",
		"fe80::1%eth0":                  "not an address as browsers write it",
		"::ffff:10.0.0.1":               "not an address as browsers write it",
		"fd00:0:0::7":                   "not an address as browsers write it",
		"239.1.1.1":                     "not an address as browsers write it",
	} {
		env, err := devenv.Start(t.Context(), devenv.Config{Addr: "127.0.0.1:0", DangerouslyAllowNetwork: []string{"other", name}})
		if err == nil {
			_ = env.Close()
			t.Errorf("%q: started", name)
			continue
		}
		if !strings.Contains(err.Error(), "DangerouslyAllowNetwork") || !strings.Contains(err.Error(), cure) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"devenv", "my_dev-env.test", "xn--dvenv-bsa", "localhost", "a.localhost", "127.0.0.1", "10.0.0.7", "fd00::7", "1and1", "0x7g", strings.Repeat("a", 63)} {
		env := start(t, devenv.Config{DangerouslyAllowNetwork: []string{name}})
		host, _, err := net.SplitHostPort(strings.TrimPrefix(env.URL(), "http://"))
		if err != nil || host != name {
			t.Errorf("URL = %s, want %s in it", env.URL(), name)
		}
	}
	_, err := devenv.Start(t.Context(), devenv.Config{Addr: "0.0.0.0", ResourceID: "x", DangerouslyAllowNetwork: []string{"", "devenv", "*", "devenv"}})
	for _, want := range []string{"Addr: ", "ResourceID: ", "(number 1) is empty", "(number 3) is a pattern", "(number 4) was given before"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want one with %q, too", err, want)
		}
	}
}

// Without the option, each address beyond loopback is refused with a cure that names the option; with it, none is, and the log
// says what that means. The address 192.0.2.1 is on no machine, so nothing listens.
func TestAddressesOfTheNetwork(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{nil, {}, {"devenv"}} {
		_, err := devenv.Start(t.Context(), devenv.Config{Addr: "192.0.2.1:0", DangerouslyAllowNetwork: names})
		if err == nil || strings.Contains(err.Error(), "-dangerously-allow-network") != (len(names) == 0) {
			t.Errorf("%v: %v", names, err)
		}
	}
}
