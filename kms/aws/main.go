// Command aws has AWS KMS seal and open grantd's keyset: it is a program for GRANTD_KEYSET_KEK=exec:…, as
// https://github.com/grantd/grantd/blob/main/docs/kms.md describes.
//
//	GRANTD_KEYSET_KEK="exec:/usr/local/bin/grantd-kms-aws arn:aws:kms:eu-central-1:111122223333:key/…"
//
// Region and credentials are found as by every program that uses the AWS SDK.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
)

// The exit codes of a program that grantd runs.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitAway   = 75 // grantd asks again
)

// contextKey is the name of the pair in the encryption context, for conditions of policies:
// kms:EncryptionContext:grantd-keyset.
const contextKey = "grantd-keyset"

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

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run answers one request.
func run(ctx context.Context, args []string, in io.Reader, out, complaints io.Writer) int {
	if len(args) != 1 {
		fmt.Fprintln(complaints, "usage: grantd-kms-aws KEY, where KEY is the id, ARN or alias of a symmetric key of AWS KMS")
		return exitUsage
	}
	var r request
	if err := json.NewDecoder(in).Decode(&r); err != nil || r.Version != 1 {
		fmt.Fprintln(complaints, "standard input is no request of version 1")
		return exitUsage
	}
	a, err := ask(ctx, args[0], r)
	if err != nil {
		fmt.Fprintln(complaints, err)
		if temporary(err) {
			return exitAway
		}
		return exitFailed
	}
	if err := json.NewEncoder(out).Encode(a); err != nil {
		fmt.Fprintln(complaints, "the answer could not be written")
		return exitFailed
	}
	return exitOK
}

func ask(ctx context.Context, key string, r request) (answer, error) {
	// grantd tries again by itself, and gives a program ten seconds.
	settings, err := config.LoadDefaultConfig(ctx, config.WithRetryMaxAttempts(2))
	if err != nil {
		return answer{}, fmt.Errorf("reading the configuration of the AWS SDK: %w", err)
	}
	client := kms.NewFromConfig(settings)
	bound := map[string]string{contextKey: r.Context}
	switch r.Operation {
	case "encrypt":
		sealed, err := client.Encrypt(ctx, &kms.EncryptInput{KeyId: &key, Plaintext: r.Plaintext, EncryptionContext: bound})
		if err != nil {
			return answer{}, err
		}
		return answer{Ciphertext: sealed.CiphertextBlob}, nil
	case "decrypt":
		// With the key named, a ciphertext of somebody else's key is refused.
		opened, err := client.Decrypt(ctx, &kms.DecryptInput{KeyId: &key, CiphertextBlob: r.Ciphertext, EncryptionContext: bound})
		if err != nil {
			return answer{}, err
		}
		return answer{Plaintext: opened.Plaintext}, nil
	}
	return answer{}, fmt.Errorf("the operation %q is unknown", r.Operation)
}

// temporary reports whether a later try may succeed: AWS could not be reached, is throttling, or failed by itself.
func temporary(err error) bool {
	var unavailable *types.DependencyTimeoutException
	var internal *types.KMSInternalException
	var unusable *types.KeyUnavailableException
	if errors.As(err, &unavailable) || errors.As(err, &internal) || errors.As(err, &unusable) {
		return true
	}
	var said smithy.APIError
	if errors.As(err, &said) {
		return said.ErrorFault() == smithy.FaultServer || said.ErrorCode() == "ThrottlingException"
	}
	var unsent *aws.RequestCanceledError
	var unreached *smithy.OperationError
	return errors.As(err, &unreached) && !errors.As(err, &unsent)
}
