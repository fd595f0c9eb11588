package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

const clientName = "mcpauth example client"

// redirect is the client's own small web server on loopback. The authorization server sends the person back to it (RFC 8252
// §7.3), and reads the client metadata document from it.
type redirect struct {
	server  *http.Server
	address string

	mu       sync.Mutex
	expected map[string]chan url.Values // by state
}

func listen(ctx context.Context) (*redirect, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &redirect{address: "http://" + listener.Addr().String(), expected: make(map[string]chan url.Values)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback", r.callback)
	mux.HandleFunc("GET /client.json", r.document)
	r.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = r.server.Serve(listener) }() // until close
	return r, nil
}

func (r *redirect) url() string         { return r.address + "/callback" }
func (r *redirect) documentURL() string { return r.address + "/client.json" }
func (r *redirect) close()              { _ = r.server.Close() }

func (r *redirect) metadata() *oauthex.ClientRegistrationMetadata {
	return &oauthex.ClientRegistrationMetadata{
		ClientName:              clientName,
		RedirectURIs:            []string{r.url()},
		GrantTypes:              []string{"authorization_code", "refresh_token"},
		ResponseTypes:           []string{"code"},
		TokenEndpointAuthMethod: "none",
	}
}

// document is the client metadata document. Its URL is the client's id.
func (r *redirect) document(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		ClientID string `json:"client_id"`
		*oauthex.ClientRegistrationMetadata
	}{r.documentURL(), r.metadata()})
}

// expect returns the channel for the answer to the authorization request with this state.
func (r *redirect) expect(state string) <-chan url.Values {
	answer := make(chan url.Values, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expected[state] = answer
	return answer
}

// callback takes one answer for each state that the client has given out. It ignores others, because any page may send a
// browser here.
func (r *redirect) callback(w http.ResponseWriter, req *http.Request) {
	query := req.URL.Query()
	r.mu.Lock()
	answer := r.expected[query.Get("state")]
	delete(r.expected, query.Get("state"))
	r.mu.Unlock()
	if answer == nil {
		http.Error(w, "The client is not waiting for this answer. Start again from the client.", http.StatusBadRequest)
		return
	}
	answer <- query
	_, _ = io.WriteString(w, "Done. You can close this page and go back to the client.\n")
}

func stateOf(authorizeURL string) (string, error) {
	u, err := url.Parse(authorizeURL)
	if err != nil {
		return "", fmt.Errorf("the authorization endpoint: %w", err)
	}
	return u.Query().Get("state"), nil
}
