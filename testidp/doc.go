// Package testidp is a small but real OAuth 2.0 authorization server, for the
// demo, for development and for tests: it keeps clients, people, grants and
// tokens, and it can be told to misbehave the way upstreams do.
//
// It speaks two dialects at once, over the same clients, people and grants:
//
//	standard   /authorize  /token  /revoke  /introspect  /userinfo
//	           /device  /activate
//	           /.well-known/oauth-authorization-server
//	           RFC 6749, 6750, 7009, 7636, 7662, 8414, 8628, 9207; OIDC
//	           userinfo
//	GitHub     /login/oauth/authorize  /login/oauth/access_token
//	           /login/device/code  /login/device
//	           /api/v3/user  /api/v3/user/emails  /api/v3/user/installations
//	           /api/v3/applications/{client_id}/grant   DELETE
//	           /api/v3/applications/{client_id}/token   DELETE, POST, PATCH
//	control    /_control/…  faults, counters, mass production of grants
//
// Refresh tokens are single use in both dialects. Spending one twice kills the
// grant it belongs to (RFC 9700 §4.14.2) and is counted, so a test of a client
// need only look at the counter.
//
// A [Server] is an [http.Handler]; it starts no goroutine and opens no port.
// Everything lives in memory. The control API is open to everybody who can reach the
// port: this is a server for tests, not for people's data.
//
//	server.go     options, routes, life and death
//	clients.go    who may ask: client authentication in each dialect
//	people.go     who may consent
//	ledger.go     the one place that knows grants, codes and tokens
//	authorize.go  the authorization endpoint; consent.go the page it shows
//	device.go     devices without a browser: endpoint and page; devices.go polls
//	token.go      the token endpoint; revoke.go what ends and inspects tokens
//	github.go     GitHub's shapes; applications.go its four endpoints
//	faults.go     misbehaviour; guard.go plays it
//	control.go    the control API; stats.go the counters
package testidp
