package store_test

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/testidp"
)

// sweepBatch is how much of each kind of work a sweep takes up at a time, and
// forgetBatch how much it deletes.
const (
	sweepBatch  = 100
	forgetBatch = 2000
	notJudged   = 0
)

type swept struct {
	has   string
	limit int
	only  brokertest.Backend // "" for both
}

// sweptStatements are all that a sweep asks where something of every kind is due: how each
// statement begins, or what is in it, and how many rows it is about at most.
var sweptStatements = []swept{
	// upgrade
	{has: "SELECT * FROM providers WHERE fingerprint_v2 = ''", limit: 200},
	{has: "UPDATE providers SET fingerprint_v2 = ?", limit: 1},
	{has: "SELECT * FROM authorizations WHERE fingerprint_v2 = ''", limit: 200},
	{has: "SELECT * FROM providers WHERE id IN (?", limit: 200},
	{has: "SELECT * FROM credentials WHERE id IN (?", limit: 200},
	{has: "UPDATE authorizations SET fingerprint_v2 = keys.fingerprint", limit: 200},
	{has: "WHERE c.access_mac IS NULL ORDER BY c.id", limit: 200},
	{has: "UPDATE credentials SET access_mac = ?", limit: 1},
	{has: "UPDATE credentials SET org_id = (SELECT", limit: 200},
	{has: "INSERT INTO upgrades", limit: 1},
	{has: "SELECT began_at FROM upgrades", limit: 1},
	// jobs
	{has: "SELECT org_id FROM jobs WHERE", limit: sweepBatch},
	{has: "UPDATE jobs SET ring = ring + 1", limit: sweepBatch},
	// revocations
	{has: "SELECT org_id FROM authorizations WHERE", limit: sweepBatch},
	{has: "UPDATE authorizations SET item_due_at = ?, item_lease = NULL", limit: sweepBatch},
	// refreshes
	{has: "UPDATE token_use AS u SET due_at = CASE", limit: sweepBatch},
	{has: "WHERE keep_alive_at IS NOT NULL AND", limit: sweepBatch},
	{has: "WHERE attempt_id IS NOT NULL AND", limit: sweepBatch},
	{has: "SELECT * FROM providers WHERE (trouble <> ''", limit: sweepBatch},
	{has: "AND a.id <> ? AND CASE WHEN", limit: 1},
	{has: "AND a.id = ? AND CASE WHEN", limit: 1},
	{has: "UPDATE credentials SET sweep_at = ? WHERE authorization_id = ?", limit: 1},
	{has: "UPDATE providers SET probe_at = ?, probed_by", limit: notJudged}, // looks for others only where one authorization would be the probe twice in a row
	{has: "UPDATE providers SET probed_by = ?", limit: 1},
	{has: "JOIN credentials c ON c.authorization_id = a.id WHERE a.id = ?", limit: 1}, // this and the next are the refreshes that were begun
	{has: "SELECT * FROM pauses WHERE class IN", limit: 10},
	{has: "UPDATE credentials AS c SET attempt_id = ?", limit: 1},
	{has: "SELECT * FROM secure_configs", limit: 1, only: brokertest.Embedded},
	{has: "UPDATE credentials SET attempt_id=?,lease_owner=?,lease_until=?", limit: 1}, // it is given back: the tokens are copies, which do not open
	// flows
	{has: "UPDATE flows SET failure=?,status=? WHERE (status = 'claimed'", limit: sweepBatch},
	{has: "UPDATE flows SET status=? WHERE (status = 'claimed'", limit: sweepBatch},
	{has: "WHERE status = 'open' AND expires_at <= ?", limit: sweepBatch},
	{has: "SELECT org_id FROM flows WHERE", limit: sweepBatch},
	{has: "UPDATE flows SET settle_at = ?", limit: sweepBatch},
	{has: "SELECT * FROM providers WHERE id = ?", limit: 1},
	{has: "INSERT INTO authorizations", limit: 1},
	{has: "INSERT INTO credentials", limit: 1},
	{has: "INSERT INTO audit_events", limit: 1},
	{has: "UPDATE flows SET failure=?,sealed_tokens=?,status=? WHERE id = ?", limit: 1},
	{has: "UPDATE flows SET failure=?,settle_at=?", limit: 1},
	// statistics
	{has: "SELECT DISTINCT org_id FROM providers", limit: 1},
	{has: "INSERT INTO jobs", limit: 1},
	// events
	{has: "UPDATE credentials SET expiring_at = NULL", limit: sweepBatch},
	// retention
	{has: "UPDATE authorizations SET unlinked_at = ?", limit: sweepBatch},
	{has: "UPDATE flows SET status = ?, failure = ?, sealed_tokens = NULL", limit: sweepBatch},
	{has: "UPDATE authorizations SET outcome = ?, outcome_at = ?", limit: sweepBatch},
	{has: "DELETE FROM credentials WHERE authorization_id IN (?", limit: sweepBatch},
	{has: "DELETE FROM superseded_pairs", limit: sweepBatch},
	{has: "SELECT id FROM jobs WHERE finished_at <= ?", limit: sweepBatch},
	{has: "FROM authorizations WHERE outcome IS NOT NULL AND job_id = ?", limit: forgetBatch},
	{has: "DELETE FROM retried_items", limit: forgetBatch},
	{has: "DELETE FROM reset_items", limit: forgetBatch},
	{has: "DELETE FROM jobs", limit: 1},
	{has: "DELETE FROM pauses", limit: 1},
	{has: "SELECT provider_id FROM secure_configs WHERE ends_at", limit: sweepBatch},
	{has: "DELETE FROM secure_configs", limit: 1},
	{has: "UPDATE providers SET org_id=?", limit: 1},
	{has: "DELETE FROM flows", limit: forgetBatch},
	{has: "DELETE FROM authorizations WHERE", limit: forgetBatch},
	{has: "DELETE FROM audit_events", limit: forgetBatch},
	{has: "INSERT INTO token_fetch_days", limit: forgetBatch}, // also takes the minutes away, on PostgreSQL
	{has: "DELETE FROM token_fetches", limit: forgetBatch},
	{has: "DELETE FROM token_fetch_days", limit: forgetBatch},
	{has: "DELETE FROM statistics", limit: forgetBatch},
	{has: "DELETE FROM webhook_deliveries WHERE position", limit: forgetBatch},
	{has: "DELETE FROM webhook_deliveries WHERE", limit: forgetBatch},
	{has: "DELETE FROM outbox", limit: forgetBatch},
	{has: "DELETE FROM connect_links", limit: forgetBatch},
	{has: "UPDATE token_use SET due_at = NULL", limit: forgetBatch},
	{has: "DELETE FROM browser_sessions", limit: forgetBatch},
	{has: "DELETE FROM sessions", limit: forgetBatch},
	{has: "DELETE FROM grant_leases", limit: forgetBatch},
	{has: "SELECT ?", limit: 1, only: brokertest.Servers}, // what time it is
}

