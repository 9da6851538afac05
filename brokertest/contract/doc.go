// Package contract holds grantd to its wire contract, over real HTTP and on both
// backends. It has tests only, and they read as the contract:
//
//	policy_test.go     who may do what
//	requests_test.go   what is common to every request
//	providers_test.go  registering, listing and changing providers
//	flow_test.go       consent, tokens, user info, disconnecting
//	clients_test.go    what known clients send
//	deletion_test.go   deleting a provider, and its job
//	secrets_test.go    what a dump of the database and the log never tell
//	oidc_test.go       against a certified OpenID Connect server
//	browser_test.go    with a person's browser
//
// Every answer is checked against the OpenAPI document besides.
package contract
