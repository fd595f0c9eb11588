// Package sdktest runs the official go-sdk behind the fasthttp adapter. It is a module of its own, so that the adapter's does
// not depend on the go-sdk.
package sdktest
