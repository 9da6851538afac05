package upgrade_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/testidp"
)

// address is where the fixtures' authorization server was: their rows and seals name
// it. It is of the loopback network, and nobody else's.
const address = "127.83.19.7:21973"

func TestMain(m *testing.M) { brokertest.Main(m) }

var ctx = context.Background()

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// K1, D1, A4: a filled database of the release before is upgraded. Every token is
// served, before and after its row has keys of the second version; what waited to be
// revoked is settled; and nothing of it remains valid upstream in the end.
func TestD1_ADatabaseOfTheReleaseBeforeIsUpgraded(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8")
	}
	for _, b := range []brokertest.Backend{brokertest.Embedded, brokertest.Servers} { // one after the other: they share the address
		t.Run(string(b), func(t *testing.T) { upgrade(t, b) })
	}
}

func upgrade(t *testing.T, b brokertest.Backend) {
	keys := keyset(t)
	url, redis := b.URLs(t)
	restore(t, url)
	db := brokertest.SQL(t, url)
	freshen(t, db)
	idp, idpURL := upstream(t)
	known(t, db, keys, idp)

	o := brokertest.Options{DatabaseURL: url, RedisURL: redis, Keys: keys, IdP: idp, IdPURL: idpURL, WithoutWorker: true,
		Timing: broker.Timing{Backoff: 20 * time.Millisecond, Resweep: 50 * time.Millisecond}}
	h := brokertest.New(t, &o)
	linked := brokertest.Column[string](t, db, `SELECT a.id FROM authorizations a JOIN providers p ON p.id = a.provider_id
		WHERE a.unlinked_at IS NULL AND a.outcome IS NULL AND p.status = 'active' ORDER BY a.id`)
	if len(linked) != 15 {
		t.Fatalf("%d authorizations are linked", len(linked))
	}
	served(t, h, linked)
	sibling(t, h, db)

	// From here on the sweeper writes the second version.
	o.WithoutWorker = false
	h = brokertest.New(t, &o)
	none(t, db, "row with keys of the first version alone", `SELECT count(*) FROM authorizations WHERE fingerprint_v2 = '' AND outcome IS NULL`)
	none(t, db, "provider with keys of the first version alone", `SELECT count(*) FROM providers WHERE fingerprint_v2 = ''`)
	none(t, db, "key that does not follow from its row", `SELECT count(*) FROM providers p JOIN authorizations a ON a.provider_id = p.id
		WHERE a.outcome IS NULL AND (p.fingerprint_v2 LIKE 'unknown%' OR a.fingerprint_v2 <> p.fingerprint_v2)`)
	none(t, db, "flow with tokens", `SELECT count(*) FROM flows WHERE status = 'exchanged'`)
	none(t, db, "tombstone", `SELECT count(*) FROM authorizations WHERE unlinked_at IS NOT NULL AND outcome IS NULL`)
	none(t, db, "running job", `SELECT count(*) FROM jobs WHERE status IN ('PENDING', 'RUNNING')`)
	if ended := brokertest.Column[int](t, db, `SELECT revoked FROM jobs WHERE status = 'COMPLETED' AND type = 'DELETE_PROVIDER'`); !slices.Equal(ended, []int{3}) {
		t.Errorf("the deletion that ran revoked %v", ended)
	}
	if failed := brokertest.Column[string](t, db, `SELECT outcome FROM authorizations WHERE outcome IN ('failed', 'abandoned')`); len(failed) > 0 {
		t.Errorf("not settled well: %v", failed)
	}

	// A day later nothing of the release before runs: secrets are bound again.
	change(t, db, `UPDATE upgrades SET began_at = '2001-01-01 00:00:00.000'`)
	none(t, db, "secret that is bound to origins alone", `SELECT count(*) FROM secure_configs WHERE binding <> 2`)
	linked = brokertest.Column[string](t, db, `SELECT a.id FROM authorizations a JOIN providers p ON p.id = a.provider_id
		WHERE a.unlinked_at IS NULL AND a.outcome IS NULL AND p.status = 'active' ORDER BY a.id`)
	idp.ExpireAccessTokens()
	change(t, db, `UPDATE credentials SET expires_at = '2001-01-01 00:00:00.000', refresh_after = '2001-01-01 00:00:00.000' WHERE expires_at < '2099-01-01 00:00:00.000'`)
	served(t, h, linked)

	for _, p := range brokertest.Column[string](t, db, `SELECT id FROM providers WHERE status = 'active'`) {
		typ := brokertest.Column[string](t, db, `SELECT type FROM providers WHERE id = '`+p+`'`)[0]
		played := slices.Contains([]string{"test", "github", "oauth2"}, typ)
		j := must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p, !played))(t)
		brokertest.Eventually(t, "the deletion of "+typ+" ends", func() bool {
			j = must(h.Service.Job(ctx, h.Admin.Caller, j.ID))(t)
			return j.Status.Final()
		})
		if j.Status != models.JobCompleted || played && j.Abandoned+j.Superseded+j.NoLiveToken > 0 {
			t.Errorf("the deletion of %s ended %s with %v", typ, j.Status, j.Details)
		}
	}
	if s := idp.Stats(); s.LiveGrants != 0 || s.RefreshReused != 0 {
		t.Errorf("%d grants live on, %d refresh tokens were spent twice", s.LiveGrants, s.RefreshReused)
	}
}

