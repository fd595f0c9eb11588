package mcpauthrevocation_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// TestR104FutureOrganization has a signed event from the future while Members fails: the organization's next tokens are not
// refused until then.
func TestR104FutureOrganization(t *testing.T) {
	t.Parallel()
	cfg := webhookConfig()
	cfg.Members = func(context.Context, string) ([]string, error) { return nil, errors.New("down") }
	list, log := newList(t, cfg)
	future := `"occurred_at":"` + time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339Nano) + `"`
	body := regexp.MustCompile(`"occurred_at":"[^"]*"`).ReplaceAllString(envelope("organization.deleted", `{"id":"org_1"}`), future)
	if status := deliver(t, list.Webhook(), sign(secret, "msg_1", time.Now(), body), body); status != http.StatusServiceUnavailable {
		t.Errorf("status %d: %s", status, log)
	}
	session := mcpauthtest.NewSession(m{"oid": "org_1", "iat": time.Now().Unix()})
	if entry := entryOf(t, list.Watch(session)); entry != "" {
		t.Errorf("refused for %q", entry)
	}
}

// TestR104WhatIsCertain has functions of Config that fail in part or in whole: the event is sent again, and what is certain without
// them is durable at once, so that every replica has it.
func TestR104WhatIsCertain(t *testing.T) {
	t.Parallel()
	const organization, directory = "organization.deleted", "organization.directory.user_deleted"
	members := func(ids []string, err error) mcpauthrevocation.Config {
		return mcpauthrevocation.Config{Members: func(context.Context, string) ([]string, error) { return ids, err }}
	}
	long := strings.Repeat("x", 2049)
	for name, c := range map[string]struct {
		cfg  mcpauthrevocation.Config
		kind string
		want string // entries that another replica has
		log  string
	}{
		"Members fails":           {members(nil, errors.New("down")), organization, "organization org_1", "Members: down"},
		"Members has half of all": {members([]string{"usr_1"}, errors.New("down")), organization, "organization org_1", "Members: down"},
		"an empty id":             {members([]string{"", "usr_1"}, nil), organization, "member usr_1 of org_1, organization org_1", "Members: "},
		"an id with a line's end": {members([]string{"usr_1\n", "usr_2"}, nil), organization, "member usr_2 of org_1, organization org_1", "leave out the space"},
		"a long id":               {members([]string{"usr_1", long, "usr_2"}, nil), organization, "member usr_1 of org_1, member usr_2 of org_1, organization org_1", "Members: "},
		"a directory's long id": {mcpauthrevocation.Config{DirectoryUser: func(context.Context, mcpauthrevocation.DirectoryUser) (string, error) {
			return long, nil
		}}, directory, "", "DirectoryUser: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := mcpauthrevocation.NewMemoryStore(24 * time.Hour)
			cfg := c.cfg
			cfg.WebhookSecrets, cfg.EnvironmentID, cfg.Store = webhookConfig().WebhookSecrets, "env_1", store
			list, log := newList(t, cfg)
			body := envelope(c.kind, `{"id":"org_1","organization_id":"org_1"}`)
			if status := deliver(t, list.Webhook(), sign(secret, "msg_1", time.Now(), body), body); status != http.StatusServiceUnavailable {
				t.Errorf("status %d", status)
			}
			if !strings.Contains(log.String(), c.log) {
				t.Errorf("the log lacks %q: %s", c.log, log)
			}
			var stored []string
			ctx, cancel := context.WithCancel(t.Context())
			_ = store.Follow(ctx, "", func(b mcpauthrevocation.Batch) {
				for _, e := range b.Entries {
					stored = append(stored, e.String())
				}
				cancel()
			})
			slices.Sort(stored)
			if got := strings.Join(stored, ", "); got != c.want {
				t.Errorf("the store has %q, want %q", got, c.want)
			}
		})
	}
}

// TestR104HangingMembers has Members give no answer: the organization is durable all the same.
func TestR104HangingMembers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		cfg := webhookConfig()
		cfg.Store = contextStore{mcpauthrevocation.NewMemoryStore(24 * time.Hour)}
		cfg.Members = func(context.Context, string) ([]string, error) { <-release; return nil, nil }
		cfg.Logger = slog.New(slog.DiscardHandler)
		list, err := mcpauthrevocation.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		body := envelope("organization.deleted", `{"id":"org_1"}`)
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header = sign(secret, "msg_1", time.Now(), body)
		w, began := httptest.NewRecorder(), time.Now()
		list.Webhook().ServeHTTP(w, r)
		if took := time.Since(began); w.Code != http.StatusServiceUnavailable || took > 10*time.Second {
			t.Errorf("status %d after %v", w.Code, took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_ = cfg.Store.Follow(ctx, "", func(b mcpauthrevocation.Batch) {
			if len(b.Entries) != 1 || b.Entries[0].String() != "organization org_1" {
				t.Errorf("the store has %v", b.Entries)
			}
			cancel()
		})
		close(release)
	})
}

// A contextStore does what its context allows.
type contextStore struct{ *mcpauthrevocation.MemoryStore }

func (s contextStore) Append(ctx context.Context, entries []mcpauthrevocation.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.MemoryStore.Append(ctx, entries)
}

// TestR104UnsentBody has strangers that announce a body and send none: each gets its answer within seconds (R84).
func TestR104UnsentBody(t *testing.T) {
	t.Parallel()
	list, _ := newList(t, webhookConfig())
	server := httptest.NewServer(list.Webhook())
	t.Cleanup(server.Close)
	for request, want := range map[string]string{
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n":               "401",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab": "401",
		"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n":                "405",
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%q: no answer: %v", request, err)
			continue
		}
		if _ = resp.Body.Close(); !strings.HasPrefix(resp.Status, want) {
			t.Errorf("%q: %s", request, resp.Status)
		}
	}
}
