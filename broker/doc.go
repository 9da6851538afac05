// Package broker is grantd's one domain service: every rule lives here, one file
// per journey. The edges (HTTP, the worker) decode and encode; the rooms below
// (store, providers, jobs, secrets) do what they are told. Plaintext tokens exist
// only here and in what providers sends.
//
//	authorize ──► person consents upstream ──► complete ──► authorization
//	   flow: open ──► claimed ──► exchanged ──► done            │
//	device ──► person consents elsewhere ──► poll ─────────────►│
//	                                                            ▼
//	token ◄── fresh? ── refresh (flight, lease, call, fenced save)
//	                                                            │
//	disconnect ──► unlinked ──┐                                 │
//	delete provider ──► job ──┴──► revoke (slices of items) ◄───┘
//
// Three things protect the tokens. The generation of a credential fences every
// save, however late it comes (R1). A lease on the row decides who calls the
// upstream, across replicas (R2). A call that may spend something runs detached
// from its caller, and what it brought is saved before it is judged
// (R6, R10).
package broker
