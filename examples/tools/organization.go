package tools

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	scalekit "github.com/scalekit-inc/scalekit-sdk-go"
	mcpauth "github.com/scalekit-mcp/mcpauth/core"
)

// organizations calls Scalekit's API with the server's own credentials. The caller's token is never sent there: it is meant
// for this server, not for Scalekit.
type organizations struct {
	client func() (scalekit.Scalekit, error)
	logger *slog.Logger

	// Version 1 of the SDK stores its token without a lock, so its calls must not overlap.
	mu sync.Mutex
}

func newOrganizations(rs *mcpauth.ResourceServer, logger *slog.Logger) *organizations {
	return &organizations{client: mcpauth.SharedSDKClient(rs, scalekit.NewScalekitClient), logger: logger}
}

// An Organization is the answer of get_organization.
type Organization struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	ExternalID string `json:"externalId,omitempty"`
}

var (
	errNoOrganization = errors.New("no organization associated with this session")
	errUnavailable    = errors.New("the organization can't be looked up at the moment")
)

func (o *organizations) get(ctx context.Context, _ *mcp.CallToolRequest, _ noArguments) (*mcp.CallToolResult, Organization, error) {
	session, err := mcpauth.SessionFromContext(ctx)
	if err != nil {
		return nil, Organization{}, err
	}
	id := session.OrganizationID()
	if id == "" {
		return nil, Organization{}, errNoOrganization
	}
	organization, err := o.fetch(ctx, id)
	if err != nil {
		o.logger.ErrorContext(ctx, "asking Scalekit for an organization", "error", err, "session", session)
		return nil, Organization{}, errUnavailable
	}
	return nil, organization, nil
}

func (o *organizations) fetch(ctx context.Context, id string) (Organization, error) {
	client, err := o.client()
	if err != nil {
		return Organization{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	response, err := client.Organization().GetOrganization(ctx, id)
	if err != nil {
		return Organization{}, err
	}
	found := response.GetOrganization()
	return Organization{ID: found.GetId(), Name: found.GetDisplayName(), ExternalID: found.GetExternalId()}, nil
}
