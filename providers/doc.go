// Package providers speaks to upstream authorization servers. It is the one
// place that knows golang.org/x/oauth2 and the hosts tokens travel to; rules
// about what to do with an answer live in package broker.
//
// A Registry holds the provider types. Each type is data plus the few hooks
// where an upstream leaves the standard flow, in a file of its own, such as
// github.go, and one line of list.go; nothing else names a type. The flow they
// share, one file per step:
//
//	authorize.go   where a browser is sent, and whose answer came back
//	exchange.go    a code or a refresh token becomes Tokens
//	tokens.go      reading a token answer, however odd
//	identify.go    whose tokens these are: id_token and user info
//	check.go       whether a token is good; resetting one in place
//	device.go      consent on another device (RFC 8628)
//	revoke.go      giving them back
//
// Beneath it, call.go sends requests and reads whole answers, transport.go is the
// HTTP underneath, dial.go and allow.go decide who may be dialled, errors.go is
// the one table from an answer to a Kind of failure.
//
// Nothing here retries, waits or remembers tokens. A call to the token endpoint
// lives as long as the context it is given; reads have a short time-out of
// their own.
package providers
