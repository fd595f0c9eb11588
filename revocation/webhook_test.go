package mcpauthrevocation_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

const (
	secret      = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	otherSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// sign returns the headers of a webhook.
func sign(secret, id string, at time.Time, body string) http.Header {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	timestamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, id+"."+timestamp+"."+body)
	return http.Header{
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {timestamp},
		"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}
}

// envelope returns an event of env_1.
func envelope(kind, data string) string {
	return fmt.Sprintf(`{"spec_version":"1","id":"evt_1","type":%q,"occurred_at":%q,"environment_id":"env_1","organization_id":"org_1","object":"x","data":%s,"display_name":"x"}`,
		kind, time.Now().UTC().Format(time.RFC3339Nano), data)
}

const logout = `{"user":{"id":"usr_1"},"user_session":{"session_id":"ses_1","organization_id":"org_1"}}`

func webhookConfig() mcpauthrevocation.Config {
	return mcpauthrevocation.Config{WebhookSecrets: []mcpauth.Secret{mcpauth.NewSecret(secret)}, EnvironmentID: "env_1"}
}

// deliver sends a webhook over a socket, and returns the status of the answer, which has no body.
func deliver(t testing.TB, handler http.Handler, header http.Header, body string) int {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, server.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if text, err := io.ReadAll(resp.Body); err != nil || len(text) > 0 {
		t.Errorf("the answer has the body %q (%v)", text, err)
	}
	return resp.StatusCode
}

// TestR104Events has every type of event, and what it revokes.
func TestR104Events(t *testing.T) {
	t.Parallel()
	const member = `{"user":{"id":"usr_1"},"organization":{"id":"org_1"}}`
	const directory = `{"id":"diruser_1","organization_id":"org_1","email":"a@example.com","dp_id":"conn_1"%s}`
	members := func(_ context.Context, id string) ([]string, error) {
		if id != "org_1" {
			return nil, errors.New("unknown organization")
		}
		return []string{"usr_1", "usr_2"}, nil
	}
	user := func(_ context.Context, u mcpauthrevocation.DirectoryUser) (string, error) {
		if u != (mcpauthrevocation.DirectoryUser{ID: "diruser_1", OrganizationID: "org_1", ConnectionID: "conn_1", Email: "a@example.com"}) {
			return "", fmt.Errorf("another user: %+v", u)
		}
		return "usr_1", nil
	}
	fails := func(context.Context, string) ([]string, error) { return nil, errors.New("down") }
	panics := func(context.Context, mcpauthrevocation.DirectoryUser) (string, error) { panic("broken") }
	for name, c := range map[string]struct {
		cfg        mcpauthrevocation.Config
		kind, data string
		status     int
		entry      string // that the session of usr_1 in org_1 is refused for
		without    string // the same, without organization
		log        string
	}{
		"logout":               {kind: "user.logout", data: logout, status: 204, entry: "session ses_1", without: "session ses_1"},
		"logout without sid":   {kind: "user.logout", data: `{"user":{"id":"usr_1"},"user_session":{}}`, status: 400, log: "session_id is missing"},
		"logout of a number":   {kind: "user.logout", data: `{"user_session":{"session_id":1}}`, status: 400, log: "session_id is not a string"},
		"logout in other case": {kind: "user.logout", data: `{"user_session":{"Session_ID":"ses_1"}}`, status: 400},
		"logout without data":  {kind: "user.logout", data: `null`, status: 400, log: "data is not an object"},
		"member":               {kind: "user.organization_membership_deleted", data: member, status: 204, entry: "member usr_1 of org_1", without: "member usr_1 of org_1"},
		"member without user":  {kind: "user.organization_membership_deleted", data: `{"organization":{"id":"org_1"}}`, status: 400},
		"member without org":   {kind: "user.organization_membership_deleted", data: `{"user":{"id":"usr_1"},"organization":{"id":""}}`, status: 400},
		"organization":         {kind: "organization.deleted", data: `{"id":"org_1"}`, status: 204, entry: "organization org_1", log: "tokens that name no organization outlive"},
		"organization, members": {
			cfg: mcpauthrevocation.Config{Members: members}, kind: "organization.deleted", data: `{"id":"org_1"}`, status: 204,
			entry: "member usr_1 of org_1", without: "member usr_1 of org_1",
		},
		"organization, no members": {
			cfg: mcpauthrevocation.Config{Members: fails}, kind: "organization.deleted", data: `{"id":"org_1"}`, status: 503, entry: "organization org_1", log: "Members: down",
		},
		"directory user": {
			cfg: mcpauthrevocation.Config{DirectoryUser: user}, kind: "organization.directory.user_deleted", data: fmt.Sprintf(directory, ""), status: 204,
			entry: "member usr_1 of org_1", without: "member usr_1 of org_1",
		},
		"directory user, inactive": {
			cfg: mcpauthrevocation.Config{DirectoryUser: user}, kind: "organization.directory.user_updated", data: fmt.Sprintf(directory, `,"active":false`), status: 204,
			entry: "member usr_1 of org_1", without: "member usr_1 of org_1",
		},
		"directory user, active":        {cfg: mcpauthrevocation.Config{DirectoryUser: user}, kind: "organization.directory.user_updated", data: fmt.Sprintf(directory, `,"active":true`), status: 204},
		"directory user, not said":      {cfg: mcpauthrevocation.Config{DirectoryUser: user}, kind: "organization.directory.user_updated", data: fmt.Sprintf(directory, ``), status: 204},
		"directory user, active a text": {cfg: mcpauthrevocation.Config{DirectoryUser: user}, kind: "organization.directory.user_updated", data: fmt.Sprintf(directory, `,"active":"false"`), status: 400},
		"directory user, without hook":  {kind: "organization.directory.user_deleted", data: fmt.Sprintf(directory, ""), status: 204, log: "set DirectoryUser"},
		"directory user, panic":         {cfg: mcpauthrevocation.Config{DirectoryUser: panics}, kind: "organization.directory.user_deleted", data: fmt.Sprintf(directory, ""), status: 503, log: "panic: broken"},
		"another type":                  {kind: "user.login", data: logout, status: 204},
		"another type, other data":      {kind: "role.created", data: `[1]`, status: 204},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := c.cfg
			cfg.WebhookSecrets, cfg.EnvironmentID = webhookConfig().WebhookSecrets, "env_1"
			list, log := newList(t, cfg)
			body := envelope(c.kind, c.data)
			for range 2 { // the second is a replay
				if status := deliver(t, list.Webhook(), sign(secret, "msg_1", time.Now(), body), body); status != c.status {
					t.Errorf("status %d, want %d: %s", status, c.status, log)
				}
			}
			iat := time.Now().Unix() - 5
			with := mcpauthtest.NewSession(m{"oid": "org_1", "iat": iat})
			without := mcpauthtest.NewSession(m{"iat": iat})
			other := mcpauthtest.NewSession(m{"oid": "org_2", "sub": "usr_9", "sid": "ses_9", "iat": iat})
			later := mcpauthtest.NewSession(m{"oid": "org_1", "sid": "ses_9", "iat": time.Now().Unix() + 5})
			for _, s := range []struct {
				session *mcpauth.Session
				want    string
			}{{with, c.entry}, {without, c.without}, {other, ""}, {later, ""}} {
				if entry := entryOf(t, list.Watch(s.session)); entry != s.want {
					t.Errorf("%v: refused for %q, want %q", s.session, entry, s.want)
				}
			}
			if !strings.Contains(log.String(), c.log) {
				t.Errorf("the log lacks %q: %s", c.log, log)
			}
		})
	}
}

