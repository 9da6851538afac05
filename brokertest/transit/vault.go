package transit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest/services"
)

// vault is a process of a real Vault, set up through its API as docs/kms.md has an operator do it.
type vault struct {
	*httputil.ReverseProxy
	t    testing.TB
	url  string
	root string // its token
	key  string // that it is unsealed with
}

// readyWithin is how long it may take to answer.
const readyWithin = time.Minute

// startVault runs the program until the test ends. It returns a token with Policy.
func startVault(t testing.TB, path string) (*vault, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	server := services.RunProgram(ctx, t, services.Program{
		Name: "Vault",
		Prepare: func(_ context.Context, folder string) error {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(folder, "vault"), content, 0o700) // a copy, which the user may run who Vault runs as
		},
		Command: func(folder string, port int) services.Command {
			settings := filepath.Join(folder, "vault.hcl")
			text := fmt.Sprintf("storage \"inmem\" {}\nlistener \"tcp\" {\n  address = \"127.0.0.1:%d\"\n  tls_disable = true\n}\ndisable_mlock = true\n", port)
			if err := os.WriteFile(settings, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			return services.Command{Path: filepath.Join(folder, "vault"), Args: []string{"server", "-config=" + settings}}
		},
		Ready: "/v1/sys/seal-status",
	})
	behind, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	v := &vault{ReverseProxy: httputil.NewSingleHostReverseProxy(behind), t: t, url: server.URL}
	var made struct {
		Root string   `json:"root_token"`
		Keys []string `json:"keys"`
	}
	v.ask(http.MethodPut, "sys/init", map[string]any{"secret_shares": 1, "secret_threshold": 1}, &made)
	v.root, v.key = made.Root, made.Keys[0]
	v.Unseal()
	v.ask(http.MethodPost, "sys/mounts/transit", map[string]any{"type": "transit"}, nil)
	v.ask(http.MethodPut, "transit/keys/grantd", map[string]any{"type": "aes256-gcm96"}, nil)
	v.Allow()
	var token struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	v.ask(http.MethodPost, "auth/token/create", map[string]any{"policies": []string{"grantd"}}, &token)
	return v, token.Auth.Token
}

// ask is a request of the operator's.
func (v *vault) ask(method, path string, body map[string]any, answer any) {
	v.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		v.t.Fatal(err)
	}
	request, err := http.NewRequest(method, v.url+"/v1/"+path, bytes.NewReader(text))
	if err != nil {
		v.t.Fatal(err)
	}
	request.Header.Set("X-Vault-Token", v.root)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	if response.StatusCode/100 != 2 {
		v.t.Fatalf("Vault answers %s %s with %d %s", method, path, response.StatusCode, content)
	}
	if answer != nil {
		if err := json.Unmarshal(content, answer); err != nil {
			v.t.Fatalf("Vault's answer to %s %s: %v", method, path, err)
		}
	}
}

// newest returns the number of the key's newest version.
func (v *vault) newest() int {
	v.t.Helper()
	var key struct {
		Data struct {
			Newest int `json:"latest_version"`
		} `json:"data"`
	}
	v.ask(http.MethodGet, "transit/keys/grantd", nil, &key)
	return key.Data.Newest
}

func (v *vault) Rotate() { v.ask(http.MethodPut, "transit/keys/grantd/rotate", nil, nil) }

func (v *vault) Retire() {
	v.ask(http.MethodPut, "transit/keys/grantd/config", map[string]any{"min_decryption_version": v.newest()}, nil)
}

func (v *vault) Seal()   { v.ask(http.MethodPut, "sys/seal", nil, nil) }
func (v *vault) Unseal() { v.ask(http.MethodPut, "sys/unseal", map[string]any{"key": v.key}, nil) }

func (v *vault) Forbid() { v.ask(http.MethodDelete, "sys/policies/acl/grantd", nil, nil) }
func (v *vault) Allow() {
	v.ask(http.MethodPut, "sys/policies/acl/grantd", map[string]any{"policy": Policy}, nil)
}
