module github.com/scalekit-mcp/mcpauth/examples

go 1.25.0

require (
	github.com/gin-gonic/gin v1.9.1
	github.com/go-chi/chi/v5 v5.2.3
	github.com/gofiber/fiber/v2 v2.52.15
	github.com/gofiber/fiber/v3 v3.1.0
	github.com/gorilla/mux v1.8.1
	github.com/labstack/echo/v4 v4.16.0
	github.com/labstack/echo/v5 v5.4.4
	github.com/modelcontextprotocol/go-sdk v1.8.0
	github.com/scalekit-inc/scalekit-sdk-go v1.0.5
	github.com/scalekit-mcp/mcpauth/core v0.1.0
	github.com/scalekit-mcp/mcpauth/devenv v0.1.0
	github.com/scalekit-mcp/mcpauth/echo v0.1.0
	github.com/scalekit-mcp/mcpauth/echov5 v0.1.0
	github.com/scalekit-mcp/mcpauth/fasthttp v0.1.0
	github.com/scalekit-mcp/mcpauth/fiber v0.1.0
	github.com/scalekit-mcp/mcpauth/fiberv3 v0.1.0
	github.com/scalekit-mcp/mcpauth/gin v0.1.0
	github.com/scalekit-mcp/mcpauth/gosdk v0.1.0
	github.com/scalekit-mcp/mcpauth/nethttp v0.1.0
	github.com/scalekit-mcp/mcpauth/revocation v0.1.0
	github.com/valyala/fasthttp v1.74.0
	golang.org/x/net v0.58.0
	golang.org/x/oauth2 v0.35.0
	gopkg.in/yaml.v3 v3.0.1
)

require (
	buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go v1.34.2-20240717164558-a6c49f84cc0f.2 // indirect
	connectrpc.com/connect v1.16.2 // indirect
	github.com/bytedance/sonic v1.9.1 // indirect
	github.com/chenzhuoyu/base64x v0.0.0-20221115062448-fe3a3abad311 // indirect
	github.com/decred/dcrd/dcrec/secp256k1/v4 v4.4.1 // indirect
	github.com/gabriel-vasile/mimetype v1.4.2 // indirect
	github.com/gin-contrib/sse v0.1.0 // indirect
	github.com/go-jose/go-jose/v4 v4.1.4 // indirect
	github.com/go-playground/locales v0.14.1 // indirect
	github.com/go-playground/universal-translator v0.18.1 // indirect
	github.com/go-playground/validator/v10 v10.14.0 // indirect
	github.com/goccy/go-json v0.10.6 // indirect
	github.com/gofiber/schema v1.7.0 // indirect
	github.com/gofiber/utils/v2 v2.0.2 // indirect
	github.com/google/jsonschema-go v0.4.3 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.23.0 // indirect
	github.com/json-iterator/go v1.1.12 // indirect
	github.com/klauspost/compress v1.20.0 // indirect
	github.com/klauspost/cpuid/v2 v2.2.4 // indirect
	github.com/labstack/gommon v0.5.0 // indirect
	github.com/leodido/go-urn v1.2.4 // indirect
	github.com/lestrrat-go/blackmagic v1.0.4 // indirect
	github.com/lestrrat-go/httpcc v1.0.1 // indirect
	github.com/lestrrat-go/httprc v1.0.6 // indirect
	github.com/lestrrat-go/iter v1.0.2 // indirect
	github.com/lestrrat-go/jwx/v2 v2.1.7 // indirect
	github.com/lestrrat-go/option v1.0.1 // indirect
	github.com/luikyv/go-oidc v0.25.0 // indirect
	github.com/mattn/go-colorable v0.1.15 // indirect
	github.com/mattn/go-isatty v0.0.22 // indirect
	github.com/mattn/go-runewidth v0.0.16 // indirect
	github.com/modern-go/concurrent v0.0.0-20180306012644-bacd9c7ef1dd // indirect
	github.com/modern-go/reflect2 v1.0.2 // indirect
	github.com/molecule-man/go-brrr v1.0.1 // indirect
	github.com/pelletier/go-toml/v2 v2.0.8 // indirect
	github.com/philhofer/fwd v1.2.0 // indirect
	github.com/rivo/uniseg v0.2.0 // indirect
	github.com/segmentio/asm v1.2.1 // indirect
	github.com/segmentio/encoding v0.5.4 // indirect
	github.com/tinylib/msgp v1.6.3 // indirect
	github.com/twitchyliquid64/golang-asm v0.15.1 // indirect
	github.com/ugorji/go/codec v1.2.11 // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
	github.com/valyala/fasttemplate v1.2.2 // indirect
	github.com/yosida95/uritemplate/v3 v3.0.2 // indirect
	golang.org/x/arch v0.3.0 // indirect
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.41.0 // indirect
	golang.org/x/time v0.15.0 // indirect
	google.golang.org/genproto/googleapis/api v0.0.0-20241021214115-324edc3d5d38 // indirect
	google.golang.org/protobuf v1.35.2 // indirect
)

replace (
	github.com/scalekit-mcp/mcpauth/core => ../core
	github.com/scalekit-mcp/mcpauth/devenv => ../devenv
	github.com/scalekit-mcp/mcpauth/gosdk => ../gosdk
	github.com/scalekit-mcp/mcpauth/nethttp => ../nethttp
)

replace github.com/scalekit-mcp/mcpauth/gin => ../gin

replace github.com/scalekit-mcp/mcpauth/echo => ../echo

replace github.com/scalekit-mcp/mcpauth/echov5 => ../echov5

replace github.com/scalekit-mcp/mcpauth/fasthttp => ../fasthttp

replace github.com/scalekit-mcp/mcpauth/fiber => ../fiber

replace github.com/scalekit-mcp/mcpauth/fiberv3 => ../fiberv3

replace github.com/scalekit-mcp/mcpauth/revocation => ../revocation
