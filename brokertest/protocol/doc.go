// Package protocol is the way in which refreshes, revocations and consents share one
// authorization, as a table: in which state a process may do what, under which condition of
// the row in the database, and what that changes. The table is written once and used four
// times:
//
//   - docs/architecture.md shows it to people.
//   - protocol.pml is generated from it, and Spin explores every interleaving of two
//     processes that refresh and two that revoke, with a consent, a deletion, a process that
//     is killed and an answer that is lost.
//   - A Log holds what a simulated process did to the table: an event that no row allows, or a
//     row in the database that is not as the table says, is a difference.
//   - Such a log is written as Promela, too, and Spin says the same of it.
//
// What the table leaves out is said in docs/proof.md.
package protocol

//go:generate env GRANTD_WRITE=1 go test -count=1 -run TestTheModelAndThePageAreThoseOfTheTable .