// Finding S-B: at a million authorizations and flows every sweep read both tables, more
// than once. Whatever a sweep asks is found by an index, and what is not due is not read,
// also by a plan that PostgreSQL made without knowing the parameters.
func TestASweepReadsOnlyWhatIsDue(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		h := brokertest.New(t, &brokertest.Options{Backend: b, WithoutWorker: true})
		p := planted{T: t, DB: brokertest.SQL(t, h.DatabaseURL), postgres: b == brokertest.Servers, base: time.Now().UTC()}
		p.everythingDue(h)
		var mu sync.Mutex
		caught := map[string][]any{} // the parameters by the statement
		if err := store.OnStatement(h.Store, func(sql string, args []any) {
			mu.Lock()
			defer mu.Unlock()
			caught[sql] = args
		}); err != nil {
			t.Fatal(err)
		}
		for range 2 { // in the second one no authorization is left that can be a probe
			if err := h.Service.Sweep(ctx); err != nil {
				t.Fatal(err)
			}
			if err := h.Service.Wait(ctx); err != nil { // for the refreshes that it began
				t.Fatal(err)
			}
			p.exec("UPDATE providers SET probe_at = created_at WHERE trouble <> ''")
		}
		mu.Lock()
		asked := maps.Clone(caught)
		mu.Unlock()
		p.fillWithWhatIsNotDue()
		seen := make([]bool, len(sweptStatements))
		for _, statement := range slices.Sorted(maps.Keys(asked)) {
			text := plain(statement)
			at := slices.IndexFunc(sweptStatements, func(s swept) bool { return strings.Contains(text, s.has) })
			if at < 0 {
				t.Errorf("a sweep asks what is not listed here:\n%s", text)
				continue
			}
			seen[at] = true
			if sweptStatements[at].limit == notJudged {
				continue
			}
			for _, wrong := range p.explain(statement, asked[statement], sweptStatements[at].limit) {
				t.Errorf("%s in\n%s", wrong, text)
			}
		}
		for i, s := range sweptStatements {
			if !seen[i] && (s.only == "" || s.only == b) {
				t.Errorf("no sweep asked: %s", s.has)
			}
		}
		p.endsUseOnce(h)
	})
}

