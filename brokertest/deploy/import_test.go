package deploy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/models"
)

func TestMain(m *testing.M) { brokertest.Main(m) }

// moved is where people's tokens are brought to: two providers of one client, and a service that may import for them.
type moved struct {
	*testing.T
	*brokertest.Instance
	service brokertest.Person
	secrets []string // that no script may print, except from one to the next
}

func newMoved(t *testing.T) *moved {
	for _, name := range []string{"bash", "curl", "jq"} {
		program(t, name, name)
	}
	m := &moved{T: t, Instance: brokertest.New(t, nil)}
	var ids []string
	for slug, in := range map[string]models.ProviderInput{
		"standard": {Type: "test"},
		"github":   {Type: "github", Metadata: models.ProviderMetadataInput{Host: m.IdPURL}},
	} {
		in.Name, in.Slug, in.ClientID, in.ClientSecret = slug, slug, brokertest.ClientID, brokertest.ClientSecret
		p, err := m.Admin.Client.CreateProvider(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, p.ID)
	}
	m.service = m.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-web", Role: models.RoleService, Providers: ids})
	m.secrets = append(m.secrets, m.service.Token.Reveal())
	return m
}

func (m *moved) refreshToken(account string) string {
	_, refresh := m.IdP.Mint(brokertest.ClientID, account)
	m.secrets = append(m.secrets, refresh)
	return refresh
}

func (m *moved) accessToken(account string) string {
	access := m.IdP.MintAccess(brokertest.ClientID, account)
	m.secrets = append(m.secrets, access)
	return access
}

// run runs a script of deploy/import.
func (m *moved) run(script, input string, env ...string) (out, complaint string, err error) {
	m.Helper()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(m.Context(), "bash", filepath.Join(root, "deploy", "import", script))
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

// imports has import.sh read lines, and compares what it prints, without the ids.
func (m *moved) imports(lines string, want ...string) {
	m.Helper()
	out, complaint, err := m.run("import.sh", lines, "GRANTD_URL="+m.URL, "GRANTD_TOKEN="+m.service.Token.Reveal())
	var got []string
	for line := range strings.Lines(out) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if fields[0] == "ok" {
			c := m.service.Client.For(fields[1])
			if token, err := c.Token(m.Context(), fields[3]); err != nil || token.AccessToken == "" {
				m.Errorf("the token of %s at %s is not served: %v", fields[1], fields[2], err)
			}
			fields = fields[:3]
		}
		got = append(got, strings.Join(fields, " "))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") || complaint != "" {
		m.Errorf("import.sh printed\n%s\n%s\nwant\n%s", strings.Join(got, "\n"), complaint, strings.Join(want, "\n"))
	}
	if failed := strings.Contains(out, "failed\t"); failed != (err != nil) {
		m.Errorf("import.sh ended with %v", err)
	}
	for _, secret := range m.secrets {
		if strings.Contains(out+complaint, secret) {
			m.Errorf("import.sh printed a token")
		}
	}
}

func TestImportsAreToldOneByOne(t *testing.T) {
	t.Parallel()
	m := newMoved(t)
	good := fmt.Sprintf(`{"user":"ada","provider":"standard","refreshToken":%q}`, m.refreshToken("ada@example.com"))
	lines := strings.Join([]string{good,
		`{"user":"grace","provider":"elsewhere","refreshToken":"x"}`,
		`{"user":"grace","provider":"standard","refreshToken":"never issued"}`,
		fmt.Sprintf(`{"user":"grace b","provider":"github","accessToken":%q}`, m.accessToken("grace")),
		fmt.Sprintf(`{"user":"linus","provider":"github","accessToken":%q}`, m.accessToken("linus")),
	}, "\n")
	m.imports(lines, "ok ada standard",
		"failed grace elsewhere grantd has no such provider, or the API token is not for it",
		"failed grace standard The provider does not accept the token for this client: it is wrong, expired, revoked, was used before or belongs to another client. Nothing was stored. invalid_grant (400)",
		"failed grace b github userId: must be a user, as your organisation names its users (422)",
		"ok linus github")
	m.imports(good, "ok ada standard") // again, and nothing is spent twice
	if s := m.IdP.Stats(); s.RefreshReused != 0 {
		t.Errorf("%d refresh tokens were spent twice", s.RefreshReused)
	}
}

