// Grantd keeps OAuth connections for others: people consent once, services fetch
// working access tokens, and what is deleted is revoked upstream.
//
// This package reads the configuration, wires the rooms together and runs them:
//
//	main.go      the command line and how it ends; what asks a running grantd is in ../../commands
//	config.go    every setting; redact.go prints them
//	open.go      database and keyset, for every command
//	serve.go     serve, api, worker
//	instance.go  a running grantd, from its parts to its end
//	token.go     keys.go  migrate.go  version.go   the small commands
//	doctor.go  health.go                           what looks after an installation
//	dev.go       demo.go                           the embedded ones;
//	             upstream.go is their authorization server, teller.go their voice
package main
