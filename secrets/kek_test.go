package secrets

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest/transit"
)

// asProgram has this test binary be a program that NewExecKEK runs: its second argument says how it behaves.
const asProgram = "be-a-kms"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == asProgram {
		os.Exit(kms(os.Args[2]))
	}
	os.Exit(m.Run())
}

// kms is a program as docs/kms.md describes one, for a KMS that binds the context.
func kms(behaviour string) int {
	var request struct {
		Version               int
		Operation, Context    string
		Plaintext, Ciphertext []byte
	}
	input, err := io.ReadAll(os.Stdin)
	if err != nil || json.Unmarshal(input, &request) != nil || request.Version != 1 {
		return 1
	}
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "GRANTD_") {
			fmt.Fprintln(os.Stderr, "grantd's settings are in the environment")
			return 1
		}
	}
	block, _ := aes.NewCipher([]byte("a key of 32 bytes, which is one."))
	aead, _ := cipher.NewGCM(block)
	nonce := make([]byte, aead.NonceSize())
	var answer any
	switch request.Operation {
	case "encrypt":
		answer = map[string][]byte{"ciphertext": aead.Seal(nil, nonce, request.Plaintext, []byte(request.Context))}
	case "decrypt":
		plain, err := aead.Open(nil, nonce, request.Ciphertext, []byte(request.Context))
		if err != nil && behaviour != "other" {
			fmt.Fprintln(os.Stderr, "AccessDenied: it was encrypted in another context")
			return 1
		}
		answer = map[string][]byte{"plaintext": plain}
	}
	switch behaviour {
	case "hang":
		time.Sleep(time.Hour)
	case "garbage":
		fmt.Println("plaintext:", base64.StdEncoding.EncodeToString(request.Plaintext))
		return 0
	case "empty":
		fmt.Println("{}")
		return 0
	case "endless":
		for range 100 {
			fmt.Println(strings.Repeat(" ", 1<<10))
		}
	case "fail":
		fmt.Fprintf(os.Stderr, "\x1b[31mno\xff such key\n%s\n%x\n%s\n", base64.StdEncoding.EncodeToString(request.Plaintext), request.Plaintext, strings.Repeat("more ", 5000))
		return 3
	case "away":
		fmt.Fprintln(os.Stderr, "the region does not answer")
		return exitAway
	case "other":
		answer = map[string][]byte{"ciphertext": request.Plaintext, "plaintext": bytes.Repeat([]byte("x"), dataKeySize)}
	}
	_ = json.NewEncoder(os.Stdout).Encode(answer)
	return 0
}

