// Package models is the vocabulary of grantd: the things it keeps, the states
// they pass through, and the errors it answers with. It imports the standard
// library alone, so every other package may use it.
//
// JSON tags are the shapes of the OAuth Providers API, gorm tags the columns.
// A secret is never a field of a type that is encoded: client secrets live in
// SecureConfig rows, tokens in Credential rows, both sealed; in memory they
// travel as Secret, which prints and encodes as "[redacted]".
package models
