package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/commands"
	"github.com/grantd/grantd/models"
)

const providersYAML = `name: production
providers:
  - slug: code
    name: Code
    type: test
    clientId: "grantd+tests%client"
    clientSecret: {env: CODE_SECRET}
    scopes: [repo, user]
    config: {pkce: true, callsPerHour: 500}
  - slug: other
    name: Other
    type: test
    clientId: "grantd+tests%client"
    clientSecret: {file: SECRETFILE}
`

// applier is the shell of an admin, with a file of providers.
type applier struct {
	*shell
	file, secret string
}

func newApplier(t *testing.T, h *brokertest.Instance) applier {
	a := applier{signedIn(t, h, h.Admin), filepath.Join(t.TempDir(), "providers.yaml"), filepath.Join(t.TempDir(), "secret")}
	a.vars = append(a.vars, "CODE_SECRET="+brokertest.ClientSecret)
	if err := os.WriteFile(a.secret, []byte(brokertest.ClientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a applier) write(text string) {
	a.t.Helper()
	if err := os.WriteFile(a.file, []byte(strings.ReplaceAll(text, "SECRETFILE", a.secret)), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// apply applies the file, and returns what became of each provider.
func (a applier) apply(args ...string) string {
	a.t.Helper()
	var plan []struct {
		Slug, Action string
		Fields       []struct{ Name string }
	}
	out := a.must(append([]string{"providers", "apply", "-f", a.file, "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		a.t.Fatalf("%v: %s", err, out)
	}
	if strings.Contains(out, brokertest.ClientSecret) {
		a.t.Error("the output has a client secret")
	}
	var all []string
	for _, p := range plan {
		words := []string{p.Action, p.Slug}
		if p.Action == "change" {
			for _, f := range p.Fields {
				words = append(words, f.Name)
			}
		}
		all = append(all, strings.Join(words, " "))
	}
	return strings.Join(all, "; ")
}

func providersBySlug(t *testing.T, h *brokertest.Instance) map[string]models.Provider {
	t.Helper()
	all := map[string]models.Provider{}
	for p, err := range h.Admin.Client.Providers(t.Context(), client.ProviderQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		all[p.Slug] = p
	}
	return all
}

func TestAFileOfProvidersIsApplied(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, nil)
	a := newApplier(t, h)
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	a.write(providersYAML)
	want("a dry run", a.apply("--dry-run"), "create code; create other")
	if n := len(providersBySlug(t, h)); n != 0 {
		t.Errorf("a dry run made %d providers", n)
	}
	want("the first time", a.apply(), "create code; create other")
	made := providersBySlug(t, h)
	if p := made["code"]; p.ManagedBy != "production" || fmt.Sprint(p.Scopes) != "[repo user]" || fmt.Sprint(p.Config) != "map[callsPerHour:500 pkce:true]" {
		t.Errorf("made %+v", p)
	}
	h.Consent(t, h.User, made["code"], "ada") // the secrets are the right ones
	h.Consent(t, h.User, made["other"], "ada")

	want("again", a.apply(), "keep code; keep other")
	if after := providersBySlug(t, h)["code"]; after.UpdatedAt != made["code"].UpdatedAt {
		t.Error("applying the same again wrote something")
	}
	a.write(strings.NewReplacer("name: Code", "name: Code review", ", user]", "]", ", callsPerHour: 500", "", "name: Other\n", "name: Other\n    status: inactive\n").Replace(providersYAML))
	want("changed, a dry run", a.apply("--dry-run"), "change code name scopes config; change other status")
	want("changed", a.apply(), "change code name scopes config; change other status")
	want("changed, again", a.apply(), "keep code; keep other")
	if p := providersBySlug(t, h)["code"]; p.Name != "Code review" || fmt.Sprint(p.Scopes) != "[repo]" || fmt.Sprint(p.Config) != "map[pkce:true]" {
		t.Errorf("changed to %+v", p)
	}
	if err := os.WriteFile(a.secret, []byte("another-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("another secret", a.apply(), "keep code; change other clientSecret")
	want("another secret, again", a.apply(), "keep code; keep other")
	if err := os.Remove(a.secret); err != nil {
		t.Fatal(err)
	}
	want("a dry run without the secrets", a.apply("--dry-run"), "keep code; keep other")
}

func TestAFileOfProvidersThatIsWrongChangesNothing(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, nil)
	a := newApplier(t, h)
	a.write(providersYAML)
	a.apply()
	before := providersBySlug(t, h)
	for what, c := range map[string]struct{ old, new, says string }{
		"another type":       {"type: test\n    clientId: \"grantd+tests%client\"\n    clientSecret: {env", "type: github\n    clientId: \"grantd+tests%client\"\n    clientSecret: {env", `code: type is "test" and cannot become "github"`},
		"another client":     {"grantd+tests%client", "another", "clientId is"},
		"another host":       {"name: Code\n", "name: Code\n    metadata: {host: git.example.com}\n", "metadata.host is"},
		"another file":       {"name: production", "name: staging", "belongs to the file with name: production"},
		"a secret in it":     {"{env: CODE_SECRET}", "hunter2-in-the-file", "clientSecret must be {env: NAME} or {file: PATH}"},
		"a secret elsewhere": {"config: {pkce: true, callsPerHour: 500}", "config: hunter2-in-the-file", "cannot unmarshal"},
		"an unknown field":   {"scopes:", "scops:", "field scops not found"},
		"twice the same":     {"slug: other", "slug: code", "code is in the file twice"},
		"no name":            {"    name: Other\n", "", "other: name is required"},
		"no slug":            {"slug: other", "slug: No Slug", "providers[1].slug"},
		"two documents":      {"name: production", "name: production\n---\nname: x", "one YAML document"},
	} {
		a.write(strings.Replace(providersYAML, c.old, c.new, 1))
		o := a.run("providers", "apply", "-f", a.file)
		if o.code != exitUsage || !strings.Contains(o.err, c.says) || strings.Contains(o.err, "hunter2") {
			t.Errorf("%s: exit code %d, %s", what, o.code, o.err)
		}
	}
	a.write(providersYAML + "  - {slug: third, name: Third, type: test, clientId: x, clientSecret: {env: ABSENT}}\n")
	mustFail(t, a.run("providers", "apply", "-f", a.file), exitUsage, "third: $ABSENT: the secret is empty")
	for slug, p := range providersBySlug(t, h) {
		if p.UpdatedAt != before[slug].UpdatedAt {
			t.Errorf("%s was changed", slug)
		}
	}
}

func TestPruningDeletesOnlyWhatTheFileMade(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, nil)
	a := newApplier(t, h)
	h.Provider(t, "test") // by hand
	a.write(strings.Replace(providersYAML, "production", "staging", 1))
	a.apply()
	a.write("name: production\nproviders:\n  - {slug: mine, name: Mine, type: test, clientId: x, clientSecret: {env: CODE_SECRET}}\n  - {slug: kept, name: Kept, type: test, clientId: x, clientSecret: {env: CODE_SECRET}}\n")
	a.apply()
	a.write("name: production\nproviders:\n  - {slug: kept, name: Kept, type: test, clientId: x, clientSecret: {env: CODE_SECRET}}\n")
	if got := a.apply(); got != "keep kept" {
		t.Errorf("without --prune: %s", got)
	}
	if got := a.apply("--prune", "--dry-run"); got != "keep kept; delete mine" {
		t.Errorf("a dry run: %s", got)
	}
	mustFail(t, a.run("providers", "apply", "-f", a.file, "--prune"), exitUsage, "--yes")
	mustFail(t, a.run("providers", "apply", "-f", a.file, "--prune", "--yes"), exitUsage, "mine (0 connections)")
	if got := a.apply("--prune", "--yes", "--max-connections", "0"); got != "keep kept; delete mine" {
		t.Errorf("pruning: %s", got)
	}
	brokertest.Eventually(t, "mine is deleted, and nothing else", func() bool {
		all := providersBySlug(t, h)
		_, there := all["mine"]
		return !there && len(all) == 4
	})

	a.write("name: staging\nproviders: []\n")
	if o := a.run("providers", "apply", "-f", a.file, "--prune", "--yes", "--max-connections", "100"); o.code != exitOK || !strings.Contains(o.err, "nothing is pruned") {
		t.Errorf("an empty file: %d %s", o.code, o.err)
	}
	// Somebody's connection is at stake.
	h.Consent(t, h.User, providersBySlug(t, h)["code"], "ada")
	a.write(strings.Split(strings.Replace(providersYAML, "production", "staging", 1), "  - slug: code")[0] + "  - slug: other" + strings.Split(providersYAML, "  - slug: other")[1])
	mustFail(t, a.run("providers", "apply", "-f", a.file, "--prune", "--yes", "--max-connections", "0"), exitUsage, "more connections than the 0")
	a.write("providers: [{slug: x, name: X, type: test, clientId: x, clientSecret: {env: CODE_SECRET}}]\n")
	mustFail(t, a.run("providers", "apply", "-f", a.file, "--prune"), exitUsage, "--prune needs a name")
	mustFail(t, signedIn(t, h, h.User).run("providers", "apply", "-f", filepath.Join(t.TempDir(), "absent")), exitUsage, "no such file")
	user := signedIn(t, h, h.User)
	user.vars = append(user.vars, "CODE_SECRET=x")
	mustFail(t, user.run("providers", "apply", "-f", a.file), commands.ExitSignedOut, "403")
}
