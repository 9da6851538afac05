package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"text/template"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

const (
	recipesPage = "../../docs/recipes.md"
	documented  = "https://grantd.example.com" // where grantd is in the documents
)

// block is the first block of the page in a language below a heading.
func block(t *testing.T, heading, language string) string {
	t.Helper()
	return blocks(t, heading, language)[0]
}

// blocks are the blocks of the page in a language below a heading; there is one at least.
func blocks(t *testing.T, heading, language string) (found []string) {
	t.Helper()
	page, err := os.ReadFile(recipesPage)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "\n"+heading+"\n")
	after, _, _ = strings.Cut(after, "\n## ")
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(after, -1) {
		found = append(found, m[1])
	}
	if len(found) == 0 {
		t.Fatalf("the page has no %s below %q", language, heading)
	}
	return found
}

// readIssuers reads a list of trusted issuers as grantd does at its start.
func readIssuers(t *testing.T, list, allow string) []broker.TrustedIssuer {
	t.Helper()
	file := filepath.Join(t.TempDir(), "issuers.json")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	issuers, err := (&Config{Issuers: file, UpstreamAllow: []string{allow}}).trustedIssuers()
	if err != nil {
		t.Fatalf("grantd refuses the list: %v\n%s", err, list)
	}
	return issuers
}

// trusting starts a grantd that trusts what a list of issuers says, as the page has it with some texts replaced. It returns
// the id of an authorization of ada's at the provider github.
func trusting(t *testing.T, list, allow string, replace ...string) (*brokertest.Instance, string) {
	t.Helper()
	issuers := readIssuers(t, strings.NewReplacer(replace...).Replace(list), allow)
	h := brokertest.New(t, &brokertest.Options{Issuers: issuers, Allow: []string{allow}, WithoutWorker: true})
	p, err := h.Service.CreateProvider(t.Context(), h.Admin.Caller, models.ProviderInput{Name: "GitHub", Slug: "github", Type: "test", ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	return h, h.Consent(t, h.User, p, "ada").ID
}

// runs runs a script of the page, with its addresses replaced.
func runs(t *testing.T, script string, environment []string, replace ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", strings.NewReplacer(replace...).Replace(script))
	command.Env = append(os.Environ(), environment...)
	var problems bytes.Buffer
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, problems.String())
	}
	return string(out)
}

