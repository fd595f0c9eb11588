package mcpauth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	mcpauth "github.com/scalekit-mcp/mcpauth/core"
	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"
)

// Serve runs the handler for a request with a valid token, and answers any other by itself. The adapters call it for their
// routers.
func ExampleResourceServer_Serve() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	post := func(header http.Header) {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, rs.Path(), nil)
		r.Header = header
		rs.Serve(w, r, func(_ http.ResponseWriter, r *http.Request) {
			session, err := mcpauth.SessionFromContext(r.Context())
			fmt.Println("hello", session.UserID(), err)
		})
		fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	}

	post(http.Header{})
	post(http.Header{"Authorization": {"Bearer " + env.Token(map[string]any{"sub": "usr_ada"})}})
	// Output:
	// 401 Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
	// hello usr_ada <nil>
	// 200
}

// EndWithToken makes the response to a POST a stream, which ends with its token, as that to a GET does.
func ExampleEndWithToken() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	cfg := env.Config("https://mcp.example.com")
	cfg.ClockSkew = time.Millisecond
	rs, err := mcpauth.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	soon := float64(time.Now().Add(300*time.Millisecond).UnixMilli()) / 1000
	session := mcpauthtest.NewSession(map[string]any{"exp": soon}) // in production: the request's own
	r := httptest.NewRequest(http.MethodPost, rs.Path(), nil)
	r = r.WithContext(mcpauth.NewContext(r.Context(), session))
	rs.Serve(httptest.NewRecorder(), r, func(_ http.ResponseWriter, r *http.Request) {
		mcpauth.EndWithToken(r.Context())
		<-r.Context().Done()
		fmt.Println(context.Cause(r.Context()))
	})
	// Output: mcpauth: the access token of this stream has expired
}

// Authenticate returns a decision and writes nothing. It is for routers that are not built on net/http.
func ExampleResourceServer_Authenticate() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, header := range []http.Header{{}, {"Authorization": {"Bearer " + env.Token(nil)}}} {
		decision := rs.Authenticate(context.Background(), mcpauth.Request{Method: http.MethodPost, Path: rs.Path(), Header: header.Values})
		if decision.Reply != nil { // write it, and stop
			fmt.Println(decision.Outcome, decision.Reply.Status)
			continue
		}
		ctx, end := decision.NewContext(context.Background()) // hand ctx to the handler
		session, err := mcpauth.SessionFromContext(ctx)
		fmt.Println(decision.Outcome, session.UserID(), err)
		_ = end.Close() // when the response is finished
	}
	// Output:
	// no_credentials 401
	// allowed usr_1 <nil>
}

// A Decision writes its own reply, or sets the headers of an allowed response, where the router has an http.ResponseWriter.
// Serve does all of it in one call.
func ExampleDecision() {
	env := mcpauthtest.NewEnvironment() // in production: mcpauth.ConfigFromEnv
	defer env.Close()
	rs, err := mcpauth.New(env.Config("https://mcp.example.com"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, origin := range []string{"https://mcp.example.com", "https://evil.example"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, rs.Path(), nil)
		r.Header.Set("Authorization", "Bearer "+env.Token(nil))
		r.Header.Set("Origin", origin)
		decision := rs.Authenticate(r.Context(), mcpauth.Request{Method: r.Method, Path: r.URL.Path, Header: r.Header.Values})
		if decision.Reply != nil {
			decision.WriteReply(w, r)
		} else {
			decision.SetHeader(w.Header())
			cors := decision.CORS(w.Header())
			w.Header().Add("Access-Control-Allow-Origin", "*") // as a handler of yours might
			cors.Set(w.Header())                               // at the moment when the headers are sent
		}
		fmt.Printf("%d %q\n", w.Code, w.Header()["Access-Control-Allow-Origin"])
	}
	// Output:
	// 200 ["https://mcp.example.com"]
	// 403 []
}
