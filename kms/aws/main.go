// Command aws has AWS KMS seal and open grantd's keyset: it is a program for GRANTD_KEYSET_KEK=exec:…, as
// https://github.com/grantd/grantd/blob/main/docs/kms.md describes.
//
//	GRANTD_KEYSET_KEK="exec:/usr/local/bin/grantd-kms-aws arn:aws:kms:eu-central-1:111122223333:key/…"
//
// Region and credentials are found as by every program that uses the AWS SDK.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/grantd/grantd/kms/program"
)

// contextKey is the name of the pair in the encryption context, for conditions of policies:
// kms:EncryptionContext:grantd-keyset.
const contextKey = "grantd-keyset"

var awsKMS = program.Program{
	Usage:   "grantd-kms-aws KEY, where KEY is the id, ARN or alias of a symmetric key of AWS KMS",
	IsKey:   func(key string) bool { return key != "" },
	Encrypt: encrypt,
	Decrypt: decrypt,
}

func main() {
	os.Exit(awsKMS.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func encrypt(ctx context.Context, key, installation string, plaintext []byte) ([]byte, error) {
	client, err := newClient(ctx)
	if err != nil {
		return nil, err
	}
	sealed, err := client.Encrypt(ctx, &kms.EncryptInput{KeyId: &key, Plaintext: plaintext, EncryptionContext: bound(installation)})
	if err != nil {
		return nil, judged(err)
	}
	return sealed.CiphertextBlob, nil
}

func decrypt(ctx context.Context, key, installation string, ciphertext []byte) ([]byte, error) {
	client, err := newClient(ctx)
	if err != nil {
		return nil, err
	}
	// With the key named, a ciphertext of somebody else's key is refused.
	opened, err := client.Decrypt(ctx, &kms.DecryptInput{KeyId: &key, CiphertextBlob: ciphertext, EncryptionContext: bound(installation)})
	if err != nil {
		return nil, judged(err)
	}
	return opened.Plaintext, nil
}

func newClient(ctx context.Context) (*kms.Client, error) {
	// grantd tries again by itself, and gives a program ten seconds.
	settings, err := config.LoadDefaultConfig(ctx, config.WithRetryMaxAttempts(2))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of the AWS SDK: %w", err)
	}
	return kms.NewFromConfig(settings), nil
}

func bound(installation string) map[string]string {
	return map[string]string{contextKey: installation}
}

// judged returns the SDK's error, as one that grantd asks again on where a later try may succeed.
func judged(err error) error {
	if temporary(err) {
		return fmt.Errorf("%w: %w", err, program.ErrAway)
	}
	return err
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
