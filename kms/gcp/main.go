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
)

// The exit codes of a program that grantd runs.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitAway   = 75 // grantd asks again
)

// scope is what the token may be used for.
const scope = "https://www.googleapis.com/auth/cloudkms"

// endpointVariable names another server than Google's, such as a private endpoint.
const endpointVariable = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS"

var keyName = regexp.MustCompile(`^projects/[^/?#%]+/locations/[^/?#%]+/keyRings/[^/?#%]+/cryptoKeys/[^/?#%]+$`)

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

// errAway is in the chain of errors that a later try may not meet.
var errAway = errors.New("it may answer later")

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run answers one request.
func run(ctx context.Context, args []string, in io.Reader, out, complaints io.Writer) int {
	if len(args) != 1 || !keyName.MatchString(args[0]) {
		fmt.Fprintln(complaints, "usage: grantd-kms-gcp projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY")
		return exitUsage
	}
	var r request
	if err := json.NewDecoder(in).Decode(&r); err != nil || r.Version != 1 {
		fmt.Fprintln(complaints, "standard input is no request of version 1")
		return exitUsage
	}
	a, err := ask(ctx, args[0], r)
	switch {
	case errors.Is(err, errAway):
		fmt.Fprintln(complaints, err)
		return exitAway
	case err != nil:
		fmt.Fprintln(complaints, err)
		return exitFailed
	}
	if err := json.NewEncoder(out).Encode(a); err != nil {
		fmt.Fprintln(complaints, "the answer could not be written")
		return exitFailed
	}
	return exitOK
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

func ask(ctx context.Context, key string, r request) (answer, error) {
	bound := []byte(r.Context)
	body := sent{AdditionalAuthenticatedData: bound, AdditionalAuthenticatedDataCRC32C: checksum(bound)}
	switch r.Operation {
	case "encrypt":
		body.Plaintext, body.PlaintextCRC32C = r.Plaintext, checksum(r.Plaintext)
		got, err := post(ctx, key+":encrypt", body)
		if err != nil {
			return answer{}, err
		}
		if !got.VerifiedPlaintextCRC32C || got.CiphertextCRC32C != checksum(got.Ciphertext) {
			return answer{}, fmt.Errorf("the data was damaged on its way: %w", errAway)
		}
		return answer{Ciphertext: got.Ciphertext}, nil
	case "decrypt":
		body.Ciphertext, body.CiphertextCRC32C = r.Ciphertext, checksum(r.Ciphertext)
		got, err := post(ctx, key+":decrypt", body)
		if err != nil {
			return answer{}, err
		}
		if got.PlaintextCRC32C != checksum(got.Plaintext) {
			return answer{}, fmt.Errorf("the data was damaged on its way: %w", errAway)
		}
		return answer{Plaintext: got.Plaintext}, nil
	}
	return answer{}, fmt.Errorf("the operation %q is unknown", r.Operation)
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
		return got, fmt.Errorf("%w: %w", err, errAway)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return got, fmt.Errorf("%w: %w", err, errAway)
	}
	readable := json.Unmarshal(raw, &got) == nil
	switch status := response.StatusCode; {
	case status == http.StatusOK && readable:
		return got, nil
	case status == http.StatusOK:
		return received{}, errors.New("Google Cloud KMS did not answer with its JSON")
	case status == http.StatusTooManyRequests || status/100 == 5:
		return received{}, fmt.Errorf("Google Cloud KMS answered %d %s: %s: %w", status, got.Error.Status, got.Error.Message, errAway)
	default:
		return received{}, fmt.Errorf("Google Cloud KMS answered %d %s: %s", status, got.Error.Status, got.Error.Message)
	}
}