// program returns this binary as a program that behaves so.
func program(t *testing.T, behaviour string) KEK {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewExecKEK(self + " " + asProgram + " " + behaviour)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// inVault returns the key of a fake Vault.
func inVault(t *testing.T, s *transit.Server, change func(*Vault)) KEK {
	t.Helper()
	v := Vault{Address: s.URL, Mount: "transit", Key: "grantd", Namespace: s.Namespace, Token: func() (string, error) { return s.Token, nil }}
	if change != nil {
		change(&v)
	}
	k, err := NewVaultKEK(v)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A sealed keyset lives as one in clear does: it is made, read, rotated, moved to another KMS, to clear and back, and is
// bound to its installation all the while. Nothing of its keys is in the file.
func TestK2_ASealedKeysetFromItsMakingToItsEnd(t *testing.T) {
	t.Parallel()
	vault := transit.Start(t, false)
	for name, kek := range map[string]KEK{"vault": inVault(t, vault, nil), "program": program(t, "well")} {
		t.Run(name, func(t *testing.T) {
			ctx, o := t.Context(), CredentialOwner("c", "a", "o", "u", "p")
			f := File{Path: filepath.Join(t.TempDir(), "new", "keyset.json"), KEK: kek, Installation: "one"}
			must(t, f.Create(ctx))
			if err := f.Create(ctx); !errors.Is(err, os.ErrExist) {
				t.Errorf("it was overwritten: %v", err)
			}
			first, err := f.Load(ctx)
			must(t, err)
			sealed := seal(t, first, o, "token")

			id, err := f.AddKey(ctx)
			must(t, err)
			must(t, f.Promote(ctx, id))
			list, err := f.Keys(ctx)
			must(t, err)
			if len(list) != 2 || list[0].Primary || !list[1].Primary {
				t.Errorf("the keys are %+v", list)
			}
			if is, err := f.Sealed(); !is || err != nil || mode(t, f.Path) != 0o600 {
				t.Errorf("after a rotation sealed is %v (%v), and the mode %o", is, err, mode(t, f.Path))
			}
			clearFile := File{f.Path, nil, "one"}
			for wrong, file := range map[string]File{
				"set GRANTD_KEYSET_KEK":           clearFile,
				"does not open " + f.Path:         {f.Path, kek, "another"},
				"does not open with the key that": {f.Path, program(t, "other"), "one"},
			} {
				if _, err := file.AddKey(ctx); err == nil || !strings.Contains(err.Error(), wrong) {
					t.Errorf("err = %v, want %q", err, wrong)
				}
			}

			// To clear and back. What was sealed by it opens all the while.
			secret := func() []byte { // the first key, as a keyset in clear has it
				data, err := os.ReadFile(f.Path)
				must(t, err)
				var plain struct {
					Key []struct{ KeyData struct{ Value string } }
				}
				must(t, json.Unmarshal(data, &plain))
				return []byte(plain.Key[0].KeyData.Value)
			}
			must(t, clearFile.Reencrypt(ctx, kek))
			mustOpen(t, load(t, f.Path), o, sealed, "token")
			if _, err := f.Load(ctx); err == nil || !strings.Contains(err.Error(), "grantd keys seal") {
				t.Errorf("a keyset in clear in place of a sealed one: %v", err)
			}
			key := secret()
			must(t, f.Reencrypt(ctx, nil))
			again, err := f.Load(ctx)
			must(t, err)
			mustOpen(t, again, o, sealed, "token")
			if data, err := os.ReadFile(f.Path); err != nil || bytes.Contains(data, key) {
				t.Errorf("the key is in the sealed file (%v)", err)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(f.Path), "*")); len(left) != 1 {
				t.Errorf("left behind: %v", left)
			}
		})
	}

	// Also with a KMS that binds nothing a keyset opens for its own installation alone.
	unbound := File{filepath.Join(t.TempDir(), "keyset.json"), careless{}, "one"}
	must(t, unbound.Create(t.Context()))
	if _, err := unbound.Load(t.Context()); err != nil {
		t.Error(err)
	}
	unbound.Installation = "another"
	if _, err := unbound.Load(t.Context()); err == nil || !strings.Contains(err.Error(), "GRANTD_KEYSET_CONTEXT") {
		t.Errorf("another installation opens it: %v", err)
	}

	// Sealed again it needs the old version of the KMS's key no more, and it moves from one KMS to another.
	f := File{Path: filepath.Join(t.TempDir(), "keyset.json"), KEK: inVault(t, vault, nil), Installation: "one"}
	must(t, f.Create(t.Context()))
	vault.Rotate()
	must(t, f.Reencrypt(t.Context(), f.KEK))
	vault.Retire()
	if _, err := f.Load(t.Context()); err != nil {
		t.Error(err)
	}
	moved := File{f.Path, program(t, "well"), "one"}
	must(t, moved.Reencrypt(t.Context(), f.KEK))
	if _, err := moved.Load(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := f.Load(t.Context()); err == nil || !strings.Contains(err.Error(), `sealed by "exec:`) {
		t.Errorf("err = %v", err)
	}
}

// careless is a KMS that encrypts nothing and binds nothing.
type careless struct{}

func (careless) Encrypt(_ context.Context, _ string, key []byte) ([]byte, error) {
	return bytes.Clone(key), nil
}

func (careless) Decrypt(_ context.Context, _ string, encrypted []byte) ([]byte, error) {
	return bytes.Clone(encrypted), nil
}

func (careless) String() string { return "careless" }

// Whatever a program does, the keyset stays, the error says what happened within limits, and nothing in it is key material.
func TestAProgramThatDoesNotAnswer(t *testing.T) {
	t.Setenv("GRANTD_DATABASE_URL", "postgres://grantd:hidden@db/grantd") // which the program is not given
	f := File{Path: filepath.Join(t.TempDir(), "keyset.json"), Installation: "one"}
	must(t, f.Create(t.Context()))
	before, err := os.ReadFile(f.Path)
	must(t, err)
	key := bytes.Repeat([]byte("k"), dataKeySize)
	for behaviour, want := range map[string]string{
		"hang":    "did not end within 200ms",
		"garbage": "did not answer with one JSON object",
		"empty":   "did not answer with a ciphertext",
		"endless": "more than 65536 bytes",
		"fail":    "the program failed (exit status 3), and wrote [31mno such key […] […] more",
		"away":    "and wrote the region does not answer: it may answer later",
		"other":   "returned another key than it was given",
	} {
		f.KEK = program(t, behaviour)
		if behaviour == "hang" {
			f.KEK = execKEK{f.KEK.(execKEK).command, 200 * time.Millisecond}
		}
		err := f.Reencrypt(t.Context(), nil)
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 700 {
			t.Errorf("%s: %v", behaviour, err)
		}
		if temporary := behaviour == "hang" || behaviour == "away"; errors.Is(err, ErrAway) != temporary {
			t.Errorf("%s: to be tried again: %v", behaviour, !temporary)
		}
		_, err = f.KEK.Encrypt(t.Context(), "one", key)
		for _, leaked := range []string{string(key), base64.StdEncoding.EncodeToString(key), hex.EncodeToString(key), "\x1b", "hidden"} {
			if err != nil && strings.Contains(err.Error(), leaked) {
				t.Errorf("%s: the error has %q", behaviour, leaked)
			}
		}
		if after, err := os.ReadFile(f.Path); err != nil || !bytes.Equal(after, before) {
			t.Fatalf("%s: the keyset was touched", behaviour)
		}
	}
	for _, command := range []string{"", "   ", "kms", "./kms"} {
		if _, err := NewExecKEK(command); err == nil || !strings.Contains(err.Error(), "absolute path") {
			t.Errorf("%q: %v", command, err)
		}
	}
	none, err := NewExecKEK(filepath.Join(t.TempDir(), "none"))
	must(t, err)
	if _, err := none.Decrypt(t.Context(), "one", key); err == nil || errors.Is(err, ErrAway) {
		t.Errorf("a program that is not there: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := program(t, "well").Encrypt(ended, "one", key); !errors.Is(err, context.Canceled) {
		t.Errorf("once grantd is stopped: %v", err)
	}
}

// What Vault refuses says what to look at; what passes is asked again, and no more often than it should.
func TestAVaultThatRefuses(t *testing.T) {
	t.Parallel()
	s := transit.Start(t, true)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	kek := inVault(t, s, func(v *Vault) { v.CAFile = ca; v.Address += "/" })
	key := bytes.Repeat([]byte("k"), dataKeySize)
	sealed, err := kek.Encrypt(t.Context(), "one", key)
	must(t, err)
	if opened, err := kek.Decrypt(t.Context(), "one", sealed); err != nil || !bytes.Equal(opened, key) {
		t.Errorf("%x: %v", opened, err)
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	redirecting := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer redirecting.Close()
	garbage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"data":{"plaintext":"!`+string(key)) }))
	defer garbage.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, c := range map[string]struct {
		change func(*Vault)
		want   string
		away   bool
	}{
		"another installation": {nil, "it answered 400 (cipher: message authentication failed)", false},
		"a wrong token":        {func(v *Vault) { v.Token = func() (string, error) { return "hvs.wrong", nil } }, "403 (permission denied)", false},
		"no token":             {func(v *Vault) { v.Token = func() (string, error) { return "", errors.New("no file") } }, "no file", false},
		"another namespace":    {func(v *Vault) { v.Namespace = "" }, "403 (", false},
		"another key":          {func(v *Vault) { v.Key = "none" }, "403 (", false},
		"another mount":        {func(v *Vault) { v.Mount = "none" }, "403 (", false},
		"unknown authority":    {func(v *Vault) { v.CAFile = "" }, "certificate", true},
		"nobody":               {func(v *Vault) { v.Address = gone.URL }, "refused", true},
		"a redirect":           {func(v *Vault) { v.Address = redirecting.URL }, "which is not followed", false},
		"garbage":              {func(v *Vault) { v.Address = garbage.URL }, "did not answer with Vault's JSON", false},
	} {
		if name == "another namespace" && s.Namespace == "" {
			continue // Vault without namespaces, which does not look at the header
		}
		_, err := inVault(t, s, func(v *Vault) {
			v.CAFile = ca
			if c.change != nil {
				c.change(v)
			}
		}).Decrypt(t.Context(), "another", sealed)
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrAway) != c.away || strings.Contains(err.Error(), string(key)) || strings.Contains(err.Error(), s.Token) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// A sealed Vault is asked again: here it is unsealed before the third try, and then not. A refusal is final.
	var told []time.Duration
	patiently := patient{kek, []time.Duration{1, 2}, func(_ error, next time.Duration) {
		if told = append(told, next); len(told) == 2 {
			s.Unseal()
		}
	}}
	before := s.Calls()
	s.Seal()
	if opened, err := patiently.Decrypt(t.Context(), "one", sealed); err != nil || !bytes.Equal(opened, key) || len(told) != 2 || s.Calls() != before+3 {
		t.Errorf("after %d calls: %v", s.Calls()-before, err)
	}
	s.Seal()
	if _, err := patiently.Encrypt(t.Context(), "one", key); err == nil || !strings.Contains(err.Error(), "503 (Vault is sealed)") || s.Calls() != before+6 {
		t.Errorf("after %d calls: %v", s.Calls()-before, err)
	}
	s.Unseal()
	s.Forbid()
	if _, err := patiently.Encrypt(t.Context(), "one", key); err == nil || !strings.Contains(err.Error(), "permission denied") || s.Calls() != before+7 {
		t.Errorf("what is refused was tried %d times: %v", s.Calls()-before-6, err)
	}
	for want, v := range map[string]Vault{
		"https URL":            {Address: "http://vault.example.com:8200", Mount: "transit", Key: "grantd"},
		"https URL such":       {Address: "vault.example.com", Mount: "transit", Key: "grantd"},
		"MOUNT/NAME":           {Address: "https://vault.example.com", Mount: "", Key: "grantd"},
		"must be MOUNT/NAME":   {Address: "https://vault.example.com", Mount: "..", Key: "grantd"},
		"cannot be read":       {Address: "https://vault.example.com", Mount: "transit", Key: "grantd", CAFile: ca + ".none"},
		"holds no certificate": {Address: "https://vault.example.com", Mount: "transit", Key: "grantd", CAFile: os.Args[0]},
	} {
		if _, err := NewVaultKEK(v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want %q", err, want)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
