package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest/transit"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

// inVault is the settings of a keyset that a fake Vault seals.
func inVault(t *testing.T, vault *transit.Server) []string {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(vault.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"GRANTD_KEYSET_KEK=vault:transit/grantd", "GRANTD_KEYSET_CONTEXT=production", "GRANTD_VAULT_ADDR=" + vault.URL,
		"GRANTD_VAULT_NAMESPACE=" + vault.Namespace, "GRANTD_VAULT_TOKEN_FILE=" + token}
}

// A keyset in clear is sealed, rotated and written in clear again by commands, and everything in the database opens all the while.
func TestK3_AKeysetIsSealedRotatedAndUnsealedByCommands(t *testing.T) {
	t.Parallel()
	plain, file := founded(t)
	vault := transit.Start(t, false)
	sealed := append(append([]string{}, plain...), inVault(t, vault)...)
	mustFail(t, grantd(t, sealed, "token", "list"), exitFailure, "is in clear, although GRANTD_KEYSET_KEK is set; seal it with `grantd keys seal`")
	mustFail(t, grantd(t, plain, "keys", "seal"), exitUsage, "GRANTD_KEYSET_KEK: must name the key")
	mustFail(t, grantd(t, sealed, "keys", "unseal"), exitFailure, "is in clear already")
	mustFail(t, grantd(t, sealed, "keys", "seal", "--from", "vault:transit/other"), exitUsage, "the keyset is in clear")

	if o := mustRun(t, sealed, "keys", "seal"); !strings.Contains(o.err, "is sealed by vault:transit/grantd") || !strings.Contains(o.err, "Copies of it in clear still open everything") {
		t.Errorf("sealing says %q", o.err)
	}
	if !strings.Contains(read(t, file), `"sealedBy": "vault:transit/grantd"`) || mode(t, file) != 0o600 {
		t.Errorf("the file has mode %o:\n%s", mode(t, file), read(t, file))
	}
	mustRun(t, sealed, "token", "list")
	mustFail(t, grantd(t, plain, "token", "list"), exitFailure, `is sealed, by "vault:transit/grantd"; set GRANTD_KEYSET_KEK`)
	elsewhere := append(append([]string{}, sealed...), "GRANTD_KEYSET_CONTEXT=staging")
	mustFail(t, grantd(t, elsewhere, "token", "list"), exitFailure, "it answered 400")

	old := primaryOf(t, sealed)
	id := added(t, sealed)
	mustRun(t, sealed, "keys", "promote", id)
	mustRun(t, sealed, "keys", "reseal")
	mustRun(t, sealed, "keys", "remove", old)
	vault.Rotate()
	if o := mustRun(t, sealed, "keys", "seal"); strings.Contains(o.err, "in clear") {
		t.Errorf("sealing again says %q", o.err)
	}
	vault.Retire()
	wantListed(t, sealed, map[string]string{id: "primary 1"})

	if o := grantd(t, sealed, "doctor"); !strings.Contains(o.out, "ok    keyset: vault:transit/grantd opened it in ") || !strings.Contains(o.out, "ok    keyset: it opens what is sealed in the database") {
		t.Errorf("doctor says:\n%s", o.out)
	}
	vault.Forbid()
	if o := grantd(t, sealed, "doctor"); !strings.Contains(o.out, "WRONG keyset: GRANTD_KEYSET: vault:transit/grantd does not open ") || !strings.Contains(o.out, "it answered 403 (") {
		t.Errorf("doctor says:\n%s", o.out)
	}
	vault.Allow()
	if o := mustRun(t, sealed, "config"); strings.Contains(o.out, vault.Token) {
		t.Errorf("the token is printed:\n%s", o.out)
	}

	mustRun(t, sealed, "keys", "unseal")
	wantListed(t, plain, map[string]string{id: "primary 1"})
	mustRun(t, plain, "token", "list")
}

// A server makes its keyset sealed, and asks for it to be opened when it starts and never again.
func TestAServerAsksTheKMSWhenItStartsAlone(t *testing.T) {
	t.Parallel()
	vault := transit.Start(t, false)
	data := t.TempDir()
	file := filepath.Join(data, "keyset.json")
	in := embedded(t, func(c *Config) {
		c.Data, c.DatabaseURL, c.Keyset = data, "sqlite:"+filepath.Join(data, "grantd.db"), file
		c.KeysetKEK, c.KeysetContext, c.VaultAddr, c.VaultNamespace = "vault:transit/grantd", "production", vault.URL, vault.Namespace
		c.VaultToken = models.Secret(vault.Token)
	})
	vars := append(inVault(t, vault), "GRANTD_DATA="+data)
	var made struct{ Token string }
	parse(t, mustRun(t, vars, "token", "create", "--org", "acme", "--user", "ada", "--role", "admin", "--json").out, &made)
	if !strings.Contains(read(t, file), "grantdSealedKeyset") {
		t.Error("the keyset is in clear")
	}
	before := vault.Calls()
	admin := client.New(in.url, models.Secret(made.Token), nil)
	if _, err := admin.CreateProvider(t.Context(), models.ProviderInput{Name: "Code", Type: "github", ClientID: "client", ClientSecret: "sealed by the keyset"}); err != nil {
		t.Fatal(err)
	}
	if n := vault.Calls(); n != before {
		t.Errorf("sealing a secret asked the KMS %d times", n-before)
	}
}

// A token that was renewed in its file is used at once, by a process that runs.
func TestTheTokenForVaultIsReadForEachRequest(t *testing.T) {
	t.Parallel()
	vault := transit.Start(t, false)
	file := filepath.Join(t.TempDir(), "token")
	key, err := (&Config{keysetSettings: keysetSettings{VaultAddr: vault.URL, VaultNamespace: vault.Namespace, VaultTokenFile: file}}).kek("vault:transit/grantd")
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]string{"hvs.expired\n": "it answered 403", vault.Token + "\n": "", "": "does not hold a token alone"} {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := key.Encrypt(t.Context(), "production", []byte("a data key"))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("err = %v, want %q", err, want)
		}
	}
}

func TestAKEKThatCannotBeUsedIsNamed(t *testing.T) {
	t.Parallel()
	for kek, want := range map[string]string{
		"aws:key":                 "GRANTD_KEYSET_KEK: must be vault:MOUNT/NAME or exec:PROGRAM",
		"exec:grantd-kms-aws":     "GRANTD_KEYSET_KEK: exec: must be followed by the absolute path",
		"vault:transit/grantd":    "GRANTD_KEYSET_KEK: vault: needs GRANTD_VAULT_ADDR",
		"vault:grantd":            "the key must be MOUNT/NAME",
		"vault:transit/grantd ":   "the key must be MOUNT/NAME",
		"vault:teams/kms/transit": "GRANTD_VAULT_TOKEN or GRANTD_VAULT_TOKEN_FILE",
	} {
		vars := []string{"GRANTD_DATA=" + t.TempDir(), "GRANTD_KEYSET_KEK=" + kek}
		if kek != "vault:transit/grantd" {
			vars = append(vars, "GRANTD_VAULT_ADDR=https://vault.example.com")
		}
		if !strings.HasPrefix(kek, "vault:teams") {
			vars = append(vars, "GRANTD_VAULT_TOKEN=x")
		}
		mustFail(t, grantd(t, vars, "keys", "init"), exitUsage, want)
	}
	mustFail(t, grantd(t, []string{"GRANTD_DATA=" + t.TempDir(), "GRANTD_KEYSET_CONTEXT=two words"}, "keys", "init"), exitUsage, "GRANTD_KEYSET_CONTEXT: must be 1 to 128")
}
