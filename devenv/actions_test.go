package devenv_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

// An event is what the tests read of a webhook.
type event struct {
	ID             string
	Type           string
	OccurredAt     time.Time `json:"occurred_at"`
	EnvironmentID  string    `json:"environment_id"`
	OrganizationID string    `json:"organization_id"`
	Data           map[string]any
}

// receiveWebhooks returns the URL of a receiver, and what it gets.
func receiveWebhooks(t *testing.T) (string, <-chan event) {
	t.Helper()
	events := make(chan event, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e event
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &e); err != nil || r.Header.Get("webhook-id") != e.ID {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		events <- e
	}))
	t.Cleanup(server.Close)
	return server.URL, events
}

// next returns the next event. There has to be one.
func next(t *testing.T, events <-chan event) event {
	t.Helper()
	return await(t, "a webhook", events)
}

func (e event) text(path ...string) string {
	var v any = e.Data
	for _, name := range path {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	text, _ := v.(string)
	return text
}

func TestEndSession(t *testing.T) {
	t.Parallel()
	target, events := receiveWebhooks(t)
	env := start(t, devenv.Config{WebhookURLs: []string{target}})
	c := register(t, env)
	ended, other := c.tokens("usr_ada", nil), c.tokens("usr_ada", nil)
	_, claims := verify(t, env, ended["access_token"])
	id, _ := claims["sid"].(string)
	before := time.Now()
	if err := env.EndSession(id); err != nil {
		t.Fatal(err)
	}
	c.refresh(ended["refresh_token"]).wantError(t, http.StatusBadRequest, "invalid_grant")
	verify(t, env, ended["access_token"]) // is still good
	c.refresh(other["refresh_token"]).json(t, http.StatusOK)

	e := next(t, events)
	if e.Type != "user.logout" || e.text("user", "id") != "usr_ada" || e.text("user_session", "session_id") != id ||
		e.text("user_session", "organization_id") != "org_analytical" || e.EnvironmentID != env.EnvironmentID() || !strings.HasPrefix(e.ID, "evt_") {
		t.Errorf("event = %+v", e)
	}
	if e.OccurredAt.Before(before.Add(-time.Second)) || e.OccurredAt.After(time.Now()) {
		t.Errorf("occurred_at = %v", e.OccurredAt)
	}
	for _, id := range []string{id, "ses_unknown", ""} {
		if err := env.EndSession(id); err == nil || !strings.Contains(err.Error(), "Sessions") {
			t.Errorf("ending %q: %v", id, err)
		}
	}
	if len(events) != 0 {
		t.Errorf("one more event: %+v", <-events)
	}
}

// A code that was given out before the end of its session is not redeemed after it.
func TestEndSessionBeforeTheCodeIsRedeemed(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	c := register(t, env)
	code := c.signIn("usr_ada", "approve", nil).Get("code")
	if err := env.EndSession(env.Sessions()[0].ID); err != nil {
		t.Fatal(err)
	}
	c.redeem(code, nil).wantError(t, http.StatusBadRequest, "invalid_grant")
}

func TestRemoveMember(t *testing.T) {
	t.Parallel()
	target, events := receiveWebhooks(t)
	env := start(t, devenv.Config{WebhookURLs: []string{target}, OrgClaims: true})
	c := register(t, env)
	ada, grace := c.tokens("usr_ada", nil), c.tokens("usr_grace", nil)
	open, fields := c.form(get(t, c.authorizeURL(nil))) // a form that is open meanwhile
	if err := env.RemoveMember("usr_ada", "org_analytical"); err != nil {
		t.Fatal(err)
	}
	c.refresh(ada["refresh_token"]).wantError(t, http.StatusBadRequest, "invalid_grant")
	c.refresh(grace["refresh_token"]).json(t, http.StatusOK)
	if e := next(t, events); e.Type != "user.organization_membership_deleted" || e.text("user", "id") != "usr_ada" ||
		e.text("organization", "id") != "org_analytical" || e.OrganizationID != "org_analytical" {
		t.Errorf("event = %+v", e)
	}
	if len(events) != 0 {
		t.Errorf("one more event: %+v", <-events)
	}

	// A user who signs in again does so without the organization.
	fields.Set("user", "usr_ada")
	fields.Set("decision", "approve")
	again := c.redeem(c.redirected(post(t, open, fields)).Get("code"), nil).json(t, http.StatusOK)
	_, claims := verify(t, env, again["access_token"])
	for _, claim := range []string{"oid", "xoid", "roles", "permissions"} {
		if claims[claim] != nil {
			t.Errorf("%s = %v", claim, claims[claim])
		}
	}
	for _, wrong := range [][2]string{{"usr_ada", "org_analytical"}, {"usr_ada", ""}, {"usr_grace", "org_analytical"}, {"usr_x", "org_compilers"}, {"usr_alan", ""}} {
		if err := env.RemoveMember(wrong[0], wrong[1]); err == nil {
			t.Errorf("removed %q from %q", wrong[0], wrong[1])
		}
	}
	if org := env.Users()[1].Organization.ID; org != "org_compilers" {
		t.Errorf("organization of another user = %q", org)
	}
}

func TestDeleteOrganization(t *testing.T) {
	t.Parallel()
	target, events := receiveWebhooks(t)
	users := []devenv.User{
		{ID: "usr_1", Organization: devenv.Organization{ID: "org_1"}},
		{ID: "usr_2", Organization: devenv.Organization{ID: "org_1"}},
		{ID: "usr_3", Organization: devenv.Organization{ID: "org_2"}},
	}
	env := start(t, devenv.Config{WebhookURLs: []string{target}, Users: users})
	c := register(t, env)
	first, second, third := c.tokens("usr_1", nil), c.tokens("usr_2", nil), c.tokens("usr_3", nil)
	if err := env.DeleteOrganization("org_1"); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []map[string]any{first, second} {
		c.refresh(gone["refresh_token"]).wantError(t, http.StatusBadRequest, "invalid_grant")
	}
	c.refresh(third["refresh_token"]).json(t, http.StatusOK)
	if e := next(t, events); e.Type != "organization.deleted" || e.text("id") != "org_1" || e.OrganizationID != "org_1" {
		t.Errorf("event = %+v", e)
	}
	token := post(t, env.URL()+"/oauth/token", credentials(env)).json(t, http.StatusOK)["access_token"].(string)
	for id, want := range map[string]int{"org_1": http.StatusNotFound, "org_2": http.StatusOK} {
		req := request(t, http.MethodGet, env.URL()+"/api/v1/organizations/"+id, nil)
		req.Header.Set("Authorization", "Bearer "+token)
		if got := do(t, req).status; got != want {
			t.Errorf("%s: %d, want %d", id, got, want)
		}
	}
	for _, id := range []string{"org_1", "", "org_x"} {
		if err := env.DeleteOrganization(id); err == nil {
			t.Errorf("deleted %q", id)
		}
	}
	if len(events) != 0 {
		t.Errorf("one more event: %+v", <-events)
	}
}

func TestDeactivateUser(t *testing.T) {
	t.Parallel()
	target, events := receiveWebhooks(t)
	env := start(t, devenv.Config{WebhookURLs: []string{target}})
	c := register(t, env)
	tokens := c.tokens("usr_ada", nil)
	action, fields := c.form(get(t, c.authorizeURL(nil)))
	if err := env.DeactivateUser("usr_ada"); err != nil {
		t.Fatal(err)
	}
	c.refresh(tokens["refresh_token"]).wantError(t, http.StatusBadRequest, "invalid_grant")
	fields.Set("user", "usr_ada")
	fields.Set("decision", "approve")
	if got := post(t, action, fields); got.status != http.StatusForbidden || got.header.Get("Location") != "" {
		t.Errorf("signing in: %d to %q", got.status, got.header.Get("Location"))
	}
	page := get(t, c.authorizeURL(map[string]string{"login_hint": "usr_ada"})).body
	if !strings.Contains(page, `value="usr_ada" disabled`) || !strings.Contains(page, `value="usr_grace" checked`) {
		t.Errorf("the sign-in page offers the user:\n%s", page)
	}
	e := next(t, events)
	if e.Type != "organization.directory.user_updated" || e.text("id") != "diruser_ada" || e.text("organization_id") != "org_analytical" ||
		e.text("email") != "ada@analytical.example" || e.text("dp_id") == "" || e.Data["active"] != false {
		t.Errorf("event = %+v", e)
	}
	if text, _ := json.Marshal(e.Data); strings.Contains(string(text), "usr_") {
		t.Errorf("the event names the user: %s", text)
	}
	for _, id := range []string{"usr_ada", "usr_alan", "usr_x", ""} {
		if err := env.DeactivateUser(id); err == nil {
			t.Errorf("deactivated %q", id)
		}
	}
}

// Every URL gets the event, and one that is down gets it again without holding the others up.
func TestWebhooksReachEveryURL(t *testing.T) {
	t.Parallel()
	first, events := receiveWebhooks(t)
	second, others := receiveWebhooks(t)
	refusals := 0
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refusals++ // one request at a time
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(broken.Close)
	env := start(t, devenv.Config{WebhookURLs: []string{broken.URL + "/?key=secret", first, second}, WebhookWaits: []time.Duration{0, 0, 0}})
	if err := env.DeleteOrganization("org_compilers"); err != nil {
		t.Fatal(err)
	}
	if a, b := next(t, events), next(t, others); a.ID != b.ID {
		t.Errorf("two events: %s and %s", a.ID, b.ID)
	}
	watch := eventsOf(t, env)
	for !strings.Contains(watch.until(t, "webhooks"), "given up") {
	}
	for _, d := range env.Deliveries() {
		if isBroken := d.Target == broken.URL+"/"; d.Delivered == isBroken || !d.Finished || isBroken && (d.Tries != 4 || d.Status != 503) {
			t.Errorf("delivery = %+v", d)
		}
	}
	if refusals != 4 {
		t.Errorf("%d tries, want 4", refusals)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	if got := env.Sessions(); len(got) != 0 {
		t.Errorf("sessions at the beginning: %+v", got)
	}
	c := register(t, env)
	first := c.tokens("usr_ada", nil)
	second := c.tokens("usr_grace", map[string]string{"scope": "greet:write"})
	got := env.Sessions()
	if len(got) != 2 || got[0].UserID != "usr_grace" || got[1].UserID != "usr_ada" {
		t.Fatalf("sessions = %+v", got)
	}
	for i, tokens := range []map[string]any{second, first} {
		s := got[i]
		header, claims := verify(t, env, tokens["access_token"])
		if s.ID != claims["sid"] || s.ClientID != c.id || s.ClientName != "A <client>" || strings.Join(s.Scopes, " ") != claims["scope"] ||
			!s.Ended.IsZero() || time.Since(s.Started) > time.Minute || len(s.Tokens) != 1 {
			t.Fatalf("session = %+v", s)
		}
		if token := s.Tokens[0]; token.KeyID != header["kid"] || token.ExpiresAt.Unix() != number(t, claims["exp"]) || token.Claims["sub"] != s.UserID {
			t.Errorf("token = %+v", token)
		}
	}
	if err := env.EndSession(got[0].ID); err != nil {
		t.Fatal(err)
	}
	if after := env.Sessions(); len(after) != 2 || after[0].Ended.IsZero() || !after[1].Ended.IsZero() {
		t.Errorf("sessions = %+v, want the ended one too, because its token is valid", after)
	}
}

func TestWebhookSettingsAreChecked(t *testing.T) {
	t.Parallel()
	for want, config := range map[string]devenv.Config{
		"WebhookURLs: number 1":       {WebhookURLs: []string{"localhost:3001/hook"}},
		"WebhookURLs: number 2":       {WebhookURLs: []string{"http://a.example", "ftp://a.example"}},
		"given before":                {WebhookURLs: []string{"http://a.example", "http://a.example"}},
		"WebhookSecret":               {WebhookSecret: "hunter2"},
		"WebhookWaits: -1s":           {WebhookWaits: []time.Duration{-time.Second}},
		`EnvironmentID: "production"`: {EnvironmentID: "production"},
	} {
		config.Addr, config.Logger = "127.0.0.1:0", slog.New(slog.DiscardHandler)
		env, err := devenv.Start(t.Context(), config)
		if err == nil {
			_ = env.Close()
			t.Errorf("%s: started", want)
		} else if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error = %v, want one about %q", err, want)
		}
	}
}

// submit posts a form of the page at the root.
func submit(t *testing.T, env *devenv.Environment, action, target string) answer {
	t.Helper()
	return post(t, env.URL()+"/devenv/"+action, url.Values{"csrf": {csrfOf(t, env)}, "target": {target}})
}

// TestCloseEndsConnectionsOfWebhooks has the connection to a receiver closed with the environment, and not kept for later.
func TestCloseEndsConnectionsOfWebhooks(t *testing.T) {
	t.Parallel()
	closed, taken := make(chan struct{}, 10), make(chan struct{}, 10)
	receiver := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { taken <- struct{}{} }))
	receiver.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	receiver.Start()
	t.Cleanup(receiver.Close)
	env := start(t, devenv.Config{WebhookURLs: []string{receiver.URL}})
	if err := env.DeleteOrganization("org_compilers"); err != nil {
		t.Fatal(err)
	}
	await(t, "a webhook", taken)
	watch := eventsOf(t, env)
	for !strings.Contains(watch.until(t, "webhooks"), "delivered") {
	}
	if err := env.Close(); err != nil {
		t.Error(err)
	}
	await(t, "the end of the connection", closed)
}
