package secrets

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// Vault is where a key of the transit secrets engine of HashiCorp Vault or OpenBao is.
type Vault struct {
	Address   string // of the server: https, or http on loopback
	Mount     string // of the engine, such as "transit"
	Key       string // its name
	Namespace string // "" for none
	// Token returns the token to ask with. It is called for each request, so that another program can renew it.
	Token func() (string, error)
	// CAFile names a file with the certificates that the server is judged by, in PEM; "" for those of the system.
	CAFile string
}

// vaultKEK speaks to Vault as https://developer.hashicorp.com/vault/api-docs/secret/transit says, and OpenBao's page of the
// same name. The key must be of a type that takes associated data, such as aes256-gcm96.
type vaultKEK struct {
	Vault
	client *http.Client
}

// NewVaultKEK returns a key that Vault keeps. It asks nothing yet. Its error names the field that is wrong.
func NewVaultKEK(v Vault) (KEK, error) {
	u, err := url.Parse(v.Address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !private(u) {
		return nil, errors.New("the address must be an https URL such as https://vault.example.com:8200, or http on loopback")
	}
	if v.Key == "" || v.Mount == "" || strings.ContainsAny(v.Key+v.Mount, "?#% ") || strings.Contains(v.Mount+"/"+v.Key, "..") {
		return nil, errors.New("the key must be MOUNT/NAME, such as transit/grantd")
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSHandshakeTimeout: kekTimeout, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if v.CAFile != "" {
		pem, err := os.ReadFile(v.CAFile)
		if err != nil {
			return nil, fmt.Errorf("the CA file cannot be read: %w", err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("the CA file holds no certificate in PEM")
		}
	}
	v.Address = strings.TrimRight(v.Address, "/")
	// A redirect would take the token along.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return vaultKEK{v, &http.Client{Transport: transport, Timeout: kekTimeout, CheckRedirect: stay}}, nil
}

// private reports whether nobody between can read what is sent to u.
func private(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

func (k vaultKEK) String() string { return "vault:" + k.Mount + "/" + k.Key }

type vaultRequest struct {
	Plaintext      []byte `json:"plaintext,omitempty"`
	Ciphertext     string `json:"ciphertext,omitempty"` // vault:v1:…
	AssociatedData []byte `json:"associated_data"`
}

type vaultAnswer struct {
	Data struct {
		Plaintext  []byte `json:"plaintext"`
		Ciphertext string `json:"ciphertext"`
	} `json:"data"`
	Errors []string `json:"errors"`
}

func (k vaultKEK) Encrypt(ctx context.Context, installation string, key []byte) ([]byte, error) {
	answer, err := k.ask(ctx, "encrypt", vaultRequest{Plaintext: key, AssociatedData: []byte(installation)})
	if err == nil && answer.Data.Ciphertext == "" {
		err = errors.New("it did not answer with a ciphertext")
	}
	return []byte(answer.Data.Ciphertext), err
}

func (k vaultKEK) Decrypt(ctx context.Context, installation string, encrypted []byte) ([]byte, error) {
	answer, err := k.ask(ctx, "decrypt", vaultRequest{Ciphertext: string(encrypted), AssociatedData: []byte(installation)})
	if err == nil && len(answer.Data.Plaintext) == 0 {
		err = errors.New("it did not answer with a plaintext")
	}
	return answer.Data.Plaintext, err
}

func (k vaultKEK) ask(ctx context.Context, operation string, request vaultRequest) (answer vaultAnswer, err error) {
	token, err := k.Token()
	if err != nil {
		return answer, err
	}
	body, err := json.Marshal(request)
	if err != nil {
		return answer, fmt.Errorf("encoding the request: %w", err)
	}
	defer clear(body)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, k.Address+"/v1/"+k.Mount+"/"+operation+"/"+k.Key, bytes.NewReader(body))
	if err != nil {
		return answer, fmt.Errorf("making the request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Vault-Request", "true")
	r.Header.Set("X-Vault-Token", token)
	if k.Namespace != "" {
		r.Header.Set("X-Vault-Namespace", k.Namespace)
	}
	response, err := k.client.Do(r)
	if err != nil {
		return answer, k.unreached(ctx, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxKEKAnswer))
	if err != nil {
		return answer, k.unreached(ctx, err)
	}
	defer clear(text)
	readable := json.Unmarshal(text, &answer) == nil // its error may repeat what was read
	switch status := response.StatusCode; {
	case status == http.StatusOK && readable:
		return answer, nil
	case status == http.StatusOK:
		return vaultAnswer{}, errors.New("it did not answer with Vault's JSON")
	case status/100 == 3:
		return vaultAnswer{}, fmt.Errorf("it answered %d, a redirect, which is not followed; name the active node, or a load balancer before it", status)
	default:
		err = fmt.Errorf("it answered %d%s%s", status, toldBy(answer), hints[status])
		if status == http.StatusTooManyRequests || status/100 == 5 {
			err = fmt.Errorf("%w: %w", err, ErrAway)
		}
		return vaultAnswer{}, err
	}
}

// hints say what a status of Vault's means for this.
var hints = map[int]string{
	http.StatusBadRequest:         "; the key may be of a type without associated data, or may not have sealed this with this GRANTD_KEYSET_CONTEXT",
	http.StatusForbidden:          "; the token may have ended, or not be allowed to update encrypt/ and decrypt/ of the key; or there is no such mount, key or namespace",
	http.StatusNotFound:           "; the transit engine may not be mounted there, or in another namespace",
	http.StatusServiceUnavailable: "; it may be sealed",
}

func toldBy(a vaultAnswer) string {
	if text := outside(strings.Join(a.Errors, "; ")); text != "" {
		return " (" + text + ")"
	}
	return ""
}

// unreached says that no whole answer came.
func (k vaultKEK) unreached(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", err, ErrAway)
}
