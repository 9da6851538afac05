package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/grantd/grantd/kms/program"
)

const keyPath = "projects/p/locations/europe-west1/keyRings/grantd/cryptoKeys/keyset"

// fake is Google's token endpoint, and Cloud KMS as its REST reference describes it
// (https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys), with one symmetric key.
type fake struct {
	*httptest.Server
	t   *testing.T
	key *rsa.PrivateKey // of the service account

	mu      sync.Mutex
	sealed  map[string]blob
	refuse  map[string]any // instead of the next answers
	status  int
	damaged bool // the checksums of answers are wrong
}

type blob struct{ plaintext, bound string }

func newFake(t *testing.T) *fake {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, key: key, sealed: map[string]blob{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "grantd@p.iam.gserviceaccount.com", "private_key_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": f.URL + "/token"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(file, credentials, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	t.Setenv(endpointVariable, f.URL+"/")
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/token" {
		f.token(w, r)
		return
	}
	say := func(status int, v any) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
	refuse := func(status int, code, message string) {
		say(status, map[string]any{"error": map[string]any{"code": status, "status": code, "message": message}})
	}
	if r.Header.Get("Authorization") != "Bearer access" || r.Method != "POST" {
		refuse(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
		return
	}
	if f.status != 0 {
		say(f.status, f.refuse)
		return
	}
	name, operation, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), ":")
	if name != keyPath {
		refuse(404, "NOT_FOUND", "CryptoKey "+name+" not found.")
		return
	}
	var in struct {
		Plaintext, Ciphertext, AdditionalAuthenticatedData                   []byte
		PlaintextCrc32c, CiphertextCrc32c, AdditionalAuthenticatedDataCrc32c string
	}
	input := json.NewDecoder(r.Body)
	input.DisallowUnknownFields()
	if err := input.Decode(&in); err != nil || in.AdditionalAuthenticatedDataCrc32c != checksum(in.AdditionalAuthenticatedData) {
		refuse(400, "INVALID_ARGUMENT", "the request cannot be read, or the checksum is wrong")
		return
	}
	sum := func(data []byte) string {
		if f.damaged {
			return "1"
		}
		return checksum(data)
	}
	switch operation {
	case "encrypt":
		if in.PlaintextCrc32c != checksum(in.Plaintext) {
			refuse(400, "INVALID_ARGUMENT", "the checksum of the plaintext is wrong")
			return
		}
		sealed := "ciphertext " + string(rune('a'+len(f.sealed)))
		f.sealed[sealed] = blob{string(in.Plaintext), string(in.AdditionalAuthenticatedData)}
		say(200, map[string]any{"name": keyPath + "/cryptoKeyVersions/1", "ciphertext": []byte(sealed), "ciphertextCrc32c": sum([]byte(sealed)),
			"verifiedPlaintextCrc32c": true, "verifiedAdditionalAuthenticatedDataCrc32c": true, "protectionLevel": "SOFTWARE"})
	case "decrypt":
		b, ok := f.sealed[string(in.Ciphertext)]
		if !ok || b.bound != string(in.AdditionalAuthenticatedData) || in.CiphertextCrc32c != checksum(in.Ciphertext) {
			refuse(400, "INVALID_ARGUMENT", "Decryption failed: verify that 'name' refers to the correct CryptoKey.")
			return
		}
		say(200, map[string]any{"plaintext": []byte(b.plaintext), "plaintextCrc32c": sum([]byte(b.plaintext)), "usedPrimary": true})
	default:
		refuse(404, "NOT_FOUND", "Method not found.")
	}
}

// token answers RFC 7523.
func (f *fake) token(w http.ResponseWriter, r *http.Request) {
	head, signature, _ := cutLast(r.FormValue("assertion"))
	_, claims, _ := strings.Cut(head, ".")
	raw, err := base64.RawURLEncoding.DecodeString(claims)
	signed, err2 := base64.RawURLEncoding.DecodeString(signature)
	var c struct{ Iss, Scope, Aud string }
	sum := sha256.Sum256([]byte(head))
	if err != nil || err2 != nil || json.Unmarshal(raw, &c) != nil || r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" ||
		rsa.VerifyPKCS1v15(&f.key.PublicKey, crypto.SHA256, sum[:], signed) != nil || c.Scope != scope || c.Aud != f.URL+"/token" {
		w.WriteHeader(400)
		json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant"})
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 3600})
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// asked runs the program once.
func asked(t *testing.T, key, input string) (code int, out map[string]string, complaint string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = googleKMS.Run(t.Context(), []string{key}, strings.NewReader(input), &stdout, &stderr)
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
	code, sealed, complaint := asked(t, keyPath, `{"version":1,"operation":"encrypt","context":"production","plaintext":"`+key+`"}`)
	if code != program.ExitOK || sealed["ciphertext"] == "" || sealed["plaintext"] != "" {
		t.Fatalf("exit code %d: %v %s", code, sealed, complaint)
	}
	for _, b := range f.sealed {
		if b.bound != "production" {
			t.Errorf("it is bound to %q", b.bound)
		}
	}
	decrypt := func(context string) string {
		return `{"version":1,"operation":"decrypt","context":"` + context + `","ciphertext":"` + sealed["ciphertext"] + `"}`
	}
	if code, opened, complaint := asked(t, keyPath, decrypt("production")); code != program.ExitOK || opened["plaintext"] != key {
		t.Errorf("exit code %d: %v %s", code, opened, complaint)
	}
	if code, _, complaint := asked(t, keyPath, decrypt("staging")); code != program.ExitFailed || !strings.Contains(complaint, "400 INVALID_ARGUMENT: Decryption failed") {
		t.Errorf("another installation: exit code %d: %s", code, complaint)
	}
	if code, _, complaint := asked(t, strings.Replace(keyPath, "/keyset", "/none", 1), decrypt("production")); code != program.ExitFailed || !strings.Contains(complaint, "404 NOT_FOUND") {
		t.Errorf("another key: exit code %d: %s", code, complaint)
	}
	f.damaged = true
	if code, _, complaint := asked(t, keyPath, decrypt("production")); code != program.ExitAway || !strings.Contains(complaint, "damaged") {
		t.Errorf("a damaged answer: exit code %d: %s", code, complaint)
	}
}

// What may pass ends with the code on which grantd asks again.
func TestWhatMayPassIsTriedAgain(t *testing.T) {
	f := newFake(t)
	request := `{"version":1,"operation":"encrypt","context":"production","plaintext":"a2V5"}`
	for status, code := range map[int]int{403: program.ExitFailed, 429: program.ExitAway, 503: program.ExitAway} {
		f.status, f.refuse = status, map[string]any{"error": map[string]any{"status": "SOME_STATUS", "message": "said so"}}
		if got, _, complaint := asked(t, keyPath, request); got != code || !strings.Contains(complaint, "SOME_STATUS: said so") || strings.Contains(complaint, "a2V5") {
			t.Errorf("%d: exit code %d: %s", status, got, complaint)
		}
	}
	f.Close()
	if code, _, complaint := asked(t, keyPath, request); code != program.ExitAway {
		t.Errorf("nobody answers: exit code %d: %s", code, complaint)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none.json"))
	if code, _, complaint := asked(t, keyPath, request); code != program.ExitFailed || !strings.Contains(complaint, "Application Default Credentials") {
		t.Errorf("no credentials: exit code %d: %s", code, complaint)
	}
	if code, _, complaint := asked(t, "keyset", request); code != program.ExitUsage || !strings.Contains(complaint, "usage:") {
		t.Errorf("exit code %d: %s", code, complaint)
	}
}
