package transit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// said is an answer of the server's: its status, and what went wrong or the fields of its data.
type said struct {
	status int
	errors []string
	data   map[string]any
}

func (s said) String() string {
	return fmt.Sprintf("%d %q %v", s.status, s.errors, slices.Sorted(maps.Keys(s.data)))
}

// ask sends one request with the token that grantd has.
func ask(t *testing.T, s *Server, path string, body map[string]any) said {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, s, http.MethodPost, path, s.Token, text)
}

func send(t *testing.T, s *Server, method, path, token string, body []byte) said {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Vault-Token", token)
	if s.Namespace != "" {
		request.Header.Set("X-Vault-Namespace", s.Namespace)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Errors []string
		Data   map[string]any
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %v (%s)", path, err, response.Header.Get("Content-Type"))
	}
	return said{response.StatusCode, answer.Errors, answer.Data}
}

// What grantd and its tests rely on is answered by the fake as by a Vault: `make kms` has the second run this, too.
func TestVaultAnswers(t *testing.T) {
	t.Parallel()
	s := Start(t, false)
	plain, one, two := encoded("a data key"), encoded("one"), encoded("two")
	first := ask(t, s, "transit/encrypt/grantd", map[string]any{"plaintext": plain, "associated_data": one})
	old, _ := first.data["ciphertext"].(string)
	if first.String() != `200 [] [ciphertext key_version]` || !strings.HasPrefix(old, "vault:v1:") || first.data["key_version"] != 1.0 {
		t.Fatalf("%v: %v", first, first.data)
	}
	sealed := map[string]any{"ciphertext": old, "associated_data": one}
	opens := func(sealed map[string]any) {
		t.Helper()
		if a := ask(t, s, "transit/decrypt/grantd", sealed); a.String() != `200 [] [plaintext]` || a.data["plaintext"] != plain {
			t.Errorf("%v: %v", a, a.data)
		}
	}
	opens(sealed)

	refusals := map[string]struct {
		path string
		body map[string]any
		want string
	}{
		"bound to something else":      {"transit/decrypt/grantd", map[string]any{"ciphertext": old, "associated_data": two}, `400 ["cipher: message authentication failed"] []`},
		"bound to nothing":             {"transit/decrypt/grantd", map[string]any{"ciphertext": old}, `400 ["cipher: message authentication failed"] []`},
		"no ciphertext":                {"transit/decrypt/grantd", map[string]any{"associated_data": one}, `400 ["missing ciphertext to decrypt"] []`},
		"no prefix":                    {"transit/decrypt/grantd", map[string]any{"ciphertext": "AQICAHh"}, `400 ["invalid ciphertext: no prefix"] []`},
		"no number":                    {"transit/decrypt/grantd", map[string]any{"ciphertext": "vault:v:AAAA"}, `400 ["invalid ciphertext: version number could not be decoded"] []`},
		"a version to come":            {"transit/decrypt/grantd", map[string]any{"ciphertext": "vault:v7:AAAA"}, `400 ["invalid ciphertext: version is too new"] []`},
		"no base64":                    {"transit/decrypt/grantd", map[string]any{"ciphertext": "vault:v1:!"}, `400 ["invalid ciphertext: could not decode base64"] []`},
		"too short":                    {"transit/decrypt/grantd", map[string]any{"ciphertext": "vault:v1:AAAA"}, `400 ["invalid ciphertext length"] []`},
		"plaintext that is no base64":  {"transit/encrypt/grantd", map[string]any{"plaintext": "!"}, `400 ["illegal base64 data at input byte 0"] []`},
		"bound by no base64":           {"transit/encrypt/grantd", map[string]any{"plaintext": plain, "associated_data": "!"}, `500 ["1 error occurred:\n\t* unable to get associated_data/additional_data from factory[0]: illegal base64 data at input byte 0\n\n"] []`},
		"another key":                  {"transit/encrypt/other", map[string]any{"plaintext": plain}, denied},
		"another key to decrypt":       {"transit/decrypt/other", sealed, denied},
		"nothing mounted":              {"elsewhere/decrypt/grantd", sealed, denied},
		"what the policy does not say": {"transit/rewrap/grantd", sealed, denied},
	}
	for name, c := range refusals {
		if a := ask(t, s, c.path, c.body); a.String() != c.want {
			t.Errorf("%s: %v, want %s", name, a, c.want)
		}
	}
	for _, token := range []string{"", "hvs.wrong"} {
		if a := send(t, s, http.MethodPost, "transit/encrypt/grantd", token, []byte(`{}`)); a.String() != `403 ["permission denied"] []` {
			t.Errorf("token %q: %v", token, a)
		}
	}
	if a := send(t, s, http.MethodPost, "transit/encrypt/grantd", s.Token, []byte(`{`)); a.String() != `400 ["error parsing JSON"] []` {
		t.Errorf("no JSON: %v", a)
	}
	if a := send(t, s, http.MethodGet, "transit/encrypt/grantd", s.Token, nil); a.String() != denied {
		t.Errorf("GET: %v", a)
	}

	// A version of the key that was replaced opens what it sealed, until it is retired.
	s.Rotate()
	opens(sealed)
	again := ask(t, s, "transit/encrypt/grantd", map[string]any{"plaintext": plain, "associated_data": one})
	if newer, _ := again.data["ciphertext"].(string); !strings.HasPrefix(newer, "vault:v2:") {
		t.Errorf("after the rotation: %v", again.data)
	}
	s.Retire()
	opens(map[string]any{"ciphertext": again.data["ciphertext"], "associated_data": one})
	if a := ask(t, s, "transit/decrypt/grantd", sealed); a.String() != `400 ["ciphertext or signature version is disallowed by policy (too old)"] []` {
		t.Errorf("a retired version: %v", a)
	}

	sealed["ciphertext"] = again.data["ciphertext"]
	s.Forbid()
	if a := ask(t, s, "transit/decrypt/grantd", sealed); a.String() != denied {
		t.Errorf("without the policy: %v", a)
	}
	s.Allow()
	opens(sealed)
	s.Seal()
	if a := ask(t, s, "transit/decrypt/grantd", sealed); a.String() != `503 ["Vault is sealed"] []` {
		t.Errorf("sealed: %v", a)
	}
	s.Unseal()
	opens(sealed)
}

// denied is the answer to a good token that may not do this.
const denied = `403 ["1 error occurred:\n\t* permission denied\n\n"] []`

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// The policy that these tests are run with is the one that operators are told to write.
func TestThePolicyIsThatOfTheDocument(t *testing.T) {
	page, err := os.ReadFile("../../docs/kms.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "<<POLICY\n"+Policy+"POLICY\n") {
		t.Error("docs/kms.md has another policy")
	}
}