// TestR104Refused has webhooks that must not be believed: they change nothing.
func TestR104Refused(t *testing.T) {
	t.Parallel()
	now := time.Now()
	body := envelope("user.logout", logout)
	good := func() http.Header { return sign(secret, "msg_1", now, body) }
	changed := func(change func(http.Header)) func() http.Header {
		return func() http.Header { h := good(); change(h); return h }
	}
	for name, c := range map[string]struct {
		header func() http.Header
		body   string // as signed, by default
		status int
	}{
		"good":                     {good, "", 204},
		"another secret":           {func() http.Header { return sign(otherSecret, "msg_1", now, body) }, "", 401},
		"another body":             {good, strings.Replace(body, "ses_1", "ses_2", 1), 401},
		"a body with a space more": {good, body + " ", 401},
		"no headers":               {func() http.Header { return http.Header{} }, "", 401},
		"no id":                    {changed(func(h http.Header) { h.Del("Webhook-Id") }), "", 401},
		"another id":               {changed(func(h http.Header) { h.Set("Webhook-Id", "msg_2") }), "", 401},
		"an id with a dot":         {func() http.Header { return sign(secret, "msg.1", now, body) }, "", 401},
		"two ids":                  {changed(func(h http.Header) { h.Add("Webhook-Id", "msg_1") }), "", 401},
		"another timestamp":        {changed(func(h http.Header) { h.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix()+1, 10)) }), "", 401},
		"a timestamp with a sign":  {changed(func(h http.Header) { h.Set("Webhook-Timestamp", "+"+h.Get("Webhook-Timestamp")) }), "", 401},
		"two timestamps":           {changed(func(h http.Header) { h.Add("Webhook-Timestamp", h.Get("Webhook-Timestamp")) }), "", 401},
		"4 minutes old":            {func() http.Header { return sign(secret, "msg_1", now.Add(-4*time.Minute), body) }, "", 204},
		"6 minutes old":            {func() http.Header { return sign(secret, "msg_1", now.Add(-6*time.Minute), body) }, "", 401},
		"6 minutes early":          {func() http.Header { return sign(secret, "msg_1", now.Add(6*time.Minute), body) }, "", 401},
		"no version":               {changed(func(h http.Header) { h.Set("Webhook-Signature", strings.TrimPrefix(h.Get("Webhook-Signature"), "v1,")) }), "", 401},
		"another version": {changed(func(h http.Header) {
			h.Set("Webhook-Signature", "v2"+strings.TrimPrefix(h.Get("Webhook-Signature"), "v1"))
		}), "", 401},
		"several signatures":      {changed(func(h http.Header) { h.Set("Webhook-Signature", "v1,AAAA v1a,x  "+h.Get("Webhook-Signature")) }), "", 204},
		"two signature headers":   {changed(func(h http.Header) { h.Add("Webhook-Signature", h.Get("Webhook-Signature")) }), "", 401},
		"an empty signature":      {changed(func(h http.Header) { h.Set("Webhook-Signature", "v1,") }), "", 401},
		"a part of the signature": {changed(func(h http.Header) { h.Set("Webhook-Signature", h.Get("Webhook-Signature")[:20]) }), "", 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, log := newList(t, webhookConfig())
			sent := c.body
			if sent == "" {
				sent = body
			}
			if status := deliver(t, list.Webhook(), c.header(), sent); status != c.status {
				t.Errorf("status %d, want %d: %s", status, c.status, log)
			}
			if n := list.Len(); (n > 0) != (c.status == 204) {
				t.Errorf("%d entries", n)
			}
			if c.status == 401 && !strings.Contains(log.String(), `level=INFO msg="webhook refused" status=401`) {
				t.Errorf("the log: %s", log)
			}
		})
	}
}