// served fetches every token as its owner, and the refreshes of those that are due.
func served(t *testing.T, h *brokertest.Instance, ids []string) {
	t.Helper()
	for _, id := range ids {
		l := must(h.Store.Linked(ctx, id))(t)
		c := models.Caller{OrgID: l.Authorization.OrgID, UserID: l.Authorization.UserID, Role: models.RoleUser}
		got, err := h.Service.Token(ctx, c, id, 0)
		if err != nil || got.Access == "" {
			t.Errorf("the token of %s is not served: %v", l.Provider.Type, err)
		}
		if l.Authorization.Sub == "planted" && got.Access.Reveal() != "access of "+l.Provider.Type {
			t.Errorf("%s has another token", l.Provider.Type)
		}
		if l.Provider.Type != "oidc" { // whose issuer would be asked where its endpoints are
			if _, err := h.Service.Authorize(ctx, c, broker.AuthorizeRequest{ProviderID: l.Provider.ID, RedirectURI: brokertest.Callback}); err != nil {
				t.Errorf("the client of %s is not usable: %v", l.Provider.Type, err)
			}
		}
	}
}

// sibling disconnects one of two authorizations that share a grant and have keys of
// the first version alone: the other one's token must live.
func sibling(t *testing.T, h *brokertest.Instance, db *sql.DB) {
	t.Helper()
	of := func(user string) string {
		return brokertest.Column[string](t, db, `SELECT a.id FROM authorizations a JOIN providers p ON p.id = a.provider_id
			WHERE p.type = 'github' AND a.user_id = '`+user+`' AND a.login = 'ada'`)[0]
	}
	mine, theirs := of("ada"), of("grace")
	if err := h.Service.Disconnect(ctx, h.User.Caller, mine); err != nil {
		t.Fatal(err)
	}
	if s := h.IdP.Stats(); s.Calls[testidp.GrantDelete] != 0 || s.Calls[testidp.TokenDelete] != 1 {
		t.Errorf("%d grants and %d tokens were deleted, want 0 and 1", s.Calls[testidp.GrantDelete], s.Calls[testidp.TokenDelete])
	}
	if _, err := h.Service.UserInfo(ctx, h.Colleague.Caller, theirs); err != nil {
		t.Errorf("the sibling's token died: %v", err)
	}
}

