package mcpauthrevocation_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// FuzzEvents has signed bodies: what revokes is JSON for encoding/json too, with the same type and environment.
func FuzzEvents(f *testing.F) {
	for _, data := range []string{logout, `{"id":"org_1"}`, `{"user":{"id":"usr_1"},"organization":{"id":"org_1"}}`, `null`, `[[{"a":1}]]`} {
		for _, kind := range []string{"user.logout", "organization.deleted", "user.organization_membership_deleted", "user.login"} {
			f.Add(envelope(kind, data))
		}
	}
	f.Fuzz(func(t *testing.T, body string) {
		list, _ := newList(t, webhookConfig())
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header = sign(secret, "msg_1", time.Now(), body)
		w := httptest.NewRecorder()
		list.Webhook().ServeHTTP(w, r)
		if w.Body.Len() > 0 {
			t.Errorf("the answer has the body %q", w.Body)
		}
		if w.Code != http.StatusNoContent {
			if list.Len() > 0 {
				t.Errorf("status %d, and %d entries", w.Code, list.Len())
			}
			return
		}
		var e struct {
			Type        string `json:"type"`
			Environment string `json:"environment_id"`
		}
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Errorf("%q is not JSON: %v", body, err)
		}
	})
}

// FuzzSignature has headers that did not come out of signing: none is believed.
func FuzzSignature(f *testing.F) {
	body := envelope("user.logout", logout)
	now := time.Now()
	good := sign(secret, "msg_1", now, body)
	other := sign(otherSecret, "msg_1", now, body)
	f.Add("msg_1", good.Get("Webhook-Timestamp"), other.Get("Webhook-Signature"))
	f.Add("msg_1", good.Get("Webhook-Timestamp"), "v1,")
	f.Add("", "-1", "v1,AAAA v1, v1,=")
	f.Fuzz(func(t *testing.T, id, timestamp, signature string) {
		list, _ := newList(t, webhookConfig())
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header = http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
		w := httptest.NewRecorder()
		list.Webhook().ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized || list.Len() > 0 {
			t.Errorf("status %d, %d entries", w.Code, list.Len())
		}
	})
}
