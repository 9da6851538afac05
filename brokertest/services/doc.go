// Package services gives tests a PostgreSQL and a Redis to throw away.
//
// They are found in this order: GRANTD_TEST_DATABASE_URL and
// GRANTD_TEST_REDIS_URL; programs installed on this machine, started on free
// loopback ports with their data in a temporary folder; containers, where
// docker answers. What is not found is named, and the tests that need it are
// skipped, or fail where GRANTD_TEST_REQUIRE_SERVICES=1.
//
// Most tests want Database or RedisDatabase: a fresh one, on servers that the
// test process shares. Tests of faults want a Server of their own, which they
// can stop, kill, pause and start again. The command with (in the folder of
// that name) starts both servers once for another command, such as
// `go test ./...`.
//
// The servers end with the process that started them, however it ends.
package services
