// Package upgrade tests that databases of an earlier release go on working: every
// token is served, and everything that waits to be revoked is settled. And that an
// earlier release serves side by side with this one: it is built from the commit that
// .ci/upgrade-from names.
//
// testdata holds a database of the last commit before fingerprints, grant keys and
// bindings had a second version (7ea7b1c), for SQLite and PostgreSQL, with the keyset
// that seals it. What is in it is read in fill_test.go.txt, which made it. To make one
// of another commit:
//
//	git worktree add /tmp/earlier COMMIT && cd /tmp/earlier
//	mkdir -p brokertest/upgrade   # fill_test.go.txt goes there, as fill_test.go
//	FILL_INTO=FOLDER go test ./brokertest/upgrade -run TestFill
package upgrade
