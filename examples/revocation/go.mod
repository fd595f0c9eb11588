module github.com/scalekit-mcp/mcpauth/examples/revocation

go 1.25.0

require (
	github.com/redis/go-redis/v9 v9.22.0
	github.com/scalekit-mcp/mcpauth/core v0.1.0
	github.com/scalekit-mcp/mcpauth/devenv v0.1.0
	github.com/scalekit-mcp/mcpauth/examples v0.1.0
	github.com/scalekit-mcp/mcpauth/gosdk v0.1.0
	github.com/scalekit-mcp/mcpauth/nethttp v0.1.0
	github.com/scalekit-mcp/mcpauth/revocation v0.1.0
	github.com/scalekit-mcp/mcpauth/revocation/redis v0.1.0
)

require (
	buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go v1.34.2-20240717164558-a6c49f84cc0f.2 // indirect
	connectrpc.com/connect v1.16.2 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/decred/dcrd/dcrec/secp256k1/v4 v4.4.1 // indirect
	github.com/go-jose/go-jose/v4 v4.1.4 // indirect
	github.com/goccy/go-json v0.10.6 // indirect
	github.com/google/jsonschema-go v0.4.3 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.23.0 // indirect
	github.com/lestrrat-go/blackmagic v1.0.4 // indirect
	github.com/lestrrat-go/httpcc v1.0.1 // indirect
	github.com/lestrrat-go/httprc v1.0.6 // indirect
	github.com/lestrrat-go/iter v1.0.2 // indirect
	github.com/lestrrat-go/jwx/v2 v2.1.7 // indirect
	github.com/lestrrat-go/option v1.0.1 // indirect
	github.com/luikyv/go-oidc v0.25.0 // indirect
	github.com/modelcontextprotocol/go-sdk v1.8.0 // indirect
	github.com/scalekit-inc/scalekit-sdk-go v1.0.5 // indirect
	github.com/segmentio/asm v1.2.1 // indirect
	github.com/segmentio/encoding v0.5.4 // indirect
	github.com/yosida95/uritemplate/v3 v3.0.2 // indirect
	go.uber.org/atomic v1.11.0 // indirect
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/net v0.58.0 // indirect
	golang.org/x/oauth2 v0.35.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/time v0.15.0 // indirect
	google.golang.org/genproto/googleapis/api v0.0.0-20241021214115-324edc3d5d38 // indirect
	google.golang.org/protobuf v1.35.2 // indirect
)

replace (
	github.com/scalekit-mcp/mcpauth/core => ../../core
	github.com/scalekit-mcp/mcpauth/devenv => ../../devenv
	github.com/scalekit-mcp/mcpauth/echo => ../../echo
	github.com/scalekit-mcp/mcpauth/echov5 => ../../echov5
	github.com/scalekit-mcp/mcpauth/examples => ..
	github.com/scalekit-mcp/mcpauth/fasthttp => ../../fasthttp
	github.com/scalekit-mcp/mcpauth/fiber => ../../fiber
	github.com/scalekit-mcp/mcpauth/fiberv3 => ../../fiberv3
	github.com/scalekit-mcp/mcpauth/gin => ../../gin
	github.com/scalekit-mcp/mcpauth/gosdk => ../../gosdk
	github.com/scalekit-mcp/mcpauth/nethttp => ../../nethttp
	github.com/scalekit-mcp/mcpauth/revocation => ../../revocation
	github.com/scalekit-mcp/mcpauth/revocation/redis => ../../revocation/redis
)
