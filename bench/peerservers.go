package main

import (
	"context"
	"net/http"
	"strings"

	ginjwt "github.com/appleboy/gin-jwt/v3"
	jwtmiddleware "github.com/auth0/go-jwt-middleware/v3"
	"github.com/auth0/go-jwt-middleware/v3/validator"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/gin-gonic/gin"
	fiberjwt "github.com/gofiber/contrib/jwt"
	"github.com/gofiber/fiber/v2"
	"github.com/golang-jwt/jwt/v5"
	echojwt "github.com/labstack/echo-jwt/v4"
	"github.com/labstack/echo/v4"
	"github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/scalekit-mcp/mcpauth/core/mcpauthtest"

	"github.com/scalekit-mcp/mcpauth/bench/internal/fixture"
)

type peerServer struct {
	name   string
	server fixture.Server
}

// newPeerServers returns the other middlewares, by the name of the pair of ours that they are listed with.
func newPeerServers(f *fixture.Fixture) (map[string][]peerServer, error) {
	p, err := newPolicy(f)
	if err != nil {
		return nil, err
	}
	auth0, err := p.auth0Middleware()
	if err != nil {
		return nil, err
	}
	gin, err := p.ginJWT()
	if err != nil {
		return nil, err
	}
	sdk := auth.RequireBearerToken(p.goSDKVerifier(f.Env.URL()+mcpauthtest.KeysPath), nil)
	return map[string][]peerServer{
		"net/http Middleware": {
			{"go-sdk RequireBearerToken + coreos/go-oidc", fixture.NetHTTP(sdk, goSDKSubject)},
			{"auth0/go-jwt-middleware", fixture.NetHTTP(auth0, auth0Subject)},
		},
		"gin Middleware":   {{"appleboy/gin-jwt", fixture.Gin(gin, ginSubject)}},
		"echo Middleware":  {{"labstack/echo-jwt", fixture.Echo(p.echoJWT(), echoSubject)}},
		"fiber Middleware": {{"gofiber/contrib/jwt", fixture.Fiber(p.fiberJWT(), fiberSubject)}},
	}, nil
}

// goSDKVerifier is the go-sdk's hook, with go-oidc in it.
func (p *policy) goSDKVerifier(jwksURL string) auth.TokenVerifier {
	v := oidc.NewVerifier(p.issuer, oidc.NewRemoteKeySet(context.Background(), jwksURL), &oidc.Config{ClientID: p.audience})
	return func(ctx context.Context, token string, _ *http.Request) (*auth.TokenInfo, error) {
		verified, err := v.Verify(ctx, token)
		if err != nil {
			return nil, auth.ErrInvalidToken
		}
		var claims accessClaims
		if err := verified.Claims(&claims); err != nil {
			return nil, auth.ErrInvalidToken
		}
		return &auth.TokenInfo{
			UserID: verified.Subject, Scopes: strings.Fields(claims.Scope), Expiration: verified.Expiry,
			Extra: map[string]any{"organization": claims.OrganizationID},
		}, nil
	}
}

// goSDKSubject takes the subject out of the user's id, which is issuer and subject with us, and the subject with the peer.
func goSDKSubject(r *http.Request) string {
	info := auth.TokenInfoFromContext(r.Context())
	if info == nil {
		return ""
	}
	return info.UserID[strings.LastIndexByte(info.UserID, '\n')+1:]
}

func (p *policy) auth0Middleware() (func(http.Handler) http.Handler, error) {
	v, err := p.auth0Validator()
	if err != nil {
		return nil, err
	}
	m, err := jwtmiddleware.New(jwtmiddleware.WithValidator(v))
	if err != nil {
		return nil, err
	}
	return m.CheckJWT, nil
}

func auth0Subject(r *http.Request) string {
	claims, err := jwtmiddleware.GetClaims[*validator.ValidatedClaims](r.Context())
	if err != nil {
		return ""
	}
	who, err := auth0Identity(claims)
	if err != nil {
		return ""
	}
	return who.subject
}

// echoJWT has its hook for parsing call the parser of the table of verifiers: by itself it checks no issuer and no audience.
func (p *policy) echoJWT() echo.MiddlewareFunc {
	verify := p.golangJWT()
	return echojwt.WithConfig(echojwt.Config{
		ParseTokenFunc: func(_ echo.Context, token string) (any, error) {
			who, err := verify(token)
			return &who, err
		},
	})
}

func echoSubject(c echo.Context) string {
	who, ok := c.Get("user").(*identity)
	if !ok {
		return ""
	}
	return who.subject
}

// fiberJWT has no options for the parser: issuer and audience are checked in its hook for what comes next.
func (p *policy) fiberJWT() fiber.Handler {
	claimsCheck := jwt.NewValidator(p.jwtOptions()...)
	return fiberjwt.New(fiberjwt.Config{
		KeyFunc: func(t *jwt.Token) (any, error) {
			if t.Method != jwt.SigningMethodRS256 {
				return nil, errPolicy
			}
			return p.jwtKey(t)
		},
		Claims: new(jwtClaims),
		SuccessHandler: func(c *fiber.Ctx) error {
			token, _ := c.Locals("user").(*jwt.Token)
			claims, ok := token.Claims.(*jwtClaims)
			if !ok || claimsCheck.Validate(claims) != nil {
				return c.SendStatus(fiber.StatusUnauthorized)
			}
			who := claims.identity(claims.Subject)
			c.Locals("caller", &who)
			return c.Next()
		},
	})
}

func fiberSubject(c *fiber.Ctx) string {
	who, ok := c.Locals("caller").(*identity)
	if !ok {
		return ""
	}
	return who.subject
}

// ginJWT reads claims into a map; the struct is filled from it.
func (p *policy) ginJWT() (gin.HandlerFunc, error) {
	m, err := ginjwt.New(&ginjwt.GinJWTMiddleware{
		KeyFunc: p.jwtKey, ParseOptions: p.jwtOptions(), IdentityKey: "caller", DisabledAbort: false,
		IdentityHandler: func(c *gin.Context) any {
			claims := ginjwt.ExtractClaims(c)
			text := func(name string) string { s, _ := claims[name].(string); return s }
			return &identity{text("sub"), text("oid"), strings.Fields(text("scope"))}
		},
	})
	if err != nil {
		return nil, err
	}
	return m.MiddlewareFunc(), nil
}

func ginSubject(c *gin.Context) string {
	value, _ := c.Get("caller")
	who, ok := value.(*identity)
	if !ok {
		return ""
	}
	return who.subject
}