// Nango answers like this, by its documentation of GET /connections and GET /connections/{connectionId}.
func TestConnectionsOfNangoAreImported(t *testing.T) {
	t.Parallel()
	m := newMoved(t)
	credentials := map[string]string{
		"c 1": fmt.Sprintf(`{"type":"OAUTH2","access_token":"old","refresh_token":%q,"expires_at":"2026-01-02T03:04:05.678Z","raw":{"scope":"repo"}}`, m.refreshToken("ada")),
		"c2":  fmt.Sprintf(`{"type":"OAUTH2","access_token":%q,"raw":{}}`, m.accessToken("grace")),
		"c3":  `{"type":"API_KEY","apiKey":"k"}`,
	}
	nango := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		id, one := strings.CutPrefix(r.URL.Path, "/connections/")
		key := map[string]string{"c 1": "standard", "c2": "github", "c3": "github"}
		switch {
		case r.Header.Get("Authorization") != "Bearer nango-key":
			w.WriteHeader(http.StatusUnauthorized)
		case one && q.Get("refresh_token") == "true" && q.Get("provider_config_key") == key[id]:
			user := ""
			if id == "c 1" {
				user = `,"end_user":{"id":"ada","email":null,"display_name":null,"organization":null}`
			}
			fmt.Fprintf(w, `{"id":7,"connection_id":%q,"provider_config_key":%q,"provider":"x","errors":[],"metadata":{},"connection_config":{},"credentials":%s%s}`, id, key[id], credentials[id], user)
		case !one && q.Get("page") == "0":
			fmt.Fprint(w, `{"connections":[{"id":1,"connection_id":"c 1","provider_config_key":"standard","provider":"x"},{"id":2,"connection_id":"c2","provider_config_key":"github","provider":"github"}]}`)
		case !one && q.Get("page") == "1":
			fmt.Fprint(w, `{"connections":[{"id":3,"connection_id":"c3","provider_config_key":"github","provider":"github"}]}`)
		case !one:
			fmt.Fprint(w, `{"connections":[]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer nango.Close()
	out, complaint, err := m.run("from-nango.sh", "", "NANGO_URL="+nango.URL, "NANGO_KEY=nango-key")
	if err != nil {
		t.Fatalf("%v\n%s", err, complaint)
	}
	m.imports(out, "ok ada standard", "ok c2 github")
}

// The tables are those of Coder's schema, less the columns that nobody asks for.
func TestLinksOfCoderAreImported(t *testing.T) {
	t.Parallel()
	program(t, "psql", "postgresql-client")
	m := newMoved(t)
	at := services.Database(t)
	db := brokertest.SQL(t, at)
	for _, statement := range []string{
		`CREATE TABLE users (id uuid PRIMARY KEY, username text NOT NULL, deleted boolean NOT NULL DEFAULT false)`,
		`CREATE TABLE external_auth_links (provider_id text NOT NULL, user_id uuid NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
			oauth_access_token text NOT NULL, oauth_refresh_token text NOT NULL, oauth_expiry timestamptz NOT NULL, oauth_access_token_key_id text, oauth_refresh_token_key_id text, oauth_extra jsonb)`,
		`INSERT INTO users VALUES ('00000000-0000-0000-0000-000000000001', 'ada', false), ('00000000-0000-0000-0000-000000000002', 'grace', false), ('00000000-0000-0000-0000-000000000003', 'gone', true)`,
		fmt.Sprintf(`INSERT INTO external_auth_links (provider_id, user_id, oauth_access_token, oauth_refresh_token, oauth_expiry) VALUES
			('standard', '00000000-0000-0000-0000-000000000001', 'old', '%s', now()), ('github', '00000000-0000-0000-0000-000000000002', '%s', '', '0001-01-01 00:00:00+00'),
			('github', '00000000-0000-0000-0000-000000000003', 'of nobody', '', '0001-01-01 00:00:00+00')`, m.refreshToken("ada"), m.accessToken("grace")),
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	env := []string{"PGHOST=" + u.Hostname(), "PGPORT=" + u.Port(), "PGUSER=" + u.User.Username(), "PGPASSWORD=" + password, "PGDATABASE=" + strings.TrimPrefix(u.Path, "/")}
	if host := u.Query().Get("host"); host != "" {
		env = append(env, "PGHOST="+host)
	}
	out, complaint, err := m.run("from-coder.sh", "", env...)
	if err != nil {
		t.Fatalf("%v\n%s", err, complaint)
	}
	m.imports(out, "ok grace github", "ok ada standard")

	if _, err := db.Exec(`UPDATE external_auth_links SET oauth_access_token_key_id = 'k'`); err != nil {
		t.Fatal(err)
	}
	if _, complaint, err := m.run("from-coder.sh", "", env...); err == nil || !strings.Contains(complaint, "dbcrypt decrypt") {
		t.Errorf("links that are encrypted: %v %s", err, complaint)
	}
}

// The plugin answers like this, by its documentation of creds/:name.
func TestCredentialsOfVaultAreImported(t *testing.T) {
	t.Parallel()
	m := newMoved(t)
	access := m.accessToken("ada")
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Token") != "vault-token" || r.URL.Path != "/v1/oauth2/creds/ada-on-github" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, `{"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,"data":{"access_token":%q,"expire_time":%q,"server":"github","type":"Bearer"}}`,
			access, time.Now().UTC().Add(time.Hour).Format(time.RFC3339Nano))
	}))
	defer vault.Close()
	out, complaint, err := m.run("from-vault.sh", "ada-on-github ada github\nunknown grace github\n", "VAULT_ADDR="+vault.URL, "VAULT_TOKEN=vault-token")
	if err != nil || !strings.Contains(complaint, "reading unknown failed") {
		t.Fatalf("%v\n%s", err, complaint)
	}
	m.imports(out, "ok ada github")
}
