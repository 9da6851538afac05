package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
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

// block is a block of a page, in a language, below a heading.
func block(t *testing.T, heading, language string) string {
	t.Helper()
	page, err := os.ReadFile(recipesPage)
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(page), "\n"+heading+"\n")
	after, _, _ = strings.Cut(after, "\n## ")
	m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(after)
	if !found || m == nil {
		t.Fatalf("the page has no %s below %q", language, heading)
	}
	return m[1]
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

// External Secrets Operator fetches a token by a webhook: this does what its provider does with the manifests.
func TestTheRecipeForExternalSecrets(t *testing.T) {
	t.Parallel()
	const heading = "## External Secrets Operator"
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true})
	p := h.Provider(t, "test")
	id := h.Consent(t, h.User, p, "ada").ID
	service := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-eso", Role: models.RoleService, Providers: []string{p.ID}})

	var manifests []map[string]any
	decoder := yaml.NewDecoder(strings.NewReader(block(t, heading, "yaml")))
	for {
		var one map[string]any
		if err := decoder.Decode(&one); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		manifests = append(manifests, one)
	}
	if len(manifests) != 2 {
		t.Fatalf("there are %d manifests", len(manifests))
	}
	at := func(v any, path ...any) any {
		for _, step := range path {
			switch step := step.(type) {
			case string:
				v = v.(map[string]any)[step]
			case int:
				v = v.([]any)[step]
			}
		}
		return v
	}
	remote := at(manifests[1], "spec", "data", 0, "remoteRef").(map[string]any)
	if !models.ValidID(fmt.Sprint(remote["key"])) {
		t.Errorf("the key is %v, want an id", remote["key"])
	}
	values := map[string]any{
		"remoteRef": map[string]string{"key": url.QueryEscape(id), "property": fmt.Sprint(remote["property"])},
		fmt.Sprint(at(manifests[0], "spec", "provider", "webhook", "secrets", 0, "name")): map[string]string{"token": service.Token.Reveal()},
	}
	rendered := func(text any) string {
		t.Helper()
		var out strings.Builder
		if err := template.Must(template.New("").Option("missingkey=error").Parse(fmt.Sprint(text))).Execute(&out, values); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	webhook := at(manifests[0], "spec", "provider", "webhook").(map[string]any)
	request, err := http.NewRequestWithContext(t.Context(), fmt.Sprint(webhook["method"]), strings.Replace(rendered(webhook["url"]), documented, h.URL, 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range webhook["headers"].(map[string]any) {
		request.Header.Set(name, rendered(value))
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var body map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil || answer.StatusCode != http.StatusCreated {
		t.Fatalf("grantd answers %s %v, %v", answer.Status, body, err)
	}
	field, ok := strings.CutPrefix(fmt.Sprint(at(webhook, "result", "jsonPath")), "$.")
	if token, _ := body[field].(string); !ok || len(token) < 10 {
		t.Errorf("the result is not at %s", field)
	}
}
