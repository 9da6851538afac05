// Package commands are the commands that ask a running grantd over its API: for admins, for people and for programs
// such as git. They know the API as the Go client shows it, and nothing of the server.
//
//	session.go   which grantd is asked, and as whom; contexts.go is where that is kept
//	login.go     login, logout and context; issuer.go signs in at an OpenID Connect issuer
//	output.go    tables, JSON and YAML; plain.go keeps control characters away from the terminal
//	progress.go  how far a job has come, and its estimate
//	exit.go      the exit codes
//	providers.go connections.go jobs.go links.go tokens.go audit.go statistics.go   a file for each thing
//	apply.go     a file of providers
//	token.go     an access token for other tools; git.go is git's credential helper
//
// The structs are parsed by cmd/grantd, which prints their help, too. A Run method takes what cmd/grantd binds: the
// context and the *Session.
package commands
