package oauth

import (
	"sync"

	"github.com/luikyv/go-oidc/pkg/goidc"
)

// maxClients is how many clients an environment knows at a time. Registration is open to all, so there has to be a limit.
const maxClients = 1000

// clientTable holds the clients that registered, and those whose metadata document an authorization request named.
//
// The table never refuses a client: when it is full, a new client replaces an old one. Clients that a person signed in with
// are kept the longest, so that a flood of registrations only replaces itself. Refusing new clients would lock out everyone
// until the environment is restarted.
type clientTable struct {
	mu   sync.Mutex
	byID map[string]*knownClient
	uses uint64
}

type knownClient struct {
	client   *goidc.Client
	approved bool   // a person signed in with it
	lastUse  uint64 // clientTable.uses at that time
}

// before reports whether a is replaced before b.
func (a *knownClient) before(b *knownClient) bool {
	if a.approved != b.approved {
		return b.approved
	}
	return a.lastUse < b.lastUse
}

// put adds a client, or replaces its data.
func (t *clientTable) put(client *goidc.Client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := *client
	t.uses++
	if known, ok := t.byID[c.ID]; ok {
		known.client, known.lastUse = &c, t.uses
		return
	}
	if len(t.byID) >= maxClients {
		t.dropOne()
	}
	t.byID[c.ID] = &knownClient{client: &c, lastUse: t.uses}
}

func (t *clientTable) dropOne() {
	var first string
	for id, known := range t.byID {
		if first == "" || known.before(t.byID[first]) {
			first = id
		}
	}
	delete(t.byID, first)
}

// approve records that a person signed in with the client, or that such a person's session goes on.
func (t *clientTable) approve(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.byID[id]; ok {
		t.uses++
		known.approved, known.lastUse = true, t.uses
	}
}

// get returns a copy, because go-oidc changes the client that it gets.
func (t *clientTable) get(id string) (*goidc.Client, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.byID[id]
	if !ok {
		return nil, false
	}
	c := *known.client
	return &c, true
}

func (t *clientTable) remove(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, id)
}
