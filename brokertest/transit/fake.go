package transit

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// fake answers grantd as Vault does. Of what Vault would not look at it refuses more: fields that the documentation of the
// transit engine (https://developer.hashicorp.com/vault/api-docs/secret/transit) does not have, and another namespace.
type fake struct {
	token, namespace string

	mu        sync.Mutex
	versions  []cipher.AEAD
	oldest    int // the oldest version that still decrypts, from 1
	sealed    bool
	forbidden bool
}

func newFake() *fake {
	f := &fake{token: "hvs." + rand.Text(), namespace: "teams/grantd", oldest: 1}
	f.Rotate()
	return f
}

func (f *fake) Rotate() {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.versions = append(f.versions, aead)
}

func (f *fake) Retire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.oldest = len(f.versions)
}

func (f *fake) Seal()   { f.set(&f.sealed, true) }
func (f *fake) Unseal() { f.set(&f.sealed, false) }
func (f *fake) Forbid() { f.set(&f.forbidden, true) }
func (f *fake) Allow()  { f.set(&f.forbidden, false) }

func (f *fake) set(what *bool, to bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*what = to
}

// ServeHTTP implements http.Handler.
func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if f.sealed {
		refuse(w, http.StatusServiceUnavailable, "Vault is sealed")
		return
	}
	operation, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/v1/transit/"), "/grantd")
	ok = ok && (operation == "encrypt" || operation == "decrypt") && (r.Method == http.MethodPost || r.Method == http.MethodPut)
	if r.Header.Get("X-Vault-Token") != f.token || r.Header.Get("X-Vault-Namespace") != f.namespace {
		refuse(w, http.StatusForbidden, "permission denied")
		return
	}
	if !ok || f.forbidden { // whether something is there is told to nobody who may not use it
		refuse(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
		return
	}
	var body struct {
		Plaintext      string `json:"plaintext"`
		Ciphertext     string `json:"ciphertext"`
		AssociatedData string `json:"associated_data"`
	}
	input := json.NewDecoder(r.Body)
	input.DisallowUnknownFields()
	if err := input.Decode(&body); err != nil {
		refuse(w, http.StatusBadRequest, "error parsing JSON")
		return
	}
	bound, err := base64.StdEncoding.DecodeString(body.AssociatedData)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "1 error occurred:\n\t* unable to get associated_data/additional_data from factory[0]: "+err.Error()+"\n\n")
		return
	}
	if operation == "encrypt" {
		f.encrypt(w, body.Plaintext, bound)
	} else {
		f.decrypt(w, body.Ciphertext, bound)
	}
}

func (f *fake) encrypt(w http.ResponseWriter, text string, bound []byte) {
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	aead := f.versions[len(f.versions)-1]
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	sealed := base64.StdEncoding.EncodeToString(aead.Seal(nonce, nonce, plain, bound))
	answer(w, map[string]any{"ciphertext": fmt.Sprintf("vault:v%d:%s", len(f.versions), sealed), "key_version": len(f.versions)})
}

func (f *fake) decrypt(w http.ResponseWriter, text string, bound []byte) {
	plain, wrong := f.open(text, bound)
	if wrong != "" {
		refuse(w, http.StatusBadRequest, wrong)
		return
	}
	answer(w, map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)})
}

// open returns what was encrypted, or what Vault says is wrong.
func (f *fake) open(text string, bound []byte) (plain []byte, wrong string) {
	rest, ok := strings.CutPrefix(text, "vault:v")
	number, sealed, _ := strings.Cut(rest, ":")
	version, err := strconv.Atoi(number)
	switch {
	case text == "":
		return nil, "missing ciphertext to decrypt"
	case !ok:
		return nil, "invalid ciphertext: no prefix"
	case err != nil:
		return nil, "invalid ciphertext: version number could not be decoded"
	case version > len(f.versions):
		return nil, "invalid ciphertext: version is too new"
	case version < f.oldest:
		return nil, "ciphertext or signature version is disallowed by policy (too old)"
	}
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, "invalid ciphertext: could not decode base64"
	}
	aead := f.versions[version-1]
	if len(raw) < aead.NonceSize() {
		return nil, "invalid ciphertext length"
	}
	plain, err = aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], bound)
	if err != nil {
		return nil, err.Error()
	}
	return plain, ""
}

func answer(w http.ResponseWriter, data map[string]any) {
	_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "1", "lease_id": "", "renewable": false, "lease_duration": 0,
		"data": data, "wrap_info": nil, "warnings": nil, "auth": nil}) // a client that left hears nothing
}

func refuse(w http.ResponseWriter, status int, errors ...string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": errors})
}
