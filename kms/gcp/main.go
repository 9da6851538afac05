// Command gcp has Google Cloud KMS seal and open grantd's keyset: it is a program for GRANTD_KEYSET_KEK=exec:…, as
// https://github.com/grantd/grantd/blob/main/docs/kms.md describes.
//
//	GRANTD_KEYSET_KEK="exec:/usr/local/bin/grantd-kms-gcp projects/p/locations/europe-west1/keyRings/grantd/cryptoKeys/keyset"
//
// Credentials are found as by every program that uses Application Default Credentials. It speaks the REST API
// (https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys/encrypt), because the client
// library brings gRPC along for two requests.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/grantd/grantd/kms/program"
)

// scope is what the token may be used for.
const scope = "https://www.googleapis.com/auth/cloudkms"

// endpointVariable names another server than Google's, such as a private endpoint.
const endpointVariable = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS"

var keyName = regexp.MustCompile(`^projects/[^/?#%]+/locations/[^/?#%]+/keyRings/[^/?#%]+/cryptoKeys/[^/?#%]+$`)

var googleKMS = program.Program{
	Usage:   "grantd-kms-gcp projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY",
	IsKey:   keyName.MatchString,
	Encrypt: encrypt,
	Decrypt: decrypt,
}

func main() {
	os.Exit(googleKMS.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// sent and received are the bodies of both calls. Checksums are CRC32C, as decimal text: int64 in Google's JSON.
type sent struct {
	Plaintext                         []byte `json:"plaintext,omitempty"`
	PlaintextCRC32C                   string `json:"plaintextCrc32c,omitempty"`
	Ciphertext                        []byte `json:"ciphertext,omitempty"`
	CiphertextCRC32C                  string `json:"ciphertextCrc32c,omitempty"`
	AdditionalAuthenticatedData       []byte `json:"additionalAuthenticatedData"`
	AdditionalAuthenticatedDataCRC32C string `json:"additionalAuthenticatedDataCrc32c"`
}

type received struct {
	Plaintext               []byte `json:"plaintext"`
	PlaintextCRC32C         string `json:"plaintextCrc32c"`
	Ciphertext              []byte `json:"ciphertext"`
	CiphertextCRC32C        string `json:"ciphertextCrc32c"`
	VerifiedPlaintextCRC32C bool   `json:"verifiedPlaintextCrc32c"`
	Error                   struct {
		Status  string `json:"status"`
		Message string `json:"message"`
	} `json:"error"`
}

// errDamaged says that a checksum is not that of the data.
var errDamaged = fmt.Errorf("the data was damaged on its way: %w", program.ErrAway)

func encrypt(ctx context.Context, key, installation string, plaintext []byte) ([]byte, error) {
	body := boundTo(installation)
	body.Plaintext, body.PlaintextCRC32C = plaintext, checksum(plaintext)
	got, err := post(ctx, key+":encrypt", body)
	if err != nil {
		return nil, err
	}
	if !got.VerifiedPlaintextCRC32C || got.CiphertextCRC32C != checksum(got.Ciphertext) {
		return nil, errDamaged
	}
	return got.Ciphertext, nil
}

func decrypt(ctx context.Context, key, installation string, ciphertext []byte) ([]byte, error) {
	body := boundTo(installation)
	body.Ciphertext, body.CiphertextCRC32C = ciphertext, checksum(ciphertext)
	got, err := post(ctx, key+":decrypt", body)
	if err != nil {
		return nil, err
	}
	if got.PlaintextCRC32C != checksum(got.Plaintext) {
		return nil, errDamaged
	}
	return got.Plaintext, nil
}

func boundTo(installation string) sent {
	data := []byte(installation)
	return sent{AdditionalAuthenticatedData: data, AdditionalAuthenticatedDataCRC32C: checksum(data)}
}

func checksum(data []byte) string {
	return strconv.FormatUint(uint64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))), 10)
}

func post(ctx context.Context, method string, body sent) (received, error) {
	var got received
	ctx, cancel := context.WithTimeout(ctx, 9*time.Second) // grantd gives a program ten seconds
	defer cancel()
	tokens, err := google.DefaultTokenSource(ctx, scope)
	if err != nil {
		return got, fmt.Errorf("finding Application Default Credentials: %w", err)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return got, err
	}
	endpoint := os.Getenv(endpointVariable)
	if endpoint == "" {
		endpoint = "https://cloudkms.googleapis.com/"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"v1/"+method, bytes.NewReader(text))
	if err != nil {
		return got, err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := oauth2.NewClient(ctx, tokens).Do(r)
	if err != nil {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) && refused.Response.StatusCode/100 == 4 { // its text repeats what the token endpoint said
			return got, fmt.Errorf("the credentials are not accepted (%d %s)", refused.Response.StatusCode, refused.ErrorCode)
		}
		return got, fmt.Errorf("%w: %w", err, program.ErrAway)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return got, fmt.Errorf("%w: %w", err, program.ErrAway)
	}
	readable := json.Unmarshal(raw, &got) == nil
	switch status := response.StatusCode; {
	case status == http.StatusOK && readable:
		return got, nil
	case status == http.StatusOK:
		return received{}, errors.New("Google Cloud KMS did not answer with its JSON")
	case status == http.StatusTooManyRequests || status/100 == 5:
		return received{}, fmt.Errorf("Google Cloud KMS answered %d %s: %s: %w", status, got.Error.Status, got.Error.Message, program.ErrAway)
	default:
		return received{}, fmt.Errorf("Google Cloud KMS answered %d %s: %s", status, got.Error.Status, got.Error.Message)
	}
}
