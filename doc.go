// Package grantd names the module and holds nothing but the test that guards its import ladder. grantd is a service
// that keeps OAuth grants for other services: an administrator registers a provider, people consent once, services
// fetch fresh access tokens, and whatever is deleted here is revoked upstream. Start reading in cmd/grantd, which
// wires everything, or in broker, where every rule lives; ladder_test.go is the map of which room may use which.
package grantd