// TestR104SignedButNotBelieved has events with a good signature that must change nothing.
func TestR104SignedButNotBelieved(t *testing.T) {
	t.Parallel()
	good := envelope("user.logout", logout)
	replaced := func(part, by string) string {
		if !strings.Contains(good, part) {
			t.Fatalf("no %q in %s", part, good)
		}
		return strings.Replace(good, part, by, 1)
	}
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"another environment":                   {replaced("env_1", "env_2"), 403},
		"another one, other type":               {replaced("env_1", "env_2"), 403},
		"no environment":                        {replaced(`"environment_id"`, `"Environment_ID"`), 400},
		"a repeated type":                       {replaced(`"type"`, `"type":"user.login","type"`), 400},
		"a repeated session":                    {replaced(`"session_id"`, `"session_id":"ses_2","session_id"`), 400},
		"a repeated session, escaped":           {replaced(`"session_id"`, `"session_\u0069d":"ses_2","session_id"`), 400},
		"a repeated member in what is not read": {replaced(`"display_name"`, `"x":[{"a":1,"a":2}],"display_name"`), 400},
		"more behind":                           {good + "{}", 400},
		"not an object":                         {`"user.logout"`, 400},
		"nothing":                               {``, 400},
		"not UTF-8":                             {replaced("ses_1", "ses_\xff"), 400},
		"cut":                                   {good[:len(good)-1], 400},
		"no time":                               {replaced(`"occurred_at"`, `"occured_at"`), 400},
		"another time":                          {replaced(`"occurred_at":"`, `"occurred_at":"x`), 400},
		"a later year":                          {replaced(`"occurred_at":"20`, `"occurred_at":"21`), 400},
		"nested deeply":                         {replaced(`"display_name":"x"`, `"display_name":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)), 400},
		"a long session":                        {replaced("ses_1", strings.Repeat("x", 2049)), 400},
		"too long":                              {replaced(`"object":"x"`, `"object":"`+strings.Repeat("x", 1<<20)+`"`), 413},
		"nearly":                                {replaced(`"object":"x"`, `"object":"`+strings.Repeat("x", 1<<19)+`"`), 204},
		"escaped":                               {replaced("ses_1", `\u0073es_1`), 204},
		"half a surrogate pair":                 {replaced("ses_1", `ses_\ud800`), 400},
		"a zero byte":                           {replaced("ses_1", `ses_\u0000`), 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, log := newList(t, webhookConfig())
			if status := deliver(t, list.Webhook(), sign(secret, "msg_1", time.Now(), c.body), c.body); status != c.status {
				t.Errorf("status %d, want %d: %s", status, c.status, log)
			}
			if n := list.Len(); (n > 0) != (c.status == 204) {
				t.Errorf("%d entries", n)
			}
			if c.status == 400 && !strings.Contains(log.String(), `level=WARN msg="webhook refused" status=400`) {
				t.Errorf("the log: %s", log)
			}
		})
	}
}

// TestR104Secrets has the secret replaced: both are valid meanwhile. Without secrets nothing is taken.
func TestR104Secrets(t *testing.T) {
	t.Parallel()
	body := envelope("user.logout", logout)
	both := webhookConfig()
	both.WebhookSecrets = append(both.WebhookSecrets, mcpauth.NewSecret(otherSecret))
	for _, s := range []string{secret, otherSecret} {
		list, _ := newList(t, both)
		if status := deliver(t, list.Webhook(), sign(s, "msg_1", time.Now(), body), body); status != http.StatusNoContent {
			t.Errorf("status %d", status)
		}
	}
	list, log := newList(t, mcpauthrevocation.Config{})
	if status := deliver(t, list.Webhook(), sign(secret, "msg_1", time.Now(), body), body); status != http.StatusServiceUnavailable || !strings.Contains(log.String(), "set WebhookSecrets") {
		t.Errorf("status %d: %s", status, log)
	}
	w := httptest.NewRecorder()
	list.Webhook().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" {
		t.Errorf("status %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

// TestR104Durable has a store that is down: the event is in force here, and is not acknowledged before the store has it.
func TestR104Durable(t *testing.T) {
	t.Parallel()
	store := &scriptedStore{MemoryStore: mcpauthrevocation.NewMemoryStore(24 * time.Hour)}
	cfg := webhookConfig()
	cfg.Store = store
	list, log := newList(t, cfg)
	store.set(true, false)
	body := envelope("user.logout", logout)
	if status := deliver(t, list.Webhook(), sign(secret, "msg_1", time.Now(), body), body); status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
	if entry := entryOf(t, list.Watch(mcpauthtest.NewSession(nil))); entry != "session ses_1" {
		t.Errorf("refused for %q", entry)
	}
	if !strings.Contains(log.String(), "in force on this replica alone") {
		t.Errorf("the log: %s", log)
	}
	store.set(false, false)
	if status := deliver(t, list.Webhook(), sign(secret, "msg_1", time.Now(), body), body); status != http.StatusNoContent {
		t.Errorf("status %d", status)
	}
	another, _ := newList(t, cfg)
	if entry := entryOf(t, another.Watch(mcpauthtest.NewSession(nil))); entry != "session ses_1" {
		t.Errorf("on the other replica: refused for %q", entry)
	}
}

// TestConfig has settings that can't be meant. No error shows a secret.
func TestConfig(t *testing.T) {
	t.Parallel()
	secrets := func(texts ...string) (s []mcpauth.Secret) {
		for _, text := range texts {
			s = append(s, mcpauth.NewSecret(text))
		}
		return s
	}
	for name, c := range map[string]struct {
		cfg    mcpauthrevocation.Config
		fields []string
	}{
		"nothing":                {mcpauthrevocation.Config{}, nil},
		"webhooks":               {webhookConfig(), nil},
		"no environment":         {mcpauthrevocation.Config{WebhookSecrets: secrets(secret)}, []string{"EnvironmentID"}},
		"another id":             {mcpauthrevocation.Config{EnvironmentID: "res_1"}, []string{"EnvironmentID"}},
		"other secrets":          {mcpauthrevocation.Config{WebhookSecrets: secrets(secret, "", "whsec_", "whsec_AAAA", strings.TrimPrefix(secret, "whsec_"), secret+"\n"), EnvironmentID: "env_1"}, []string{"WebhookSecrets", "WebhookSecrets", "WebhookSecrets", "WebhookSecrets", "WebhookSecrets"}},
		"too short":              {mcpauthrevocation.Config{MaxTokenLife: time.Second, MaxStaleness: time.Second, ClockSkew: time.Hour}, []string{"MaxTokenLife", "ClockSkew", "MaxStaleness"}},
		"negative":               {mcpauthrevocation.Config{MaxTokenLife: -1, ClockSkew: -1}, []string{"MaxTokenLife", "ClockSkew"}},
		"a forgetful store":      {mcpauthrevocation.Config{Store: mcpauthrevocation.NewMemoryStore(23 * time.Hour)}, []string{"Store"}},
		"a longer life":          {mcpauthrevocation.Config{Store: mcpauthrevocation.NewMemoryStore(24 * time.Hour), MaxTokenLife: 48 * time.Hour}, []string{"Store"}},
		"a shorter life":         {mcpauthrevocation.Config{Store: mcpauthrevocation.NewMemoryStore(time.Hour), MaxTokenLife: time.Hour, ClockSkew: 5 * time.Minute}, nil},
		"a store for ever stale": {mcpauthrevocation.Config{MaxStaleness: -1}, nil},
	} {
		_, err := mcpauthrevocation.New(c.cfg)
		var fields []string
		for mistake := range mcpauth.ConfigErrors(err) {
			fields = append(fields, mistake.Field)
		}
		if fmt.Sprint(fields) != fmt.Sprint(c.fields) || (err == nil) != (c.fields == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "MfKQ9r8") {
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", webhookConfig(), webhookConfig(), webhookConfig()); strings.Contains(text, "MfKQ9r8") {
		t.Errorf("printing shows the secret: %s", text)
	}
}
