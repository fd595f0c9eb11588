package devenv

import (
	"crypto/rand"
	"net/http"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv/internal/oauth"
	"github.com/scalekit-mcp/mcpauth/devenv/internal/webhook"
)

// A Delivery is the way of one webhook to one of the [Config.WebhookURLs].
type Delivery struct {
	EventID   string // evt_...
	Type      string // such as user.logout
	Target    string // the URL, without user and query
	Began     time.Time
	Tries     int
	Status    int    // of the last answer; 0 for none
	Failure   string // why there was no answer
	Delivered bool   // the last answer was 2xx
	Finished  bool   // delivered or given up
}

// Deliveries returns what was sent and is being sent, the newest first. Of those that are finished it knows the last hundred.
func (e *Environment) Deliveries() []Delivery {
	var deliveries []Delivery
	for _, d := range e.webhooks.Deliveries() {
		deliveries = append(deliveries, Delivery(d))
	}
	return deliveries
}

func (e *Environment) newWebhooks() (*webhook.Sender, error) {
	// Not the transport of other clients in this process: Close ends its connections.
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
	}
	return webhook.New(webhook.Config{
		URLs: e.config.WebhookURLs, Secret: e.config.WebhookSecret, EnvironmentID: e.config.EnvironmentID,
		Waits: e.config.WebhookWaits, Client: &http.Client{Transport: transport}, Changed: e.changed, Logger: e.config.Logger,
	})
}

// The events below have the members that Scalekit documents.

func (e *Environment) sendLogout(at time.Time, sessionID string, u oauth.User) {
	session := map[string]any{"session_id": sessionID, "user_id": u.ID}
	if u.OrganizationID != "" {
		session["organization_id"] = u.OrganizationID
	}
	e.send(at, "user.logout", "User Logout", "UserSession", u.OrganizationID, map[string]any{
		"user": userData(u), "user_session": session,
	})
}

func (e *Environment) sendMembershipDeleted(at time.Time, u oauth.User) {
	e.send(at, "user.organization_membership_deleted", "User Organization Membership Deleted", "OrganizationMembership", u.OrganizationID, map[string]any{
		"user":         userData(u),
		"organization": map[string]any{"id": u.OrganizationID, "display_name": u.OrganizationName, "external_id": u.OrganizationExternalID},
	})
}

func (e *Environment) sendOrganizationDeleted(at time.Time, o Organization) {
	e.send(at, "organization.deleted", "Organization Deleted", "Organization", o.ID, map[string]any{
		"id": o.ID, "display_name": o.Name, "external_id": o.ExternalID,
	})
}

// sendDirectoryUserUpdated names the user by what the directory knows: there is no id that starts with usr_.
func (e *Environment) sendDirectoryUserUpdated(at time.Time, u oauth.User) {
	e.send(at, "organization.directory.user_updated", "Directory User Updated", "DirectoryUser", u.OrganizationID, map[string]any{
		"id": directoryID(u.ID), "organization_id": u.OrganizationID, "email": u.Email, "dp_id": "dp_local", "active": false,
	})
}

func userData(u oauth.User) map[string]any { return map[string]any{"id": u.ID, "email": u.Email} }

// directoryID derives the id in the directory from the id of the user, so that it stays the same.
func directoryID(userID string) string { return "diruser_" + userID[len("usr_"):] }

func (e *Environment) send(at time.Time, kind, name, object, organization string, data map[string]any) {
	e.webhooks.Send(webhook.Event{
		ID: "evt_" + rand.Text(), Type: kind, OccurredAt: at, OrganizationID: organization, Object: object, DisplayName: name, Data: data,
	})
	e.changed()
}
