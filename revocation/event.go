package mcpauthrevocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// An event is Scalekit's envelope.
type event struct {
	id, kind, environment string
	occurredAt            time.Time
	data                  object
}

// readEvent reads an envelope. What is not about revocation may have any data.
func readEvent(body []byte) (e *event, err error) {
	envelope, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	e = new(event)
	for name, to := range map[string]*string{"id": &e.id, "type": &e.kind, "environment_id": &e.environment} {
		if *to, err = envelope.text(name); err != nil {
			return nil, err
		}
	}
	if _, revokes := revoking[e.kind]; !revokes {
		return e, nil
	}
	at, err := envelope.text("occurred_at")
	if err != nil {
		return nil, err
	}
	if e.occurredAt, err = time.Parse(time.RFC3339Nano, at); err != nil {
		return nil, errors.New("occurred_at is not a time of RFC 3339")
	}
	e.data, err = envelope.object("data")
	return e, err
}

// revoking holds how the entries of each type of event are made.
var revoking = map[string]func(*List, context.Context, *event) ([]Entry, error){
	"user.logout":                          (*List).logout,
	"user.organization_membership_deleted": (*List).membershipDeleted,
	"organization.deleted":                 (*List).organizationDeleted,
	"organization.directory.user_deleted":  (*List).directoryUserDeleted,
	"organization.directory.user_updated":  (*List).directoryUserUpdated,
}

// A hookError is the failure of a function of Config: the event is sent again.
type hookError struct {
	field string
	err   error
}

func (e *hookError) Error() string { return e.field + ": " + e.err.Error() }
func (e *hookError) Unwrap() error { return e.err }

// entriesOf returns what an event revokes. When a function of Config fails, it is what is certain without it.
func (l *List) entriesOf(ctx context.Context, e *event) (entries []Entry, failed *webhookError) {
	entriesOf, ok := revoking[e.kind]
	if !ok {
		return nil, nil
	}
	entries, err := entriesOf(l, ctx, e)
	if hook := (*hookError)(nil); errors.As(err, &hook) {
		return entries, &webhookError{
			status: http.StatusServiceUnavailable, cause: "a function of Config failed", err: err,
			cure: "see the error; Scalekit sends the event again, up to three times",
		}
	}
	if err != nil {
		return nil, &webhookError{
			status: http.StatusBadRequest, cause: "the signed event " + e.kind + " can't be read", err: err,
			cure: "revoke by hand what the event was about, and report its form to the authors of mcpauth",
		}
	}
	return entries, nil
}

func (l *List) logout(_ context.Context, e *event) ([]Entry, error) {
	session, err := e.data.object("user_session")
	if err != nil {
		return nil, err
	}
	id, err := session.text("session_id")
	return []Entry{Session(id)}, err
}

func (l *List) membershipDeleted(_ context.Context, e *event) ([]Entry, error) {
	user, err := e.data.object("user")
	if err != nil {
		return nil, err
	}
	organization, err := e.data.object("organization")
	if err != nil {
		return nil, err
	}
	userID, err := user.text("id")
	if err != nil {
		return nil, err
	}
	organizationID, err := organization.text("id")
	return []Entry{Member(userID, organizationID)}, err
}

func (l *List) organizationDeleted(ctx context.Context, e *event) ([]Entry, error) {
	id, err := e.data.text("id")
	if err != nil {
		return nil, err
	}
	entries := []Entry{Organization(id)}
	if l.cfg.Members == nil {
		if !l.cfg.RefuseWithoutOrganization {
			l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "tokens that name no organization outlive the deleted one",
				slog.String("organization_id", id), slog.String("event_id", e.id),
				slog.String("cure", "set Members of mcpauthrevocation.Config, which names the users of an organization, or RefuseWithoutOrganization"))
		}
		return entries, nil
	}
	users, err := callHook(ctx, "Members", func() ([]string, error) { return l.cfg.Members(ctx, id) })
	if err != nil { // the organization need not wait for its members: Scalekit sends the event again
		return entries, err
	}
	for _, user := range users {
		member := Member(user, id)
		if wrong := member.checkIDs(); wrong != nil {
			err = &hookError{"Members", wrong}
			continue
		}
		entries = append(entries, member)
	}
	return entries, err
}

func (l *List) directoryUserUpdated(ctx context.Context, e *event) ([]Entry, error) {
	active, found, err := e.data.boolean("active")
	if err != nil || !found || active {
		return nil, err
	}
	return l.directoryUserDeleted(ctx, e)
}

func (l *List) directoryUserDeleted(ctx context.Context, e *event) ([]Entry, error) {
	var user DirectoryUser
	var err error
	if user.ID, err = e.data.text("id"); err != nil {
		return nil, err
	}
	for name, to := range map[string]*string{"organization_id": &user.OrganizationID, "email": &user.Email, "dp_id": &user.ConnectionID} {
		if *to, err = e.data.optionalText(name); err != nil {
			return nil, err
		}
	}
	warn := func(message, cure string) {
		l.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, message, slog.String("directory_user_id", user.ID),
			slog.String("organization_id", user.OrganizationID), slog.String("event_id", e.id), slog.String("cure", cure))
	}
	if l.cfg.DirectoryUser == nil {
		warn("a user of a directory was removed, and nothing was revoked", "set DirectoryUser of mcpauthrevocation.Config, which finds the user: the event names none")
		return nil, nil
	}
	id, err := callHook(ctx, "DirectoryUser", func() (string, error) { return l.cfg.DirectoryUser(ctx, user) })
	switch {
	case err != nil:
		return nil, err
	case id == "":
		warn("a user of a directory was removed whom DirectoryUser does not know", "nothing to do if the user never signed in here")
		return nil, nil
	}
	entry := Member(id, user.OrganizationID)
	if user.OrganizationID == "" {
		entry = User(id)
	}
	if err := entry.checkIDs(); err != nil {
		return nil, &hookError{"DirectoryUser", err}
	}
	return []Entry{entry}, nil
}

// callHook calls a function of Config on a goroutine of its own, because one that ignores its context could not be left
// behind otherwise. Its panic is an error.
func callHook[T any](ctx context.Context, field string, hook func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		a := answer{err: errors.New("it ended its goroutine")}
		defer func() {
			if v := recover(); v != nil {
				a.err = fmt.Errorf("panic: %v", v)
			}
			answered <- a
		}()
		a.value, a.err = hook()
	}()
	var a answer
	select {
	case a = <-answered:
	case <-ctx.Done():
		a.err = context.Cause(ctx)
	}
	if a.err != nil {
		return a.value, &hookError{field, a.err}
	}
	return a.value, nil
}
