package oauth

import (
	"slices"
	"sync"
)

// userTable holds the people that one can sign in as.
type userTable struct {
	mu   sync.Mutex
	list []User
}

func newUserTable(users []User) *userTable { return &userTable{list: slices.Clone(users)} }

func (t *userTable) all() []User {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.list)
}

func (t *userTable) get(id string) (User, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.list, func(u User) bool { return u.ID == id })
	if i < 0 {
		return User{}, false
	}
	return t.list[i], true
}

// change calls change for every user, which may change the user and says whether it did. The users come back as they were.
func (t *userTable) change(change func(*User) bool) (before []User) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.list {
		old := t.list[i]
		if change(&t.list[i]) {
			before = append(before, old)
		}
	}
	return before
}

// organizationClaims are the claims of Scalekit's full-stack tokens about the user's organization.
func (u User) organizationClaims() map[string]any {
	if u.OrganizationID == "" {
		return nil
	}
	claims := map[string]any{
		"oid":         u.OrganizationID,
		"roles":       append([]string{}, u.Roles...), // [] rather than null
		"permissions": append([]string{}, u.Permissions...),
	}
	if u.OrganizationExternalID != "" {
		claims["xoid"] = u.OrganizationExternalID
	}
	return claims
}
