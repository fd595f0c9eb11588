package mcpauth

import (
	"errors"
	"sync"
)

// errNoClientCredentials is the error of a shared client without credentials. Only the SDK's client needs them.
var errNoClientCredentials = errors.New("no Scalekit API credentials: set SCALEKIT_CLIENT_ID and SCALEKIT_CLIENT_SECRET, " +
	"from Settings -> API Credentials of the dashboard")

// SharedSDKClient returns a function that builds the Scalekit SDK's client on its first call and returns the same one ever
// after. Without [Config.ClientID] and [Config.ClientSecret] each call returns an error, and nothing is built.
//
// The environment's URL that build gets is [Config.InternalEnvironmentURL] where that is set, because this server reaches the
// environment there.
//
// The client is shared by all requests, and v1.0.5 writes its own token without a lock: protect its calls with a mutex.
//
// The SDK's constructor is handed in, because its major versions can't be in one program together, and the choice is
// yours. For v1:
//
//	client := mcpauth.SharedSDKClient(rs, scalekit.NewScalekitClient)
//
// For v2, whose constructor takes the secret as the first of its options:
//
//	client := mcpauth.SharedSDKClient(rs, func(environmentURL, clientID, clientSecret string) scalekit.Scalekit {
//		return scalekit.NewScalekitClient(environmentURL, clientID, clientSecret)
//	})
//
// It panics when rs or build is nil.
func SharedSDKClient[T any](rs *ResourceServer, build func(environmentURL, clientID, clientSecret string) T) func() (T, error) {
	rs.mustBeSet()
	if build == nil {
		panic("mcpauth: nil function for SharedSDKClient; give the constructor of the Scalekit SDK's client")
	}
	client := sync.OnceValue(func() T { return build(rs.sdkURL, rs.clientID, rs.clientSecret.Reveal()) })
	return func() (T, error) {
		if rs.clientID == "" || rs.clientSecret.Reveal() == "" {
			var none T
			return none, errNoClientCredentials
		}
		return client(), nil
	}
}