// A pod has a token of its cluster's, and grantd reads the cluster's keys from a server that wants its own token and has a
// certificate of its own. Nobody has an API token.
func TestTheRecipeForKubernetes(t *testing.T) {
	t.Parallel()
	issuer, folder := brokertest.NewIssuer(t), t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keys := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer of-grantd's-pod" || r.URL.Path != "/openid/v1/jwks" {
			http.Error(w, "Forbidden", http.StatusForbidden)
			return
		}
		answer, err := http.Get(issuer.URL + "/keys")
		if err != nil {
			t.Error(err)
			return
		}
		defer answer.Body.Close()
		_, _ = io.Copy(w, answer.Body)
	}))
	t.Cleanup(keys.Close)
	const heading, files = "## Kubernetes, with no static token", "/var/run/secrets/kubernetes.io/serviceaccount/"
	h, id := trusting(t, block(t, heading, "json"), strings.TrimPrefix(keys.URL, "https://"),
		"https://kubernetes.default.svc/", keys.URL+"/", files+"token", write("own", "of-grantd's-pod"),
		files+"ca.crt", write("ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: keys.Certificate().Raw}))))

	var pod struct {
		Metadata struct{ Namespace string }
		Spec     struct {
			ServiceAccountName string `yaml:"serviceAccountName"`
			Containers         []struct {
				VolumeMounts []struct {
					MountPath string `yaml:"mountPath"`
				} `yaml:"volumeMounts"`
			}
			Volumes []struct {
				Projected struct {
					Sources []struct {
						ServiceAccountToken struct{ Audience, Path string } `yaml:"serviceAccountToken"`
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(block(t, heading, "yaml")), &pod); err != nil {
		t.Fatal(err)
	}
	projected := pod.Spec.Volumes[0].Projected.Sources[0].ServiceAccountToken
	sub := "system:serviceaccount:" + pod.Metadata.Namespace + ":" + pod.Spec.ServiceAccountName
	mount := func(claims map[string]any) string {
		claims["iss"] = "https://kubernetes.default.svc.cluster.local"
		return write("token", issuer.Bearer(t, sub, claims).Reveal())
	}
	path := mount(map[string]any{"aud": projected.Audience})
	said := runs(t, block(t, heading, "sh"), []string{"AUTHORIZATION=" + id}, documented, h.URL, pod.Spec.Containers[0].VolumeMounts[0].MountPath+"/"+projected.Path, path)
	if !strings.Contains(said, `"accessToken":`) || !strings.Contains(said, `"userId":"ada"`) {
		t.Errorf("the commands say %s", said)
	}

	// In Go, with a file that Kubernetes replaces.
	c := client.NewWith(h.URL, client.TokenFile(path), nil).For("ada")
	for range 2 {
		if _, err := c.Token(t.Context(), id); err != nil {
			t.Error(err)
		}
		mount(map[string]any{"aud": projected.Audience, "jti": "another"})
	}
	mount(map[string]any{"aud": "https://kubernetes.default.svc"}) // the pod's default token
	if _, err := c.Token(t.Context(), id); err == nil {
		t.Error("a token for the cluster itself is accepted")
	}
}

// A job of GitHub Actions asks GitHub for a token, and grantd for that of the upstream.
func TestTheRecipeForGitHubActions(t *testing.T) {
	t.Parallel()
	const heading, actions = "## GitHub Actions", "https://token.actions.githubusercontent.com"
	issuer := brokertest.NewIssuer(t)
	trusted := block(t, heading, "json")
	readIssuers(t, trusted, "") // as it is written
	h, id := trusting(t, trusted, issuer.Host(), actions, issuer.URL)

	var ref atomic.Value
	ref.Store("refs/heads/main")
	gitHub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer of-the-job" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"value": issuer.Bearer(t, "repo:acme/deploy:ref:"+ref.Load().(string), map[string]any{
			"aud": r.URL.Query().Get("audience"), "repository_owner_id": "1234567"}).Reveal()})
	}))
	t.Cleanup(gitHub.Close)
	var workflow struct {
		Permissions map[string]string
		Jobs        map[string]struct {
			Steps []struct{ Run, Shell string }
		}
	}
	if err := yaml.Unmarshal([]byte(block(t, heading, "yaml")), &workflow); err != nil {
		t.Fatal(err)
	}
	step := workflow.Jobs["deploy"].Steps[0]
	if workflow.Permissions["id-token"] != "write" || step.Shell != "bash" {
		t.Errorf("the workflow is %+v", workflow)
	}
	output := filepath.Join(t.TempDir(), "output")
	environment := []string{"AUTHORIZATION=" + id, "GITHUB_OUTPUT=" + output, "ACTIONS_ID_TOKEN_REQUEST_TOKEN=of-the-job", "ACTIONS_ID_TOKEN_REQUEST_URL=" + gitHub.URL + "/?api-version=2.0"}
	// The audience is grantd's documented address, wherever this grantd is.
	said := runs(t, step.Run, environment, documented+"/api", h.URL+"/api")
	wrote, err := os.ReadFile(output)
	token, ok := strings.CutPrefix(strings.TrimSpace(string(wrote)), "token=")
	if err != nil || !ok || len(token) < 10 || said != "::add-mask::"+token+"\n" {
		t.Errorf("the step says %q and writes %q, %v", said, wrote, err)
	}
	ref.Store("refs/heads/other")
	command := exec.CommandContext(t.Context(), "bash", "-c", strings.ReplaceAll(step.Run, documented+"/api", h.URL+"/api"))
	command.Env = append(os.Environ(), environment...)
	if out, err := command.CombinedOutput(); err == nil {
		t.Errorf("another branch gets a token: %s", out)
	}
}

