package devenv

import (
	"fmt"
	"slices"
	"time"

	"github.com/scalekit-mcp/mcpauth/devenv/internal/oauth"
)

// EndSession ends a session, as an administrator does: its refresh token is refused with invalid_grant. Access tokens in
// circulation stay valid until they expire, as Scalekit's do. It sends user.logout.
func (e *Environment) EndSession(sessionID string) error {
	session, ended := e.oauth.EndSession(sessionID)
	if !ended {
		return fmt.Errorf("devenv: EndSession: there is no session %q that goes on; Sessions lists them", sessionID)
	}
	user, _ := e.oauth.User(session.UserID) // users are never removed
	e.sendLogout(time.Now(), session.ID, user)
	return nil
}

// RemoveMember removes a user from the organization. The user's sessions end, and tokens for that organization can't be had
// any more: who signs in again does so without an organization. It sends user.organization_membership_deleted, and no
// user.logout.
func (e *Environment) RemoveMember(userID, organizationID string) error {
	before := e.oauth.ChangeUsers(func(u *oauth.User) bool {
		return u.ID == userID && organizationID != "" && u.OrganizationID == organizationID && leave(u)
	})
	if len(before) == 0 {
		return fmt.Errorf("devenv: RemoveMember: %q is not a member of the organization %q", userID, organizationID)
	}
	e.sendMembershipDeleted(time.Now(), before[0])
	return nil
}

// DeleteOrganization deletes an organization. The sessions of its members end, and they are members of none. It sends
// organization.deleted, and nothing else.
func (e *Environment) DeleteOrganization(organizationID string) error {
	organization, removed := e.orgs.remove(organizationID)
	if !removed {
		return fmt.Errorf("devenv: DeleteOrganization: there is no organization %q", organizationID)
	}
	e.oauth.ChangeUsers(func(u *oauth.User) bool { return u.OrganizationID == organizationID && leave(u) })
	e.sendOrganizationDeleted(time.Now(), organization)
	return nil
}

// DeactivateUser deactivates a user in the directory of the organization. The user's sessions end, and the user can't sign in
// any more. It sends organization.directory.user_updated with active false, which names the user by email and not by id.
func (e *Environment) DeactivateUser(userID string) error {
	user, ok := e.oauth.User(userID)
	switch {
	case !ok:
		return fmt.Errorf("devenv: DeactivateUser: there is no user %q", userID)
	case user.OrganizationID == "":
		return fmt.Errorf("devenv: DeactivateUser: %q is not in an organization, and so in no directory", userID)
	}
	before := e.oauth.ChangeUsers(func(u *oauth.User) bool {
		if u.ID != userID || u.OrganizationID == "" || u.Deactivated {
			return false
		}
		u.Deactivated = true
		return true
	})
	if len(before) == 0 {
		return fmt.Errorf("devenv: DeactivateUser: %q is deactivated already", userID)
	}
	e.sendDirectoryUserUpdated(time.Now(), before[0])
	return nil
}

// leave takes a user out of the organization.
func leave(u *oauth.User) bool {
	u.OrganizationID, u.OrganizationName, u.OrganizationExternalID, u.Roles, u.Permissions = "", "", "", nil, nil
	return true
}

// Users returns the people that one can sign in as. Their organizations are those that are left.
func (e *Environment) Users() []User {
	var users []User
	for _, u := range e.oauth.Users() {
		users = append(users, User{
			ID: u.ID, Name: u.Name, Email: u.Email, Roles: slices.Clone(u.Roles), Permissions: slices.Clone(u.Permissions),
			Organization: Organization{ID: u.OrganizationID, Name: u.OrganizationName, ExternalID: u.OrganizationExternalID},
		})
	}
	return users
}
