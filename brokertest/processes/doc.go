// Package processes runs real grantd processes against real PostgreSQL and Redis,
// with the test authorization server as their upstream. Its tests are about what
// one process cannot show: several at once, killed, stopped, or without Redis.
// The benchmark uses it too.
//
//	grantd.go    the binary, the settings its processes share, commands that end
//	process.go   one process that runs, and its end
//	upstream.go  the authorization server, and consents in large numbers
package processes
