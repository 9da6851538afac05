package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/grantd/grantd/kms/program"
)

const keyARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// fake is AWS KMS as its API reference describes it (https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html and
// API_Decrypt.html), with one symmetric key.
type fake struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	sealed  map[string]blob // what it encrypted, by ciphertext
	refuse  *refusal        // of the next requests
	answers int
}

type blob struct {
	plaintext []byte
	bound     map[string]string
}

type refusal struct {
	status        int
	kind, message string
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t, sealed: map[string]blob{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	t.Setenv("AWS_ENDPOINT_URL_KMS", f.URL)
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hidden")
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers++
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != "POST" || r.URL.Path != "/" || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		f.t.Errorf("%s %s of type %s: %v", r.Method, r.URL.Path, r.Header.Get("Content-Type"), err)
	}
	if a := r.Header.Get("Authorization"); !strings.HasPrefix(a, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") || !strings.Contains(a, "/eu-central-1/kms/aws4_request, SignedHeaders=") {
		f.t.Errorf("it is signed as %s", a)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	refuse := func(status int, kind, message string) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]string{"__type": kind, "message": message})
	}
	if f.refuse != nil {
		refuse(f.refuse.status, f.refuse.kind, f.refuse.message)
		return
	}
	var in struct {
		KeyId             string
		Plaintext         []byte
		CiphertextBlob    []byte
		EncryptionContext map[string]string
	}
	input := json.NewDecoder(bytes.NewReader(body))
	input.DisallowUnknownFields()
	if err := input.Decode(&in); err != nil {
		refuse(400, "SerializationException", err.Error())
		return
	}
	if in.KeyId != keyARN {
		refuse(400, "NotFoundException", "Key '"+in.KeyId+"' does not exist")
		return
	}
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.Encrypt":
		if len(in.Plaintext) == 0 || len(in.Plaintext) > 4096 {
			refuse(400, "ValidationException", "Value at 'plaintext' failed to satisfy constraint")
			return
		}
		sealed := []byte("ciphertext " + string(rune('a'+len(f.sealed))))
		f.sealed[string(sealed)] = blob{in.Plaintext, in.EncryptionContext}
		json.NewEncoder(w).Encode(map[string]any{"CiphertextBlob": sealed, "KeyId": keyARN, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
	case "TrentService.Decrypt":
		b, ok := f.sealed[string(in.CiphertextBlob)]
		if !ok || !maps.Equal(b.bound, in.EncryptionContext) {
			refuse(400, "InvalidCiphertextException", "")
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"Plaintext": b.plaintext, "KeyId": keyARN, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
	default:
		refuse(400, "UnknownOperationException", "")
	}
}

// asked runs the program once.
func asked(t *testing.T, key, input string) (code int, out map[string]string, complaint string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = awsKMS.Run(t.Context(), []string{key}, strings.NewReader(input), &stdout, &stderr)
	if code == program.ExitOK {
		if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
			t.Fatalf("%s: %v", stdout.String(), err)
		}
	} else if stdout.Len() > 0 {
		t.Errorf("it fails and answers %s", stdout.String())
	}
	return code, out, stderr.String()
}

func TestADataKeyIsSealedAndOpenedInItsContextAlone(t *testing.T) {
	f := newFake(t)
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32))
	code, sealed, complaint := asked(t, keyARN, `{"version":1,"operation":"encrypt","context":"production","plaintext":"`+key+`"}`)
	if code != program.ExitOK || sealed["ciphertext"] == "" || sealed["plaintext"] != "" {
		t.Fatalf("exit code %d: %v %s", code, sealed, complaint)
	}
	for _, b := range f.sealed {
		if b.bound["grantd-keyset"] != "production" || len(b.bound) != 1 {
			t.Errorf("it is bound to %v", b.bound)
		}
	}
	decrypt := func(context string) string {
		return `{"version":1,"operation":"decrypt","context":"` + context + `","ciphertext":"` + sealed["ciphertext"] + `"}`
	}
	if code, opened, complaint := asked(t, keyARN, decrypt("production")); code != program.ExitOK || opened["plaintext"] != key {
		t.Errorf("exit code %d: %v %s", code, opened, complaint)
	}
	if code, _, complaint := asked(t, keyARN, decrypt("staging")); code != program.ExitFailed || !strings.Contains(complaint, "InvalidCiphertextException") {
		t.Errorf("another installation: exit code %d: %s", code, complaint)
	}
	if code, _, complaint := asked(t, "alias/none", decrypt("production")); code != program.ExitFailed || !strings.Contains(complaint, "NotFoundException") {
		t.Errorf("another key: exit code %d: %s", code, complaint)
	}
}

// What may pass ends with the code on which grantd asks again.
func TestWhatMayPassIsTriedAgain(t *testing.T) {
	f := newFake(t)
	request := `{"version":1,"operation":"encrypt","context":"production","plaintext":"a2V5"}`
	for _, c := range []struct {
		refusal
		code int
	}{
		{refusal{400, "AccessDeniedException", "User is not authorized to perform: kms:Encrypt"}, program.ExitFailed},
		{refusal{400, "DisabledException", "the key is disabled"}, program.ExitFailed},
		{refusal{500, "KMSInternalException", ""}, program.ExitAway},
		{refusal{400, "ThrottlingException", "Rate exceeded"}, program.ExitAway},
	} {
		f.refuse = &c.refusal
		f.answers = 0
		if code, _, complaint := asked(t, keyARN, request); code != c.code || !strings.Contains(complaint, c.kind) || strings.Contains(complaint, "a2V5") || f.answers > 2 {
			t.Errorf("%s: exit code %d after %d requests: %s", c.kind, code, f.answers, complaint)
		}
	}
	f.Close()
	if code, _, complaint := asked(t, keyARN, request); code != program.ExitAway {
		t.Errorf("nobody answers: exit code %d: %s", code, complaint)
	}
	if code, _, complaint := asked(t, "", request); code != program.ExitUsage || !strings.Contains(complaint, "usage:") {
		t.Errorf("exit code %d: %s", code, complaint)
	}
}