// External Secrets Operator fetches a token by a webhook. This does with the manifests what its provider does
// (providers/v1/webhook of external-secrets): remoteRef is escaped in the URL and nowhere else, headers are templates too,
// every 2xx is a success, and 404 is a secret that was deleted.
func TestTheRecipeForExternalSecrets(t *testing.T) {
	t.Parallel()
	const heading = "## External Secrets Operator"
	issuer := brokertest.NewIssuer(t)
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true, Allow: []string{issuer.Host()}, Issuers: []broker.TrustedIssuer{{
		Name: "prod", Keys: issuer.Source(), Audience: documented, Org: "acme", User: broker.UserClaim{Template: "sub"}, Role: models.RoleService,
		Rules: []broker.Rule{{Claim: "sub", Value: "system:serviceaccount:web:grantd"}}, Providers: []string{"github"}, MaxAge: time.Hour}}})
	p, err := h.Service.CreateProvider(t.Context(), h.Admin.Caller, models.ProviderInput{Name: "GitHub", Slug: "github", Type: "test", ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	a := h.Consent(t, h.User, p, "ada")
	service := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-eso", Role: models.RoleService, Providers: []string{p.ID}})

	texts := blocks(t, heading, "yaml")
	var store struct {
		Spec struct {
			Provider struct {
				Webhook esoWebhook
			}
		}
	}
	var external struct {
		Spec struct {
			Target struct {
				DeletionPolicy string `yaml:"deletionPolicy"`
			}
			Data []struct {
				RemoteRef struct{ Key, Property string } `yaml:"remoteRef"`
			}
		}
	}
	manifests := yaml.NewDecoder(strings.NewReader(texts[0]))
	for _, into := range []any{&store, &external} {
		if err := manifests.Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	webhook, remote := store.Spec.Provider.Webhook, external.Spec.Data[0].RemoteRef
	if !models.ValidID(remote.Key) || external.Spec.Target.DeletionPolicy != "Delete" {
		t.Errorf("the external secret is %+v", external)
	}
	webhook.URL = strings.Replace(webhook.URL, documented, h.URL, 1)
	if status, token := webhook.fetches(t, a.ID, remote.Property, service.Token); status != http.StatusCreated || len(token) < 10 {
		t.Errorf("grantd answers %d, and the token is %q", status, token)
	}
	if status, _ := webhook.fetches(t, a.ID, "corp:ada & grace/1", service.Token); status != http.StatusUnprocessableEntity {
		t.Errorf("for what is no user, grantd answers %d", status) // and it saw all of it: half of it is one
	}
	var newer esoWebhook
	if err := yaml.Unmarshal([]byte(texts[1]), &newer); err != nil {
		t.Fatal(err)
	}
	webhook.Secrets = newer.Secrets
	ofAccount := issuer.Bearer(t, "system:serviceaccount:web:"+newer.Secrets[0].ServiceAccountRef.Name, map[string]any{"aud": newer.Secrets[0].ServiceAccountRef.Audiences})
	if status, token := webhook.fetches(t, a.ID, remote.Property, ofAccount); status != http.StatusCreated || len(token) < 10 {
		t.Errorf("to a service account grantd answers %d, and the token is %q", status, token)
	}
	if err := h.User.Client.Disconnect(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	if status, _ := webhook.fetches(t, a.ID, remote.Property, service.Token); status != http.StatusNotFound {
		t.Errorf("after the disconnect grantd answers %d, which does not delete the secret", status)
	}
}

// esoWebhook is the provider of a SecretStore, as far as the recipe uses it.
type esoWebhook struct {
	URL, Method string
	Headers     map[string]string
	Result      struct {
		JSONPath string `yaml:"jsonPath"`
	}
	Secrets []struct {
		Name              string
		ServiceAccountRef struct {
			Name      string
			Audiences []string
		} `yaml:"serviceAccountRef"`
	}
}

// fetches is one refresh of an ExternalSecret, with token as that of the one secret of the store.
func (w esoWebhook) fetches(t *testing.T, key, property string, token models.Secret) (status int, value string) {
	t.Helper()
	rendered := func(text string, escape func(string) string) string {
		t.Helper()
		values := map[string]map[string]string{
			"remoteRef":       {"key": escape(key), "property": escape(property), "version": "", "namespace": "web"},
			w.Secrets[0].Name: {"token": token.Reveal()},
		}
		var out strings.Builder
		if err := template.Must(template.New("").Option("missingkey=error").Parse(text)).Execute(&out, values); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	asItIs := func(s string) string { return s }
	request, err := http.NewRequestWithContext(t.Context(), w.Method, rendered(w.URL, url.QueryEscape), bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range w.Headers {
		request.Header.Add(name, rendered(text, asItIs))
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return answer.StatusCode, ""
	}
	field, ok := strings.CutPrefix(rendered(w.Result.JSONPath, asItIs), "$.")
	if !ok || strings.ContainsAny(field, ".[") {
		t.Fatalf("the path %s is not a field, and this does not know more", w.Result.JSONPath)
	}
	var body map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	value, _ = body[field].(string)
	return answer.StatusCode, value
}