// What each look at a job that revokes a user asks, and each batch of its items, read all of its items, or those that share a
// grant. It does not depend on how many there are, whatever PostgreSQL knows of the parameters.
func TestAJobDoesNotReadAllOfItsItems(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		h := brokertest.New(t, &brokertest.Options{Backend: b, WithoutWorker: true})
		p := planted{T: t, DB: brokertest.SQL(t, h.DatabaseURL), postgres: b == brokertest.Servers, base: time.Now().UTC()}
		a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		p.copies("authorizations", "o.id = '"+a.ID+"'", 50_000, values{"id": "'item-' || i", "credential_id": "'none-' || i", "sub": "'item-' || i",
			"unlinked_at": p.at(-time.Hour), "job_id": "'job'", "item_due_at": p.at(-time.Hour)})
		p.exec("ANALYZE")
		p.exec("UPDATE authorizations SET item_lease = 'lease' WHERE id IN ('item-1', 'item-2', 'item-3')")
		type asked struct {
			sql  string
			args []any
		}
		var all []asked
		if err := store.OnStatement(h.Store, func(sql string, args []any) { all = append(all, asked{sql, args}) }); err != nil {
			t.Fatal(err)
		}
		if n := must(h.Store.PendingByProvider(ctx, "job"))(t)[a.ProviderID]; n != store.PendingSample {
			t.Errorf("%d items are counted, want %d", n, store.PendingSample)
		}
		if live := must(h.Store.LiveGrants(ctx, "lease"))(t); len(live) != 1 {
			t.Errorf("%v use the grant of the items, want the one that is linked", live)
		}
		for i, limit := range []int{store.PendingSample, 3} {
			for _, wrong := range p.explain(all[i].sql, all[i].args, limit) {
				t.Errorf("%s in\n%s", wrong, plain(all[i].sql))
			}
		}
	})
}

// endsUseOnce has all tokens out of use and due (finding S-C): sweeps see to each of them
// once, at least as many in each as they delete, and then read none.
func (p planted) endsUseOnce(h *brokertest.Instance) {
	p.Helper()
	past := strings.ReplaceAll(p.at(-time.Hour), "i ", "0 ")
	p.exec("UPDATE token_use SET used_until = " + past + ", due_at = " + past)
	left := func() int {
		return brokertest.Column[int](p.T, p.DB, "SELECT count(*) FROM token_use WHERE due_at IS NOT NULL")[0]
	}
	for before := left(); before > 0; {
		if err := h.Service.Sweep(ctx); err != nil {
			p.Fatal(err)
		}
		now := left()
		if now > max(0, before-10_000) {
			p.Fatalf("a sweep left %d of %d tokens due that nobody uses", now, before)
		}
		before = now
	}
	if n := must(h.Store.EndUse(ctx, forgetBatch))(p.T); n != 0 {
		p.Errorf("%d tokens go out of use twice", n)
	}
	if ids := must(h.Store.InUseAndDue(ctx, time.Minute, sweepBatch, nil))(p.T); len(ids) != 0 {
		p.Errorf("%d tokens that nobody uses are refreshed", len(ids))
	}
}

// planted is a database in which rows are made of others.
type planted struct {
	*testing.T
	*sql.DB
	postgres bool
	base     time.Time
}

func (p planted) exec(statement string, args ...any) {
	p.Helper()
	if _, err := p.DB.Exec(statement, args...); err != nil {
		p.Fatalf("%s: %v", statement, err)
	}
}

// at is the time d from now, in SQL, and a second later for each row that is made.
func (p planted) at(d time.Duration) string {
	if p.postgres {
		return "(CAST('" + p.base.Add(d).Format(time.RFC3339Nano) + "' AS timestamptz) + i * INTERVAL '1 second')"
	}
	return "strftime('%Y-%m-%d %H:%M:%f', '" + p.base.Add(d).Format("2006-01-02 15:04:05.000") + "', i || ' seconds')"
}

