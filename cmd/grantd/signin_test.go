package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Settings that let the wrong people in, or leave open who they are, are refused, each by its name.
func TestA5_SettingsOfTheSignInThatAreNotSafeAreRefused(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := map[string]string{"ISSUER": "https://sso.example.com", "NAME": "corp", "CLIENT_ID": "grantd", "CLIENT_SECRET": "hunter2", "ORG": "acme"}
	for _, c := range []struct{ names, change, says string }{
		{"ISSUER", "ISSUER=sso.example.com", "https URL"}, {"ISSUER", "ISSUER=http://sso.example.com", "GRANTD_UPSTREAM_ALLOW"},
		{"ISSUER", "ISSUER=https://u:hunter2@sso.example.com", "https URL"}, {"ISSUER", "ISSUER=https://sso.example.com/{tenantid}/v2.0", "https URL"},
		{"ISSUER", "ISSUER=https://login.microsoftonline.com/common/v2.0", "tenant"}, {"ISSUER", "ISSUER=https://login.microsoftonline.com/organizations/v2.0 REQUIRE=tid=x", "tenant"},
		{"ISSUER", "ISSUER=https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", "tenant"},
		{"ISSUER", "ISSUER=https://accounts.google.com", "hd="}, {"ISSUER", "ISSUER=https://gitlab.com/", "GRANTD_SIGNIN_REQUIRE"},
		{"NAME", "NAME=", "a-z"}, {"NAME", "NAME=Corp", "a-z"}, {"NAME", "NAME=a:b", "a-z"},
		{"CLIENT_ID", "CLIENT_ID=", "client"}, {"CLIENT_SECRET", "CLIENT_SECRET_FILE=" + empty, "one of them"},
		{"CLIENT_SECRET", "CLIENT_SECRET= CLIENT_SECRET_FILE=" + empty, "empty"}, {"CLIENT_SECRET", "CLIENT_SECRET= CLIENT_SECRET_FILE=/nowhere/at/all", "no such file"},
		{"ORG", "ORG=", "organisation"}, {"ORG", "ORG=a:b", "organisation"}, {"ORG", "ORG=claim:", "claim"}, {"ORGS", "ORG=claim:org", "must list"},
		{"ORG", "ORG=claim:email ORGS=acme", "does not identify"}, {"ORG", "ORG=claim:name ORGS=acme", "does not identify"}, {"ORGS", "ORGS=acme", "no effect"}, {"ORGS", "ORG=claim:org ORGS=a/b", "organisation"},
		{"USER_CLAIM", "USER_CLAIM=email", "does not identify"}, {"USER_CLAIM", "USER_CLAIM=preferred_username", "does not identify"}, {"USER_CLAIM", "USER_CLAIM=upn", "does not identify"},
		{"USERS", "USERS=mine", "shared"}, {"ADMIN_IF", "ADMIN_IF=groups", "claim=value"}, {"ADMIN_IF", "ADMIN_IF=email=boss@example.com", "does not identify"},
		{"ADMIN_IF", "ADMIN_IF=upn=boss", "does not identify"}, {"REQUIRE", "REQUIRE=tid", "claim=value"}, {"SCOPES", "SCOPES=open\"id", "scope"},
		{"NAME", "ISSUER=", "no effect"}, {"ADMIN_IF", "ISSUER= ADMIN_IF=groups=x", "no effect"},
	} {
		t.Run(c.change, func(t *testing.T) {
			t.Parallel()
			changed := map[string]string{}
			for name, value := range good {
				changed[name] = value
			}
			for _, change := range strings.Fields(c.change) {
				name, value, _ := strings.Cut(change, "=")
				changed[name] = value
			}
			var vars []string
			for name, value := range changed {
				vars = append(vars, "GRANTD_SIGNIN_"+name+"="+value)
			}
			o := grantd(t, vars, "config")
			mustFail(t, o, exitUsage, "GRANTD_SIGNIN_"+c.names+": ")
			if !strings.Contains(o.err, c.says) || strings.Contains(o.out+o.err, "hunter2") {
				t.Errorf("%s\n%s", o.out, o.err)
			}
		})
	}
}

func TestSettingsOfTheSignInAreTaken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, settings := range []string{
		"ISSUER=https://sso.example.com/realms/x NAME=corp-1 CLIENT_ID=grantd ORG=acme",
		"ISSUER=https://accounts.google.com NAME=google CLIENT_ID=x CLIENT_SECRET_FILE=" + file + " ORG=acme REQUIRE=hd=example.com USER_CLAIM=sub",
		"ISSUER=https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0 NAME=entra CLIENT_ID=x CLIENT_SECRET=hunter2 ORG=claim:roles ORGS=acme,globex USER_CLAIM=oid ADMIN_IF=groups=abc USERS=shared SCOPES=openid,profile,groups",
	} {
		vars := []string{"GRANTD_SESSION_IDLE=2h", "GRANTD_SESSION_LIFE_ADMIN=1d"}
		for _, setting := range strings.Fields(settings) {
			vars = append(vars, "GRANTD_SIGNIN_"+setting)
		}
		if o := mustRun(t, vars, "config"); strings.Contains(o.out+o.err, "hunter2") {
			t.Errorf("the secret is shown: %s", o.out)
		}
	}
	mustFail(t, grantd(t, []string{"GRANTD_SESSION_IDLE=1s"}, "config"), exitUsage, "GRANTD_SESSION_IDLE: ")
}

func TestSessionsAreListedAndEnded(t *testing.T) {
	t.Parallel()
	vars, _ := prepared(t)
	if o := mustRun(t, vars, "sessions", "list", "--json"); strings.TrimSpace(o.out) != "[]" {
		t.Errorf("%s", o.out)
	}
	if o := mustRun(t, vars, "sessions", "list"); !strings.HasPrefix(o.out, "ORG") {
		t.Errorf("%s", o.out)
	}
	if o := mustRun(t, vars, "sessions", "end", "--user", "corp:ada"); !strings.Contains(o.err, "Ended 0 sessions of corp:ada.") {
		t.Errorf("%s", o.err)
	}
	mustFail(t, grantd(t, vars, "sessions", "end"), exitUsage, "--user")
}
