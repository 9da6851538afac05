// Package program is what the programs for GRANTD_KEYSET_KEK=exec:… have in common: how grantd asks them and what they
// answer, as https://github.com/grantd/grantd/blob/main/docs/kms.md describes.
package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// The exit codes of a program that grantd runs.
const (
	ExitOK     = 0
	ExitFailed = 1
	ExitUsage  = 2
	ExitAway   = 75 // grantd asks again
)

// ErrAway is in the chain of errors that a later try may not meet.
var ErrAway = errors.New("it may answer later")

// Program has one key management service encrypt and decrypt.
type Program struct {
	Usage string                // said where the command line is not one key
	IsKey func(key string) bool // whether it could be the name of one
	// Encrypt and Decrypt ask the service once, with the key of that name. The ciphertext is bound to the installation's
	// name. Errors repeat nothing of the data.
	Encrypt, Decrypt func(ctx context.Context, key, installation string, data []byte) ([]byte, error)
}

type request struct {
	Version    int    `json:"version"`
	Operation  string `json:"operation"`
	Context    string `json:"context"`
	Plaintext  []byte `json:"plaintext"`
	Ciphertext []byte `json:"ciphertext"`
}

type answer struct {
	Plaintext  []byte `json:"plaintext,omitempty"`
	Ciphertext []byte `json:"ciphertext,omitempty"`
}

// Run answers the request that in holds, with the key that is the only argument. It returns the exit code.
func (p Program) Run(ctx context.Context, args []string, in io.Reader, out, complaints io.Writer) int {
	if len(args) != 1 || !p.IsKey(args[0]) {
		fmt.Fprintln(complaints, "usage:", p.Usage)
		return ExitUsage
	}
	var r request
	if err := json.NewDecoder(in).Decode(&r); err != nil || r.Version != 1 {
		fmt.Fprintln(complaints, "standard input is no request of version 1")
		return ExitUsage
	}
	a, err := p.answer(ctx, args[0], r)
	if err != nil {
		fmt.Fprintln(complaints, err)
		if errors.Is(err, ErrAway) {
			return ExitAway
		}
		return ExitFailed
	}
	if err := json.NewEncoder(out).Encode(a); err != nil {
		fmt.Fprintln(complaints, "the answer could not be written")
		return ExitFailed
	}
	return ExitOK
}

func (p Program) answer(ctx context.Context, key string, r request) (a answer, err error) {
	switch r.Operation {
	case "encrypt":
		a.Ciphertext, err = p.Encrypt(ctx, key, r.Context, r.Plaintext)
	case "decrypt":
		a.Plaintext, err = p.Decrypt(ctx, key, r.Context, r.Ciphertext)
	default:
		err = fmt.Errorf("the operation %q is unknown", r.Operation)
	}
	return a, err
}
