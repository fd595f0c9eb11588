package devenv

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv/internal/page"
)

// How much the page shows. All of it is in what the methods return.
const (
	maxShownSessions   = 50
	maxShownClients    = 50
	maxShownDeliveries = 50
)

// changed tells the pages that are open.
func (e *Environment) changed() { e.page.Changed() }

// developerPage makes the page at the root, and what changes are sent from.
func (e *Environment) developerPage() (developer *page.Page, err error) {
	developer, err = page.New(page.Config{
		State: e.state, Actions: e.buttons(), Done: e.ending, Logger: e.config.Logger,
	})
	if err != nil {
		return nil, err
	}
	e.page, e.requests.changed = developer, developer.Changed
	e.webhooks, err = e.newWebhooks()
	return developer, err
}

// buttons are what the page can do: what the methods do that have these names.
func (e *Environment) buttons() map[string]page.Action {
	return map[string]page.Action{
		"end-session":         {Done: "The session has ended.", Do: e.EndSession},
		"remove-member":       {Done: "The user was removed from the organization.", Do: e.removeFromOwn},
		"delete-organization": {Done: "The organization was deleted.", Do: e.DeleteOrganization},
		"deactivate-user":     {Done: "The user was deactivated in the directory.", Do: e.DeactivateUser},
		"withdraw-key":        {Done: "The key was withdrawn.", Do: e.WithdrawKey},
		"rotate-keys": {Done: "A new key signs.", Do: func(string) error {
			e.RotateKeys()
			return nil
		}},
		"delay": {Done: "The delay was changed.", Do: func(target string) error {
			delay, err := time.ParseDuration(target)
			if err != nil {
				return fmt.Errorf("%q is not a duration; give one like 5s", target)
			}
			e.SetDelay(delay)
			return nil
		}},
		"down": {Done: "The environment was switched.", Do: func(target string) error {
			down, err := strconv.ParseBool(target)
			if err != nil {
				return fmt.Errorf("%q is not true or false", target)
			}
			e.SetDown(down)
			return nil
		}},
		"token-life": {Done: "The life of new tokens was changed.", Do: func(target string) error {
			life, err := time.ParseDuration(target)
			if err != nil {
				return fmt.Errorf("%q is not a duration; give one like 1m", target)
			}
			return e.SetTokenLife(life)
		}},
	}
}

// removeFromOwn removes a user from the one organization that the user has.
func (e *Environment) removeFromOwn(userID string) error {
	user, _ := e.oauth.User(userID)
	return e.RemoveMember(userID, user.OrganizationID)
}

// state is what the page shows.
func (e *Environment) state() page.State {
	s := page.State{
		URL: e.url, ServerURL: e.config.ServerURL, ResourceID: e.config.ResourceID, EnvironmentID: e.config.EnvironmentID,
		TokenLife: e.tokenLife(), Delay: time.Duration(e.faults.delay.Load()), Down: e.faults.down.Load(),
		Requests: e.requests.all(),
	}
	names, going := make(map[string]string), make(map[string]int)
	for _, u := range e.oauth.Users() {
		names[u.ID] = u.Name
	}
	for i, session := range e.Sessions() {
		if session.Ended.IsZero() {
			going[session.UserID]++
		}
		if i >= maxShownSessions {
			continue
		}
		shown := page.Session{
			ID: session.ID, UserName: names[session.UserID], ClientID: session.ClientID, ClientName: session.ClientName,
			Scopes: session.Scopes, Started: session.Started, Ended: session.Ended,
		}
		for _, t := range session.Tokens {
			shown.Tokens = append(shown.Tokens, page.Token{KeyID: t.KeyID, Claims: t.Claims, Expires: t.ExpiresAt})
		}
		s.Sessions = append(s.Sessions, shown)
	}
	members := make(map[string]int)
	for _, u := range e.oauth.Users() {
		members[u.OrganizationID]++
		s.Users = append(s.Users, page.User{
			ID: u.ID, Name: u.Name, Email: u.Email, OrganizationID: u.OrganizationID, OrganizationName: u.OrganizationName,
			Deactivated: u.Deactivated, Sessions: going[u.ID],
		})
	}
	for _, o := range e.orgs.all() {
		s.Organizations = append(s.Organizations, page.Organization{ID: o.ID, Name: o.Name, Members: members[o.ID]})
	}
	for _, k := range e.Keys() {
		s.Keys = append(s.Keys, page.Key(k))
	}
	e.addClients(&s)
	e.addWebhooks(&s)
	return s
}

func (e *Environment) addClients(s *page.State) {
	for i, c := range e.oauth.Clients() {
		if i >= maxShownClients {
			return
		}
		s.Clients = append(s.Clients, page.Client{ID: c.ID, Name: c.Name, RedirectURIs: c.RedirectURIs, SignedIn: c.Approved})
	}
}

func (e *Environment) addWebhooks(s *page.State) {
	for _, target := range e.config.WebhookURLs {
		if u, err := url.Parse(target); err == nil {
			s.Webhooks = append(s.Webhooks, (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String())
		}
	}
	for i, d := range e.Deliveries() {
		if i >= maxShownDeliveries {
			return
		}
		s.Deliveries = append(s.Deliveries, page.Delivery{
			At: d.Began, Type: d.Type, EventID: d.EventID, Target: d.Target, Tries: d.Tries, Status: d.Status, Failure: d.Failure,
			Delivered: d.Delivered, GivenUp: d.Finished && !d.Delivered,
		})
	}
}
