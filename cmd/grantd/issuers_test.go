package main

import (
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/grantd/grantd/brokertest"
)

type fields = map[string]any

// goodEntry is an entry that is taken, with changes; a field that is changed to nil is left out.
func goodEntry(changes fields) fields {
	e := fields{"name": "ci", "issuer": "https://ci.example.com", "jwksUrl": "https://ci.example.com/keys", "audience": "https://grantd.example.com",
		"organisation": "acme", "role": "service", "providers": []string{"github"}, "rules": []fields{{"claim": "sub", "prefix": "repo:acme/"}}}
	maps.Copy(e, changes)
	maps.DeleteFunc(e, func(_ string, v any) bool { return v == nil })
	return e
}

func writeIssuers(t *testing.T, path string, entries ...fields) {
	t.Helper()
	raw, err := json.Marshal(fields{"issuers": entries})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Entries that let the wrong bearers in, or leave open who they are, are refused, each by its name and field.
func TestA5_EntriesOfIssuersThatAreNotSafeAreRefused(t *testing.T) {
	t.Parallel()
	rule := func(members ...string) []fields {
		r := fields{}
		for i := 0; i < len(members); i += 2 {
			r[members[i]] = members[i+1]
		}
		return []fields{r}
	}
	for _, c := range []struct {
		says    string
		changes fields
	}{
		{"name: must be 1 to 32", fields{"name": nil}},
		{"name: must be 1 to 32", fields{"name": "C:I"}},
		{"issuer: must be the issuer's own https URL", fields{"issuer": "ci.example.com"}},
		{"issuer: must be the issuer's own https URL", fields{"issuer": "https://login.example.com/{tenantid}/v2.0"}},
		{"issuer: must use https", fields{"issuer": "http://ci.example.com", "jwksUrl": nil, "discovery": true}},
		{"issuer: stands for many tenants", fields{"issuer": "https://login.microsoftonline.com/common/v2.0"}},
		{"exactly one of them must say where the keys are", fields{"jwksUrl": nil}},
		{"exactly one of them must say where the keys are", fields{"discovery": true}},
		{"jwksFile: the file cannot be read: no such file", fields{"jwksUrl": nil, "jwksFile": "/nowhere/at/all"}},
		{"caFile: the file cannot be read: no such file", fields{"caFile": "/nowhere/at/all"}},
		{"tokenFile: the file cannot be read: no such file", fields{"tokenFile": "/nowhere/at/all"}},
		{`algorithms: "HS256" is not one of`, fields{"algorithms": []string{"HS256"}}},
		{`algorithms: "none" is not one of`, fields{"algorithms": []string{"RS256", "none"}}},
		{"algorithms: must not be empty", fields{"algorithms": []string{}}},
		{"audience: must be what", fields{"audience": nil}},
		{"organisation: must be", fields{"organisation": "a:b"}},
		{"user: the claim email does not identify anybody", fields{"user": "email"}},
		{"user: the claim preferred_username does not", fields{"user": "{sub}:{preferred_username}"}},
		{"user: must be a claim such as sub, or a template", fields{"user": "{a}{b}"}},
		{"user: must be a claim such as sub, or a template", fields{"user": "{a}-{b}"}},
		{"user: must be a claim such as sub, or a template", fields{"user": "{a"}},
		{`users: "mine" is not one of`, fields{"users": "mine"}},
		{"users: has no effect on a service", fields{"users": "shared"}},
		{"role: must be user or service: nobody is an admin", fields{"role": "admin"}},
		{"role: must be user or service", fields{"role": "owner"}},
		{"providers: must name the providers", fields{"providers": nil}},
		{"rules: at least one", fields{"rules": nil}},
		{"rules[0]: must have claim, and either equals or prefix", fields{"rules": rule("claim", "sub")}},
		{"rules[0]: must have claim, and either equals or prefix", fields{"rules": rule("claim", "sub", "equals", "a", "prefix", "b/")}},
		{"rules[0]: the claim aud does not tell", fields{"rules": rule("claim", "aud", "equals", "x")}},
		{`rules[0]: a prefix must end in / or :`, fields{"rules": rule("claim", "sub", "prefix", "repo:acme")}},
		{"rules: the issuer serves many customers, so one rule must fix the customer by an id that never changes: equals for repository_owner_id", fields{"issuer": "https://token.actions.githubusercontent.com"}},
		{"equals for namespace_id or project_id", fields{"issuer": "https://gitlab.com", "rules": rule("claim", "namespace_path", "equals", "acme")}},
		{"equals for namespace_id or project_id", fields{"issuer": "https://gitlab.com/", "rules": rule("claim", "namespace_id", "prefix", "12/")}},
		{"equals for sub", fields{"issuer": "https://appleid.apple.com", "rules": rule("claim", "email", "equals", "x")}},
		{"equals for oidc.circleci.com/org-id", fields{"issuer": "https://oidc.circleci.com/org/123"}},
		{`maxAge: "1y1d" is not a duration`, fields{"maxAge": "1y1d"}},
		{"maxAge: must be between 1m and 30d", fields{"maxAge": "60d"}},
		{`unknown field "audiences"`, fields{"audiences": "x"}},
	} {
		file := filepath.Join(t.TempDir(), "issuers.json")
		writeIssuers(t, file, goodEntry(c.changes))
		o := grantd(t, []string{"GRANTD_ISSUERS=" + file}, "config")
		mustFail(t, o, exitUsage, "GRANTD_ISSUERS: entry ")
		if !strings.Contains(o.err, c.says) {
			t.Errorf("%v: want %q\n%s", c.changes, c.says, o.err)
		}
	}
	file := filepath.Join(t.TempDir(), "issuers.json")
	writeIssuers(t, file, goodEntry(nil), goodEntry(nil))
	mustFail(t, grantd(t, []string{"GRANTD_ISSUERS=" + file}, "config"), exitUsage, "GRANTD_ISSUERS: entry ci: name: is the name of another entry too")
	for _, content := range []string{"", "[]", `{"issuers":{}}`, `{"issuer":[]}`, `{"issuers":[]} x`} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		mustFail(t, grantd(t, []string{"GRANTD_ISSUERS=" + file}, "config"), exitUsage, "GRANTD_ISSUERS: the file must be JSON")
	}
	mustFail(t, grantd(t, []string{"GRANTD_ISSUERS=/nowhere/at/all"}, "config"), exitUsage, "GRANTD_ISSUERS: the file cannot be read: no such file")
}

