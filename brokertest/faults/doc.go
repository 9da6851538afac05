// Command faults breaks things around grantd and reports what was lost:
//
//	go run ./brokertest/services/with go run ./brokertest/faults
//
// It builds grantd, runs it on real PostgreSQL and Redis, and prints a table
// with a row for each fault. It fails when a row lost something, spent a refresh
// token twice, or did not end as it should. The tests of this package run the
// same rows, smaller.
//
//	main.go       flags, and one row after the other
//	row.go        what a row is, and all of them; scene.go what it plays on
//	report.go     the table
//	site.go       grantd processes on a database; seed.go authorizations in thousands
//	judge.go      what counts as lost and as spent twice
//	deletions.go  workers, Redis and the database during a deletion
//	upstream.go   what an upstream may do
//	refreshes.go  replicas that die, freeze or differ during a refresh
//	grants.go     consents that cross a revocation
//	load.go       callers who keep asking, while PostgreSQL is restarted
//	keys.go       keysets; disk.go a full disk; proxy.go the way to SQL, cut
package main