// values are what rows that are made of another have in their own way, in SQL, where i
// counts them.
type values map[string]string

// copies makes n rows of one.
func (p planted) copies(table, of string, n int, other values) {
	p.Helper()
	columns := must(p.Query("SELECT * FROM " + table + " WHERE 1 = 0"))(p.T)
	defer columns.Close()
	names := must(columns.Columns())(p.T)
	if err := columns.Err(); err != nil {
		p.Fatal(err)
	}
	made := make([]string, len(names))
	for i, name := range names {
		if made[i] = "o." + name; other[name] != "" {
			made[i] = other[name]
		}
	}
	columns.Close()
	p.exec(fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		INSERT INTO %s (%s) SELECT %s FROM %s o, n WHERE %s`, n, table, strings.Join(names, ", "), strings.Join(made, ", "), table, of))
}

// links makes n authorizations of one, with their credentials.
func (p planted) links(of models.Authorization, name string, n int, authorization, credential values) {
	p.Helper()
	a := values{"id": "'" + name + "-' || i", "credential_id": "'" + name + "-c-' || i", "sub": "'" + name + "' || i"}
	c := values{"id": "'" + name + "-c-' || i", "authorization_id": "'" + name + "-' || i"}
	maps.Copy(a, authorization)
	maps.Copy(c, credential)
	p.copies("authorizations", "o.id = '"+of.ID+"'", n, a)
	p.copies("credentials", "o.authorization_id = '"+of.ID+"'", n, c)
}

func (p planted) flows(name string, n int, other values) {
	p.Helper()
	f := values{"id": "'" + name + "-' || i", "state_hash": p.bytes("'" + name + "' || i")}
	maps.Copy(f, other)
	p.copies("flows", "o.id = (SELECT min(id) FROM flows WHERE status = 'done')", n, f)
}

func (p planted) bytes(text string) string {
	if p.postgres {
		return "convert_to(" + text + ", 'UTF8')"
	}
	return "CAST(" + text + " AS BLOB)"
}

const (
	long = -400 * 24 * time.Hour // ago, longer than anything is kept
	year = -370 * 24 * time.Hour
)

// everythingDue leaves one row of every kind that a sweep takes up.
func (p planted) everythingDue(h *brokertest.Instance) {
	p.Helper()
	provider := h.Provider(p.T, "test")
	a := h.Consent(p.T, h.User, provider, "ada")
	troubled := must(h.Service.CreateProvider(ctx, h.Admin.Caller, models.ProviderInput{Name: "Troubled", Type: "test",
		ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret}))(p.T)
	p.exec("UPDATE providers SET trouble = 'client', trouble_version = secret_version, trouble_since = created_at, probe_at = created_at, probed_by = 'probe-1' WHERE id = '" + troubled.ID + "'")

	// A consent whose tokens have no owner, and which can be settled.
	back := h.Approve(p.T, h.Authorize(p.T, h.User, provider), "grace")
	back.ProviderID = provider.ID
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Status: 503, Times: 1})
	if _, err := h.Service.Complete(ctx, h.User.Caller, back); err == nil {
		p.Fatal("a consent was completed without user info")
	}
	p.exec("UPDATE flows SET expires_at = created_at WHERE status = 'exchanged'")

	past := p.at(-time.Hour)
	p.links(a, "used", 1, nil, values{"refresh_after": past, "expires_at": past})
	if err := h.Store.AddFetches(ctx, []store.Fetches{{AuthorizationID: "used-1", Caller: h.User.Caller, Minute: p.base, N: 1}}); err != nil {
		p.Fatal(err)
	}
	if err := h.Store.NoteUse(ctx, []string{"used-1"}, time.Hour, time.Minute); err != nil {
		p.Fatal(err)
	}
	p.links(a, "idle", 1, nil, values{"keep_alive_at": past})
	p.links(a, "without-mac", 1, nil, values{"access_mac": "NULL"})
	p.links(a, "unfilled", 1, nil, values{"org_id": "NULL", "made_at": "NULL"})
	p.links(a, "ambiguous", 1, nil, values{"attempt_id": "'lost'", "lease_until": past})
	p.links(a, "probe", 1, values{"provider_id": "'" + troubled.ID + "'"}, values{"refresh_after": past, "expires_at": past})
	p.links(a, "tombstone", 1, values{"unlinked_at": past, "item_due_at": past}, nil)
	p.links(a, "old-tombstone", 1, values{"unlinked_at": p.at(long)}, nil)
	p.links(a, "verdict", 1, nil, values{"verdict": "'expired'", "verdict_generation": "1", "verdict_secret_version": "0", "saved_at": p.at(long)})
	p.links(a, "ended", 1, values{"unlinked_at": p.at(long), "outcome": "'revoked'", "outcome_at": p.at(long)}, nil)
	p.links(a, "v1", 1, values{"fingerprint_v2": "''", "grant_key_v2": "''"}, nil)
	p.links(a, "item", 1, values{"unlinked_at": p.at(long), "outcome": "'revoked'", "outcome_at": p.at(long), "job_id": "'old-job'"}, nil)

	p.flows("claimed", 1, values{"status": "'claimed'", "claimed_at": past})
	p.flows("device", 1, values{"status": "'claimed'", "claimed_at": past, "channel": "'device'"})
	p.flows("open", 1, values{"status": "'open'", "expires_at": past})
	p.flows("unsettled", 1, values{"status": "'exchanged'", "expires_at": past, "exchanged_at": past, "sealed_tokens": "sealed"})
	p.flows("old-unsettled", 1, values{"status": "'exchanged'", "failure": "'undecryptable'", "expires_at": p.at(long), "exchanged_at": p.at(long), "sealed_tokens": "sealed"})
	p.flows("ended", 1, values{"expires_at": p.at(long)})

	p.copies("audit_events", "o.id = (SELECT min(id) FROM audit_events)", 1, values{"id": "'old'", "at": p.at(year)})
	for name, at := range map[string]time.Duration{"month": -40 * 24 * time.Hour, "year": year} {
		p.copies("token_fetches", "o.authorization_id = 'used-1'", 1, values{"authorization_id": "'" + name + "'", "minute": p.at(at)})
	}
	must(h.Service.StartStats(ctx, h.Admin.Caller))(p.T)
	p.exec("UPDATE jobs SET due_at = created_at")
	p.copies("jobs", "o.status = 'PENDING'", 1, values{"id": "'old-job'", "status": "'COMPLETED'", "finished_at": p.at(long), "dedupe_key": "NULL"})
	p.exec(p.times(`INSERT INTO superseded_pairs (id, org_id, user_id, grant_key, job_id, sealed, has_refresh_token, kept_at)
		VALUES ('old', 'acme', 'ada', 'key', NULL, 'x', FALSE, LONG), ('kept', 'acme', 'ada', 'key', NULL, 'x', FALSE, NEVER)`))
	p.exec(p.times(`INSERT INTO pauses (provider_id, org_id, host, class, until) VALUES ('gone', 'acme', '', 'token', LONG)`))
	p.exec(p.times(`INSERT INTO grant_leases (grant_key, owner, until) VALUES ('old', 'owner', LONG), ('kept', 'other', NEVER)`))
	p.exec(p.times(`INSERT INTO browser_sessions (id, token_hash, org_id, user_id, role, issuer, api_token_id, name, address, created_at, last_used_at, expires_at)
		VALUES ('old', 'x', 'acme', 'ada', 'user', '', '', '', '', LONG, LONG, LONG)`))
	p.exec(p.times(`INSERT INTO retried_items (job_id, authorization_id, user_id, provider_id, outcome, outcome_reason, outcome_at) VALUES ('kept', 'gone', '', '', 'failed', '', LONG)`))
	p.exec(p.times(`INSERT INTO reset_items (job_id, authorization_id, user_id, provider_id, generation, reason, due_at, attempts) VALUES ('kept', 'gone', '', '', 1, '', LONG, 1)`))
	p.exec(p.times(`INSERT INTO statistics (org_id, day, name, n) VALUES ('acme', LONG, 'fetched', 1)`))
	p.copies("secure_configs", "o.provider_id = '"+provider.ID+"'", 1, values{"id": "'former'", "ends_at": past})
	p.copies("providers", "o.id = '"+provider.ID+"'", 1, values{"id": "'v1'", "slug": "'v1'", "fingerprint_v2": "''"})
}

func (p planted) times(statement string) string {
	at := func(d time.Duration) string {
		return strings.ReplaceAll(strings.ReplaceAll(p.at(d), " i ", " 0 "), "i ||", "0 ||")
	}
	return strings.NewReplacer("LONG", at(long), "NEVER", at(1000*time.Hour)).Replace(statement)
}

// fillWithWhatIsNotDue makes every table that grows a large one.
func (p planted) fillWithWhatIsNotDue() {
	p.Helper()
	const many, fewer = 50_000, 5_000
	later, lately, past := p.at(48*time.Hour), p.at(-24*time.Hour), p.at(-300*time.Hour)
	user := "'user' || i"
	of := models.Authorization{ID: "idle-1"}
	p.links(of, "living", many/2, values{"user_id": user}, values{"refresh_after": later, "expires_at": later, "keep_alive_at": later, "sweep_at": past})
	p.links(of, "unused", many/4, values{"user_id": user}, values{"refresh_after": past, "expires_at": past, "keep_alive_at": later, "sweep_at": "NULL"})
	p.links(of, "expired", many/8, values{"user_id": user}, values{"keep_alive_at": "NULL",
		"verdict": "'expired'", "verdict_generation": "1", "verdict_secret_version": "1", "saved_at": lately})
	p.links(of, "revoked", many/8, values{"unlinked_at": past, "outcome": "'revoked'", "outcome_at": lately, "job_id": "CASE WHEN i % 2 = 0 THEN 'running' END"},
		values{"keep_alive_at": "NULL"})
	p.links(models.Authorization{ID: "probe-1"}, "probes", fewer, values{"user_id": user}, values{"sweep_at": "NULL"})
	p.exec("INSERT INTO token_use SELECT id, " + later + ", CASE WHEN id LIKE 'living-%' THEN " + later + " END FROM (SELECT id, 1 AS i FROM authorizations WHERE id LIKE 'living-%' OR id LIKE 'unused-%') AS a")
	p.flows("done", many*9/10, values{"expires_at": p.at(-20 * time.Hour)})
	p.flows("many-open", many/20, values{"status": "'open'", "expires_at": later})
	p.flows("many-claimed", many/40, values{"status": "'claimed'", "claimed_at": later, "expires_at": later})
	p.flows("exchanged", many/40, values{"status": "'exchanged'", "exchanged_at": later, "expires_at": later})
	p.copies("token_fetches", "o.authorization_id = 'used-1'", many, values{"authorization_id": "'living-' || (1 + i % 25000)", "minute": past})
	p.copies("token_fetch_days", "o.authorization_id = 'month'", fewer, values{"authorization_id": "'living-' || i", "last_minute": past})
	p.copies("audit_events", "o.id = (SELECT max(id) FROM audit_events)", many, values{"id": "'e' || i", "at": lately})
	p.copies("jobs", "o.id = (SELECT max(id) FROM jobs WHERE status = 'PENDING')", fewer,
		values{"id": "'j' || i", "status": "'COMPLETED'", "finished_at": lately, "dedupe_key": "NULL"})
	p.copies("superseded_pairs", "o.id = 'kept'", fewer, values{"id": "'s' || i", "kept_at": lately})
	p.copies("grant_leases", "o.grant_key = 'kept'", fewer, values{"grant_key": "'g' || i", "owner": "'o' || i", "until": later})
	p.copies("retried_items", "o.job_id = 'kept'", fewer, values{"job_id": "'j' || i", "outcome_at": lately})
	p.copies("reset_items", "o.job_id = 'kept'", fewer, values{"job_id": "'j' || i"})
	p.copies("providers", "o.id = 'v1'", 300, values{"id": "'p' || i", "slug": "'p' || i", "fingerprint_v2": "'x'"})
	p.exec("ANALYZE")
}

var spaces, parameters = regexp.MustCompile(`\s+`), regexp.MustCompile(
	`statement_timestamp\(\)( \+ make_interval\(secs => CAST\(\$\d+ AS double precision\)\))?|\$\d+`)

// plain is a statement as both databases would be asked it.
func plain(statement string) string {
	text := strings.NewReplacer(`"`, "", "`", "").Replace(statement)
	text = spaces.ReplaceAllString(parameters.ReplaceAllString(text, "?"), " ")
	return columnList.ReplaceAllString(text, "SELECT * FROM") // as short as the lists above
}

// columnList is what a statement says that reads whole rows of one table.
var columnList = regexp.MustCompile(`SELECT (?:\w+\.\w+, ?){4,}\w+\.\w+ FROM`)

// growing are the tables that have a row for each person, consent, fetch or change.
var growing = []string{"authorizations", "credentials", "flows", "token_fetches", "token_fetch_days", "audit_events", "jobs",
	"token_use", "superseded_pairs", "grant_leases", "retried_items", "reset_items"}

// aliases are what statements call them.
var aliases = map[string]string{"a": "authorizations", "c": "credentials", "f": "flows", "e": "audit_events", "d": "token_fetch_days", "u": "token_use"}

// allDue are indexes that hold only what is due.
var allDue = map[string]bool{"authorizations_v1": true, "credentials_unfilled": true}

// explain returns what is wrong with how a statement is planned that is about at most
// limit rows.
func (p planted) explain(statement string, args []any, limit int) []string {
	p.Helper()
	if strings.HasPrefix(statement, "INSERT") && !strings.Contains(statement, "SELECT") {
		return nil // it looks for nothing, and what it wrote is there already
	}
	if p.postgres {
		return p.explainPostgres(statement, args, limit)
	}
	rows, err := p.Query("EXPLAIN QUERY PLAN "+statement, args...)
	if err != nil {
		p.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
	var wrong []string
	for rows.Next() {
		var id, parent, unused any
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			p.Fatal(err)
		}
		name, index, _ := strings.Cut(strings.TrimPrefix(detail, "SCAN "), " USING INDEX ")
		if strings.HasPrefix(detail, "SCAN ") && slices.Contains(growing, cmp.Or(aliases[name], name)) && !allDue[index] {
			wrong = append(wrong, "it reads all of "+name)
		}
	}
	if err := rows.Err(); err != nil {
		p.Fatal(err)
	}
	return wrong
}

func (p planted) explainPostgres(statement string, args []any, limit int) []string {
	p.Helper()
	ctx := context.Background()
	tx := must(p.BeginTx(ctx, nil))(p.T)
	defer tx.Rollback()
	literals := make([]string, len(args))
	for i, a := range args {
		literals[i] = literal(p.T, a)
	}
	execute := "EXECUTE caught"
	if len(args) > 0 {
		execute += "(" + strings.Join(literals, ", ") + ")"
	}
	var plan []byte
	for _, step := range []string{"SET LOCAL plan_cache_mode = force_generic_plan", "PREPARE caught AS " + statement} {
		if _, err := tx.Exec(step); err != nil {
			p.Fatalf("%s: %v", step, err)
		}
	}
	if err := tx.QueryRow("EXPLAIN (ANALYZE, FORMAT JSON) " + execute).Scan(&plan); err != nil {
		p.Fatalf("%s: %v", execute, err)
	}
	if _, err := tx.Exec("DEALLOCATE caught"); err != nil {
		p.Fatal(err)
	}
	var plans []struct{ Plan node }
	if err := json.Unmarshal(plan, &plans); err != nil {
		p.Fatal(err)
	}
	var wrong []string
	plans[0].Plan.walk(func(n node) {
		read := n.Loops * (n.Rows + n.Filtered + n.Rechecked)
		switch {
		case n.Type == "Seq Scan" && slices.Contains(growing, n.Relation):
			wrong = append(wrong, "it reads all of "+n.Relation)
		case n.Index != "" && read > float64(20*limit):
			wrong = append(wrong, fmt.Sprintf("it reads %.0f rows by %s", read, n.Index))
		}
	})
	return wrong
}

type node struct {
	Type      string  `json:"Node Type"`
	Relation  string  `json:"Relation Name"`
	Index     string  `json:"Index Name"`
	Rows      float64 `json:"Actual Rows"`
	Loops     float64 `json:"Actual Loops"`
	Filtered  float64 `json:"Rows Removed by Filter"`
	Rechecked float64 `json:"Rows Removed by Index Recheck"`
	Plans     []node
}

func (n node) walk(f func(node)) {
	f(n)
	for _, inner := range n.Plans {
		inner.walk(f)
	}
}

// literal writes a parameter as PostgreSQL reads it, whatever its type.
func literal(t *testing.T, a any) string {
	t.Helper()
	v := must(driver.DefaultParameterConverter.ConvertValue(a))(t)
	switch v := v.(type) {
	case nil:
		return "NULL"
	case []byte:
		return `'\x` + hex.EncodeToString(v) + "'"
	case time.Time:
		return "'" + v.Format(time.RFC3339Nano) + "'"
	}
	return "'" + strings.ReplaceAll(fmt.Sprint(v), "'", "''") + "'"
}
