// Package secrets seals what must never be read from a stolen database: tokens,
// client secrets, and the private halves of flows under way. It is the only
// place that knows Tink.
//
// Everything is sealed with AES256-GCM and bound to its owner: a row copied to
// another owner does not open there. The keys live in one file. In clear the
// file is the secret, so it must be readable by grantd alone, and must never be
// backed up beside the database; it can be sealed by a key elsewhere (KEK), in a
// key management service, which is asked when the file is read or written.
package secrets
