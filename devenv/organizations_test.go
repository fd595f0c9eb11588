package devenv_test

import (
	"net/http"
	"net/url"
	"reflect"
	"testing"

	"connectrpc.com/connect"
	"github.com/scalekit-inc/scalekit-sdk-go"

	"github.com/scalekit-mcp/mcpauth/devenv"
)

func credentials(env *devenv.Environment) url.Values {
	return url.Values{
		"grant_type": {"client_credentials"}, "client_id": {env.ClientID()}, "client_secret": {env.ClientSecret()},
	}
}

func TestClientCredentials(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{ClientID: "skc_1"})
	got := post(t, env.URL()+"/oauth/token", credentials(env)).json(t, http.StatusOK)
	if got["token_type"] != "Bearer" || got["expires_in"] != float64(300) {
		t.Errorf("token response: %v", got)
	}
	_, claims := verify(t, env, got["access_token"])
	if claims["iss"] != env.URL() || claims["sub"] != "skc_1" || claims["client_id"] != "skc_1" ||
		!reflect.DeepEqual(claims["aud"], []any{"skc_1", env.URL()}) {
		t.Errorf("claims: %v", claims)
	}

	basic := request(t, http.MethodPost, env.URL()+"/oauth/token?grant_type=client_credentials", nil)
	basic.SetBasicAuth(env.ClientID(), env.ClientSecret())
	do(t, basic).wantError(t, http.StatusBadRequest, "unsupported_grant_type") // the query is ignored

	for field, tc := range map[string]struct {
		value, code string
		status      int
	}{
		"client_secret": {"wrong", "invalid_client", http.StatusUnauthorized},
		"client_id":     {"skc_2", "invalid_client", http.StatusUnauthorized},
		"grant_type":    {"authorization_code", "unsupported_grant_type", http.StatusBadRequest},
	} {
		form := credentials(env)
		form.Set(field, tc.value)
		post(t, env.URL()+"/oauth/token", form).wantError(t, tc.status, tc.code)
	}
}

func TestScalekitSDK(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	sdk := scalekit.NewScalekitClient(env.URL(), env.ClientID(), env.ClientSecret())
	got, err := sdk.Organization().GetOrganization(t.Context(), "org_analytical")
	if err != nil {
		t.Fatal(err)
	}
	if org := got.GetOrganization(); org.GetDisplayName() != "Analytical Engines" || org.GetExternalId() != "tenant-1" {
		t.Errorf("organization = %v", org)
	}
	byExternal, err := sdk.Organization().GetOrganizationByExternalId(t.Context(), "tenant-2")
	if err != nil || byExternal.GetOrganization().GetId() != "org_compilers" {
		t.Errorf("by external id: %v, %v", byExternal, err)
	}
	if _, err := sdk.Organization().GetOrganization(t.Context(), "org_unknown"); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("unknown organization: %v", err)
	}
	if err := sdk.Organization().DeleteOrganization(t.Context(), "org_analytical"); connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("deleting: %v", err)
	}

	first, err := sdk.Organization().ListOrganization(t.Context(), &scalekit.ListOrganizationOptions{PageSize: 1})
	if err != nil || len(first.GetOrganizations()) != 1 || first.GetTotalSize() != 2 {
		t.Fatalf("first page: %v, %v", first, err)
	}
	second, err := sdk.Organization().ListOrganization(t.Context(), &scalekit.ListOrganizationOptions{PageToken: first.GetNextPageToken()})
	if err != nil || len(second.GetOrganizations()) != 1 || second.GetOrganizations()[0].GetId() != "org_compilers" || second.GetNextPageToken() != "" {
		t.Errorf("second page: %v, %v", second, err)
	}

	wrong := scalekit.NewScalekitClient(env.URL(), env.ClientID(), "wrong")
	if _, err := wrong.Organization().GetOrganization(t.Context(), "org_analytical"); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("wrong secret: %v", err)
	}
}

func TestSDKAcceptsTheUsersToken(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	sdk := scalekit.NewScalekitClient(env.URL(), env.ClientID(), env.ClientSecret())
	token, _ := register(t, env).tokens("usr_ada", nil)["access_token"].(string)
	if ok, err := sdk.ValidateAccessToken(token); !ok || err != nil {
		t.Errorf("valid = %v, %v", ok, err)
	}
}

func TestOrganizationOverREST(t *testing.T) {
	t.Parallel()
	env := start(t, devenv.Config{})
	token, _ := post(t, env.URL()+"/oauth/token", credentials(env)).json(t, http.StatusOK)["access_token"].(string)
	userToken, _ := register(t, env).tokens("usr_ada", nil)["access_token"].(string)
	fetch := func(id, bearer string) answer {
		req := request(t, http.MethodGet, env.URL()+"/api/v1/organizations/"+id, nil)
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		return do(t, req)
	}
	org, _ := fetch("org_analytical", token).json(t, http.StatusOK)["organization"].(map[string]any)
	if org["id"] != "org_analytical" || org["display_name"] != "Analytical Engines" || org["external_id"] != "tenant-1" {
		t.Errorf("organization = %v", org)
	}
	for name, tc := range map[string]struct {
		id, bearer string
		want       int
	}{
		"unknown":        {"org_x", token, http.StatusNotFound},
		"no token":       {"org_analytical", "", http.StatusUnauthorized},
		"a user's token": {"org_analytical", userToken, http.StatusUnauthorized},
	} {
		if got := fetch(tc.id, tc.bearer).status; got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}