func keyset(t *testing.T) *secrets.Keyring {
	path := filepath.Join(t.TempDir(), "keyset.json")
	if err := os.WriteFile(path, must(os.ReadFile("testdata/keyset.json"))(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return must(secrets.File{Path: path}.Load(t.Context()))(t)
}

func restore(t *testing.T, url string) {
	t.Helper()
	read := func(name string) []byte {
		r := must(gzip.NewReader(bytes.NewReader(must(os.ReadFile(filepath.Join("testdata", name)))(t))))(t)
		return must(io.ReadAll(r))(t)
	}
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		if err := os.WriteFile(path, read("sqlite.db.gz"), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	conn := must(pgx.Connect(ctx, url))(t)
	defer conn.Close(ctx)
	dump := regexp.MustCompile(`(?m)^(\\.*|SET transaction_timeout.*|CREATE SCHEMA public;)$`).ReplaceAllString(string(read("postgres.sql.gz")), "")
	if _, err := conn.PgConn().Exec(ctx, dump).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

// freshen moves what has a retention to today: the fixtures grow older, and what waits
// in them is not to be given up on for that.
func freshen(t *testing.T, db *sql.DB) {
	for _, query := range []string{
		`UPDATE authorizations SET unlinked_at = CURRENT_TIMESTAMP WHERE unlinked_at IS NOT NULL AND outcome IS NULL`,
		`UPDATE credentials SET refresh_expires_at = NULL, keep_alive_at = NULL, saved_at = CURRENT_TIMESTAMP`,
		`UPDATE flows SET expires_at = CURRENT_TIMESTAMP WHERE status = 'exchanged'`,
	} {
		change(t, db, query)
	}
}

// upstream starts the authorization server at the address that the rows name.
func upstream(t *testing.T) (*testidp.Server, string) {
	t.Helper()
	idp := testidp.New(testidp.Options{AutoConsent: true, Clients: []testidp.Client{{ID: brokertest.ClientID, Secret: brokertest.ClientSecret}}})
	server := httptest.NewUnstartedServer(idp)
	server.Listener.Close()
	brokertest.Eventually(t, "the address is free", func() bool { // another run of this test may have it
		var err error
		server.Listener, err = net.Listen("tcp", address)
		return err == nil
	})
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(idp.Close)
	return idp, server.URL
}

// known has the authorization server know the tokens that are sealed in the rows.
func known(t *testing.T, db *sql.DB, keys *secrets.Keyring, idp *testidp.Server) {
	t.Helper()
	knows := func(owner secrets.Owner, sealed []byte, account string) {
		var pair struct {
			Access  string `json:"a"`
			Refresh string `json:"r"`
		}
		if err := json.Unmarshal(must(keys.Open(owner, sealed))(t), &pair); err != nil {
			t.Fatal(err)
		}
		idp.Know(brokertest.ClientID, account, pair.Access, pair.Refresh)
	}
	rows := must(db.Query(`SELECT a.id, a.org_id, a.user_id, a.provider_id, a.credential_id, a.login, c.sealed
		FROM authorizations a JOIN credentials c ON c.authorization_id = a.id WHERE a.login <> 'planted'`))(t)
	defer rows.Close()
	for rows.Next() {
		var a models.Authorization
		var sealed []byte
		if err := rows.Scan(&a.ID, &a.OrgID, &a.UserID, &a.ProviderID, &a.CredentialID, &a.Login, &sealed); err != nil {
			t.Fatal(err)
		}
		knows(secrets.CredentialOwner(a.CredentialID, a.ID, a.OrgID, a.UserID, a.ProviderID), sealed, a.Login)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	var f models.Flow
	err := db.QueryRow(`SELECT id, org_id, user_id, provider_id, sealed_tokens FROM flows WHERE status = 'exchanged'`).
		Scan(&f.ID, &f.OrgID, &f.UserID, &f.ProviderID, &f.SealedTokens)
	if err != nil {
		t.Fatal(err)
	}
	knows(secrets.FlowOwner(f.ID, secrets.FlowTokens, f.OrgID, f.UserID, f.ProviderID), f.SealedTokens, "grace")
	if n := idp.Stats().LiveGrants; n != 14 {
		t.Fatalf("the authorization server knows %d grants", n)
	}
}

func change(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.Exec(query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// none waits until a query counts nothing.
func none(t *testing.T, db *sql.DB, what, query string) {
	t.Helper()
	brokertest.Eventually(t, "there is no "+what, func() bool { return brokertest.Column[int](t, db, query)[0] == 0 })
}
