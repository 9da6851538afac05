package upgrade_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// Processes of the release before serve before, during and after the migration, and beside those of this release. People
// consent, tokens are refreshed and a deletion runs all the time; nobody is answered an error, no refresh token is spent
// twice, and all that was to be revoked is. Then the same for the release after this one: columns that processes do not
// know appear in all tables, and processes of this release are restarted.
func TestReleasesServeSideBySide(t *testing.T) {
	services.Shared(t)
	t.Parallel()
	old, present := earlier(t), must(processes.Build(t.Context(), t.TempDir()))(t)
	u := startUpgrade(t, old, present)

	before := u.version()
	u.load.more("before the migration")
	must(u.present.Run(t.Context(), "migrate"))(t)
	if u.version() == before {
		t.Fatalf("the schema of this commit is that of the commit in .ci/upgrade-from, %d: name an earlier one", before)
	}
	u.load.more("by the release before, after the migration")

	api, worker := u.start(u.present, "api"), u.start(u.present, "worker")
	u.load.by(u.client(u.oldAPI), u.client(api))
	u.load.more("by both releases")
	u.leaves(api)

	for _, table := range brokertest.Column[string](t, u.db, `SELECT tablename FROM pg_tables
		WHERE schemaname = current_schema() AND tablename <> 'goose_db_version' ORDER BY 1`) {
		change(t, u.db, `ALTER TABLE `+table+` ADD COLUMN of_the_next_release TEXT NOT NULL DEFAULT ''`)
	}
	change(t, u.db, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (900000, TRUE)`)
	u.load.more("with columns that nobody knows")

	u.load.by(u.client(api))
	for _, p := range []*processes.Process{u.oldAPI, u.oldWorker, worker} {
		if err := p.Stop(); err != nil {
			t.Errorf("grantd %s did not end in order: %v", p.Name, err)
		}
	}
	u.start(u.present, "worker")
	u.load.by(u.client(api), u.client(u.start(u.present, "api")))
	u.load.more("by this release alone, restarted on the schema of the next one")
	u.load.end()
	u.settled(api)
}

// upgraded is two releases on one database.
type upgraded struct {
	*testing.T
	present           *processes.Grantd
	token             models.Secret
	db                *sql.DB
	oldAPI, oldWorker *processes.Process
	processes         []*processes.Process
	load              *load
	deletion, leaving string
	release           func() // lets the deletion go on
}

// toDelete is how many people have consented to the provider that is deleted.
const toDelete = 30

// startUpgrade starts an API and a worker of the release before, with a deletion that cannot end, and consents and
// refreshes that go on.
func startUpgrade(t *testing.T, old, present string) *upgraded {
	t.Helper()
	upstream := processes.StartUpstream()
	t.Cleanup(upstream.Close)
	before := processes.Grantd{Binary: old, Upstream: upstream, DatabaseURL: services.Database(t),
		RedisURL: services.RedisDatabase(t), Keyset: filepath.Join(t.TempDir(), "keyset.json")}
	now := before
	now.Binary = present
	if err := before.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	u := &upgraded{T: t, present: &now, token: must(before.Token(t.Context(), "acme", "root", models.RoleAdmin))(t), db: brokertest.SQL(t, before.DatabaseURL)}
	u.oldAPI, u.oldWorker = u.start(&before, "api"), u.start(&before, "worker")
	admin := u.client(u.oldAPI)
	doomed := must(processes.Provider(t.Context(), admin))(t)
	must(processes.Consents(t.Context(), admin, doomed.ID, toDelete))(t)

	gate := make(chan struct{})
	u.release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(u.release)
	upstream.Inject(testidp.Fault{Endpoint: testidp.Revoke, Skip: toDelete / 3, Until: gate})
	u.deletion = must(admin.DeleteProvider(t.Context(), doomed.ID))(t)
	u.load = startLoad(t, u.db, must(admin.CreateProvider(t.Context(), models.ProviderInput{Name: "Kept", Type: "test",
		ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret}))(t).ID, admin)
	return u
}

// leaves has everything of somebody revoked by this release. The release before, which does not know how this one does it,
// gives no token from then on either.
func (u *upgraded) leaves(api *processes.Process) {
	u.Helper()
	token := must(u.present.Token(u.Context(), "acme", "grace", models.RoleUser))(u.T)
	grace, admin := processes.NewClient(u.oldAPI.URL, token), u.client(api)
	a := must(processes.Consent(u.Context(), grace, u.load.provider, "grace"))(u.T)
	must(grace.Token(u.Context(), a.ID))(u.T)
	u.leaving = must(admin.RevokeUser(u.Context(), "grace"))(u.T)
	if _, err := grace.Token(u.Context(), a.ID); err == nil {
		u.Error("the release before gives a token of a user of whom everything was revoked")
	}
}

func (u *upgraded) start(g *processes.Grantd, args ...string) *processes.Process {
	u.Helper()
	p := must(g.Start(u.Context(), args...))(u.T)
	u.processes = append(u.processes, p)
	u.Cleanup(func() {
		if err := p.Kill(); err != nil {
			u.Error(err)
		}
		if log := p.Log(); u.Failed() {
			u.Logf("the end of the log of grantd %s:\n%s", p.Name, log[max(0, len(log)-4000):])
		}
	})
	return p
}

func (u *upgraded) client(p *processes.Process) *client.Client {
	return processes.NewClient(p.URL, u.token)
}

func (u *upgraded) version() int {
	u.Helper()
	return brokertest.Column[int](u.T, u.db, `SELECT max(version_id) FROM goose_db_version`)[0]
}

// settled lets the deletion end, and looks at what is left and at what processes said.
func (u *upgraded) settled(api *processes.Process) {
	u.Helper()
	admin := u.client(api)
	if job := must(admin.Job(u.Context(), u.deletion))(u.T); job.Status.Final() {
		u.Errorf("the deletion ended %s before it was let go on: this shows less than it should", job.Status)
	}
	u.release()
	var job models.Job
	brokertest.Eventually(u.T, "the deletion ends", func() bool {
		job = must(admin.Job(u.Context(), u.deletion))(u.T)
		return job.Status.Final()
	})
	if n := must(processes.Number(job, string(models.OutcomeRevoked)))(u.T); job.Status != models.JobCompleted || n != toDelete {
		u.Errorf("the deletion that was begun by the release before ended %s with %v", job.Status, job.Details)
	}
	if leaving := must(admin.WaitJob(u.Context(), u.leaving, 10*time.Millisecond, nil))(u.T); leaving.Status != models.JobCompleted ||
		must(processes.Number(leaving, string(models.OutcomeRevoked)))(u.T) != 1 {
		u.Errorf("the revocation of a user ended %s with %v", leaving.Status, leaving.Details)
	}
	if s := u.present.Upstream.Stats(); s.RefreshReused != 0 || s.Calls[testidp.Refresh] == 0 {
		u.Errorf("of %d refreshes %d were made with a spent token", s.Calls[testidp.Refresh], s.RefreshReused)
	}
	for _, p := range u.processes {
		for line := range strings.Lines(p.Log()) {
			if strings.Contains(line, "cached plan") || strings.Contains(line, `"level":"ERROR"`) {
				u.Errorf("grantd %s logged %s", p.Name, line)
			}
		}
	}
}

// load is people who consent, and tokens that are refreshed, for as long as a test goes on.
type load struct {
	*testing.T
	mu                   sync.Mutex
	clients              []*client.Client
	ids                  []string
	db                   *sql.DB
	provider             string
	consented, refreshed atomic.Int64
	failed               atomic.Bool
	end                  func()
}

func startLoad(t *testing.T, db *sql.DB, provider string, by *client.Client) *load {
	l := &load{T: t, db: db, provider: provider, clients: []*client.Client{by}}
	if err := l.consent(t.Context(), -1); err != nil { // somebody whose token can be refreshed
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return l.repeat(ctx, &l.consented, l.consent) })
	group.Go(func() error { return l.repeat(ctx, &l.refreshed, l.refresh) })
	l.end = sync.OnceFunc(func() {
		stop()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(l.end)
	return l
}

// repeat does the work until the load ends, or fails. What has begun is not cancelled.
func (l *load) repeat(ctx context.Context, done *atomic.Int64, work func(ctx context.Context, n int) error) error {
	for n := 0; ctx.Err() == nil; n++ {
		if err := work(context.WithoutCancel(ctx), n); err != nil {
			l.failed.Store(true)
			return err
		}
		done.Add(1)
	}
	return nil
}

// by has other processes asked from now on, one after the other.
func (l *load) by(clients ...*client.Client) {
	l.mu.Lock()
	l.clients = clients
	l.mu.Unlock()
	l.more("by the others") // so that nobody is asked any more who is about to stop
}

func (l *load) client(n int) *client.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clients[max(n, 0)%len(l.clients)]
}

// more waits until there was more of everything.
func (l *load) more(when string) {
	l.Helper()
	consented, refreshed := l.consented.Load(), l.refreshed.Load()
	brokertest.Eventually(l.T, "people consent and tokens are refreshed "+when, func() bool {
		return l.failed.Load() || l.consented.Load() >= consented+4 && l.refreshed.Load() >= refreshed+8
	})
	if l.failed.Load() {
		l.end()
		l.FailNow()
	}
}

func (l *load) consent(ctx context.Context, n int) error {
	a, err := processes.Consent(ctx, l.client(n), l.provider, fmt.Sprint("person-", n))
	if err != nil {
		return fmt.Errorf("consent %d: %w", n, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids = append(l.ids, a.ID)
	return nil
}

// refresh has a token that has expired fetched from all processes at once: all get the same new one.
func (l *load) refresh(ctx context.Context, n int) error {
	l.mu.Lock()
	ids, clients := slices.Clone(l.ids), slices.Clone(l.clients)
	l.mu.Unlock()
	id := ids[n%len(ids)]
	old, err := clients[0].Token(ctx, id)
	if err != nil {
		return fmt.Errorf("fetch %d: %w", n, err)
	}
	if _, err := l.db.ExecContext(ctx, `UPDATE credentials SET expires_at = now() - interval '1 second',
		refresh_after = now() - interval '1 minute' WHERE authorization_id = $1`, id); err != nil {
		return err
	}
	got := make([]models.Secret, 2*len(clients))
	var group errgroup.Group
	for i := range got {
		group.Go(func() error {
			token, err := clients[i%len(clients)].Token(ctx, id)
			got[i] = token.AccessToken
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("refresh %d: %w", n, err)
	}
	if got = slices.Compact(got); len(got) != 1 || got[0] == old.AccessToken {
		return fmt.Errorf("refresh %d: callers got %d different tokens, or the expired one", n, len(got))
	}
	return nil
}
