// Package protocol is the way in which refreshes, revocations and consents share one
// authorization, as a table: in which state a process may do what, under which condition of
// the row in the database, and what that changes. The table is written once and used twice:
//
//   - docs/architecture.md shows it to people.
//   - protocol.pml is generated from it, and Spin explores every interleaving of two
//     processes that refresh and two that revoke, with a consent, a deletion, a process that
//     is killed and an answer that is lost.
//
// What the table leaves out is said in docs/proof.md.
package protocol

//go:generate env GRANTD_WRITE=1 go test -count=1 -run TestTheModelAndThePageAreThoseOfTheTable .
