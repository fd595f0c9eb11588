package devenv

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"connectrpc.com/connect"
	organizationsv1 "github.com/scalekit-inc/scalekit-sdk-go/pkg/grpc/scalekit/v1/organizations"
	"github.com/scalekit-inc/scalekit-sdk-go/pkg/grpc/scalekit/v1/organizations/organizationsconnect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const maxPage = 30

// organizations is Scalekit's OrganizationService for the organizations of the configured users. Reading works; everything
// else is CodeUnimplemented.
type organizations struct {
	organizationsconnect.UnimplementedOrganizationServiceHandler

	tokens  *environmentTokens
	created time.Time

	mu   sync.Mutex
	list []Organization // in the order of the users
}

func newOrganizations(users []User, tokens *environmentTokens) *organizations {
	o := &organizations{tokens: tokens, created: time.Now()}
	known := make(map[string]bool)
	for _, u := range users {
		if org := u.Organization; org.ID != "" && !known[org.ID] {
			known[org.ID] = true
			o.list = append(o.list, org)
		}
	}
	return o
}

func (o *organizations) all() []Organization {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.list)
}

// remove reports whether there was such an organization.
func (o *organizations) remove(id string) (Organization, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.list, func(org Organization) bool { return org.ID == id })
	if i < 0 {
		return Organization{}, false
	}
	removed := o.list[i]
	o.list = slices.Delete(o.list, i, i+1)
	return removed, true
}

var (
	errUnauthenticated = errors.New("send a token from /oauth/token, issued to the environment's API credentials")
	errNoOrganization  = errors.New("organization not found")
)

// GetOrganization returns an organization by id or by external id.
func (o *organizations) GetOrganization(_ context.Context, req *connect.Request[organizationsv1.GetOrganizationRequest]) (
	*connect.Response[organizationsv1.GetOrganizationResponse], error,
) {
	if !o.tokens.allow(req.Header().Get("Authorization")) {
		return nil, connect.NewError(connect.CodeUnauthenticated, errUnauthenticated)
	}
	for _, org := range o.all() {
		if id := req.Msg.GetId(); id != "" && id == org.ID {
			return connect.NewResponse(o.response(org)), nil
		}
		if id := req.Msg.GetExternalId(); id != "" && id == org.ExternalID {
			return connect.NewResponse(o.response(org)), nil
		}
	}
	return nil, connect.NewError(connect.CodeNotFound, errNoOrganization)
}

// ListOrganization returns pages. The page token is the index of the first organization.
func (o *organizations) ListOrganization(_ context.Context, req *connect.Request[organizationsv1.ListOrganizationsRequest]) (
	*connect.Response[organizationsv1.ListOrganizationsResponse], error,
) {
	if !o.tokens.allow(req.Header().Get("Authorization")) {
		return nil, connect.NewError(connect.CodeUnauthenticated, errUnauthenticated)
	}
	list, start := o.all(), 0
	if token := req.Msg.GetPageToken(); token != "" {
		n, err := strconv.Atoi(token)
		if err != nil || n < 0 || n > len(list) {
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("page_token is not a token from an earlier page"))
		}
		start = n
	}
	size := maxPage
	if asked := req.Msg.GetPageSize(); asked > 0 && asked < maxPage {
		size = int(asked)
	}
	end := min(start+size, len(list))
	page := &organizationsv1.ListOrganizationsResponse{TotalSize: uint32(len(list))} //nolint:gosec // a handful
	for _, org := range list[start:end] {
		page.Organizations = append(page.Organizations, o.message(org))
	}
	if end < len(list) {
		page.NextPageToken = strconv.Itoa(end)
	}
	if start > 0 {
		page.PrevPageToken = strconv.Itoa(max(0, start-size))
	}
	return connect.NewResponse(page), nil
}

// serveREST is GetOrganization over REST.
func (o *organizations) serveREST(w http.ResponseWriter, r *http.Request) {
	if !o.tokens.allow(r.Header.Get("Authorization")) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		refuseAPI(w, http.StatusUnauthorized, connect.CodeUnauthenticated, errUnauthenticated.Error())
		return
	}
	for _, org := range o.all() {
		if org.ID != r.PathValue("id") {
			continue
		}
		body, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(o.response(org))
		if err != nil {
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
		return
	}
	refuseAPI(w, http.StatusNotFound, connect.CodeNotFound, errNoOrganization.Error())
}

func (o *organizations) response(org Organization) *organizationsv1.GetOrganizationResponse {
	return &organizationsv1.GetOrganizationResponse{Organization: o.message(org)}
}

func (o *organizations) message(org Organization) *organizationsv1.Organization {
	m := &organizationsv1.Organization{
		Id:          org.ID,
		DisplayName: org.Name,
		CreateTime:  timestamppb.New(o.created),
		UpdateTime:  timestamppb.New(o.created),
	}
	if org.ExternalID != "" {
		m.ExternalId = &org.ExternalID
	}
	return m
}
