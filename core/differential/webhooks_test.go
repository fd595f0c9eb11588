package differential_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/internal/strictjson"
	mcpauthrevocation "github.com/scalekit-mcp/mcpauth/revocation"
)

// TestWebhooksAreReadStrictly has signed events with JSON of all kinds in them. Module revocation can't import core's strict
// reader, and has one of its own, over encoding/json: each of its answers is compared with what core's reader says of the body.
func TestWebhooksAreReadStrictly(t *testing.T) {
	t.Parallel()
	deliver := webhooks(t)
	random := rand.New(rand.NewPCG(20_261_126, 0))
	counts := make(map[string]int)
	try := func(member string) {
		body := `{"id":"evt_1","type":"user.login","environment_id":"env_1","x":` + member + `}`
		status, strict := deliver(body), readStrictly(body)
		if status != http.StatusNoContent && status != http.StatusBadRequest {
			t.Fatalf("status %d for %q", status, body)
		}
		theirs := status == http.StatusNoContent
		if theirs != (strict == nil) {
			counts["explained"]++
			if !explained(theirs, strict, body) {
				t.Errorf("taken by revocation: %t; core's reader: %v; %q", theirs, strict, body)
			}
		}
		counts["taken "+strconv.FormatBool(theirs)]++
	}
	for _, member := range webhookMembers {
		try(member)
		for range 400 {
			try(mutate(random, member))
		}
	}
	t.Log(counts)
	if counts["taken true"] < 1000 || counts["taken false"] < 1000 {
		t.Errorf("the bodies are too much alike: %v", counts)
	}
}

// webhookMembers are values, good ones and ones that other readers differ about.
var webhookMembers = []string{
	`{}`, `[]`, `"text"`, `-12.5e+3`, `true`, `null`, `{"a":1,"b":[2,{"c":"d"}]}`, ` [ 1 , { "a" : null } ] `,
	`{"a":1,"a":2}`, `{"a":1,"A":2}`, `{"a":1,"\u0061":2}`, `[{"a":{"b":1,"b":1}}]`, `1,"x":2`, `1,"id":"evt_2"`, `1,"\u0069d":"evt_2"`, `1,"ID":"evt_2"`,
	`1}{`, `1} {"a":1`, `[1,]`, `{"a":1,}`, `{,}`, `[1 2]`, `{"a" 1}`, `{"a":}`, `{1:2}`, `[1}`, `{"a":1]`, `[`, `{"a"`,
	`01`, `+1`, `1.`, `.5`, `1e`, `-`, `0x1`, `NaN`, `1e308`, `1e309`, `1e999`, `-1e999`, `1e-999`, strings.Repeat("9", 400), `0.` + strings.Repeat("0", 400) + `1`,
	`"\ud83d\ude00"`, `"\ud83d"`, `"\ude00"`, `"\ud83d\u0041"`, `"\u12"`, `"\x41"`, `"\/\b\f\n\r\t\"\\"`, "\"\t\"", "\"\x00\"", "\"\xff\"", "\"\xed\xa0\x80\"", "\"é\u2028\"",
	"\ufeff1", "1\ufeff", "\v1", "1\u00a0", `'a'`, `/* */1`, `tru`, `nul`, `True`,
	strings.Repeat("[", 31) + strings.Repeat("]", 31), strings.Repeat("[", 32) + strings.Repeat("]", 32), strings.Repeat(`{"a":`, 31) + "1" + strings.Repeat("}", 31),
	strings.Repeat(`{"a":`, 32) + "1" + strings.Repeat("}", 32),
}

// mutate changes a value in one or two places.
func mutate(random *rand.Rand, member string) string {
	const pieces = `{}[]:,"\/0123456789eE+-. tfnu` + "\t\n\x00\x7f"
	b := []byte(member)
	for range 1 + random.IntN(2) {
		at := random.IntN(len(b) + 1)
		piece := pieces[random.IntN(len(pieces))]
		switch kind := random.IntN(4); {
		case kind == 0 || at == len(b): // inserted
			b = append(b[:at], append([]byte{piece}, b[at:]...)...)
		case kind == 1: // replaced
			b[at] = piece
		case kind == 2: // removed
			b = append(b[:at], b[at+1:]...)
		default: // written twice
			b = append(b[:at], append([]byte(member)[min(at, len(member)):], b[at:]...)...)
		}
	}
	return string(b)
}

// readStrictly has core's reader read an object, within the limits that revocation has.
func readStrictly(body string) error {
	r := strictjson.NewReader(body, strictjson.Limits{Depth: 32, Members: len(body)})
	if err := r.Object(func(string) error { return r.Skip() }); err != nil {
		return err
	}
	return r.End()
}

var surrogate = regexp.MustCompile(`\\u[dD][89a-fA-F]`)

// explained reports whether revocation may take a body that core's reader refuses. Numbers are not read there, whatever a
// float64 holds. Half a surrogate pair matters in what is read, where it is refused. The other way round there is no excuse.
func explained(theirs bool, strict error, body string) bool {
	return theirs && (errors.Is(strict, strictjson.ErrNumber) || surrogate.MatchString(body))
}

// webhooks returns a function that delivers a signed body, and returns the status of the answer.
func webhooks(t *testing.T) func(body string) (status int) {
	t.Helper()
	key := []byte("a key of thirty-two bytes or so.")
	list, err := mcpauthrevocation.New(mcpauthrevocation.Config{
		WebhookSecrets: []mcpauth.Secret{mcpauth.NewSecret("whsec_" + base64.StdEncoding.EncodeToString(key))},
		EnvironmentID:  "env_1", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = list.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	for end := time.Now().Add(30 * time.Second); list.Ready(ctx) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the list does not become ready: ", list.Ready(ctx))
		}
	}
	handler := list.Webhook()
	return func(body string) int {
		timestamp := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, key)
		_, _ = io.WriteString(mac, "msg_1."+timestamp+"."+body)
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Webhook-Id", "msg_1")
		r.Header.Set("Webhook-Timestamp", timestamp)
		r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
}