func TestEntriesOfIssuersAreTaken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "issuers.json")
	writeIssuers(t, file, goodEntry(nil),
		goodEntry(fields{"name": "github", "issuer": "https://token.actions.githubusercontent.com", "jwksUrl": nil, "discovery": true, "algorithms": []string{"RS256"},
			"rules": []fields{{"claim": "repository_owner_id", "equals": "123"}, {"claim": "sub", "prefix": "repo:acme/app:"}}}),
		goodEntry(fields{"name": "corp", "role": nil, "providers": nil, "users": "shared", "user": "employee_number", "maxAge": "1h", "sharedAudience": true}),
		goodEntry(fields{"name": "pods", "issuer": "http://cluster.local", "user": "{namespace}:{account}"}))
	mustRun(t, []string{"GRANTD_ISSUERS=" + file}, "config")
}

// The list is read again at SIGHUP: one that is wrong changes nothing, and is told.
func TestTheListOfIssuersIsReadAgainAtAHangup(t *testing.T) {
	issuer := brokertest.NewIssuer(t)
	file, log := filepath.Join(t.TempDir(), "issuers.json"), &brokertest.LogBuffer{}
	entry := func(group string) fields {
		return goodEntry(fields{"name": "corp", "issuer": issuer.URL, "jwksUrl": nil, "discovery": true, "audience": brokertest.Audience, "role": "user", "providers": nil,
			"users": "shared", "rules": []fields{{"claim": "groups", "equals": group}}})
	}
	writeIssuers(t, file, entry("people"))
	cfg := (&Config{LogLevel: "error", LogFormat: "text"}).embedded(t.TempDir(), "")
	cfg.Issuers, cfg.UpstreamAllow = file, []string{issuer.Host()}
	in, err := start(t.Context(), cfg, roles{api: true, worker: true}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := in.stop(); err != nil {
			t.Error(err)
		}
	}()
	token := issuer.Bearer(t, "ada", fields{"groups": "people"})
	accepted := func() bool {
		_, err := in.service.Authenticate(t.Context(), token)
		return err == nil
	}
	if !accepted() {
		t.Fatal("a token that fits is not accepted")
	}
	hangUp := func(says string) {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		brokertest.Eventually(t, says, func() bool { return strings.Contains(log.String(), says) })
	}
	writeIssuers(t, file, entry(""))
	hangUp("entry corp: rules[0]: must have claim")
	if !accepted() {
		t.Error("a list that is wrong was put in force")
	}
	writeIssuers(t, file, entry("admins"))
	hangUp("was read again")
	if accepted() {
		t.Error("the list was not read again")
	}
	if !strings.Contains(log.String(), "users is shared") {
		t.Error("nobody is warned of shared users")
	}
}
