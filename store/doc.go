// Package store keeps what grantd knows in SQL: PostgreSQL, or one SQLite file.
// It is the only place that knows gorm and the two dialects. Queries are named
// as the questions they answer; the rules that ask them live in package broker.
//
// Whatever may be raced for is a conditional write: an UPDATE whose WHERE states
// what must still be true, and whose number of rows says whether it was. Leases,
// due times and expiries are compared inside SQL with the database's own clock
// (R4), so that replicas whose clocks disagree still agree with each other.
//
// Errors are the domain's: not found and duplicate by the thing's name, unavailable where
// the database is. What the database says about a statement is a fault of ours, and stays
// as it is; errors.go has which is which.
package store
