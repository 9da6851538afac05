package processes_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

func TestMain(m *testing.M) { services.Main(m) }

// lent is the binary that the tests share, for as long as one of them uses it.
var lent struct {
	mu     sync.Mutex
	users  int
	folder string
	binary string
}

// parallel lets a test run beside the others, with the binary. Since each test
// takes it before the first of them goes on, it is built once.
func parallel(t *testing.T) string {
	t.Helper()
	services.Shared(t)
	binary := take(t)
	t.Parallel()
	return binary
}

func take(t *testing.T) string {
	t.Helper()
	lent.mu.Lock()
	defer lent.mu.Unlock()
	if lent.users == 0 {
		build(t)
	}
	lent.users++
	t.Cleanup(giveBack)
	return lent.binary
}

func build(t *testing.T) {
	var err error
	if lent.folder, err = os.MkdirTemp("", "grantd-binary-"); err != nil {
		t.Fatal(err)
	}
	if lent.binary, err = processes.Build(t.Context(), lent.folder); err != nil {
		os.RemoveAll(lent.folder)
		t.Fatal(err)
	}
}

func giveBack() {
	lent.mu.Lock()
	defer lent.mu.Unlock()
	if lent.users--; lent.users == 0 {
		os.RemoveAll(lent.folder)
	}
}

// cluster is any number of grantd processes on one database.
type cluster struct {
	*processes.Grantd
	token models.Secret // of an admin, who consents as well
}

// newCluster makes an empty database with its schema, and a keyset. redisURL ""
// stands for an empty database of the shared Redis.
func newCluster(t *testing.T, binary, redisURL string) *cluster {
	t.Helper()
	c := unprepared(t, binary, redisURL)
	must(t, c.Prepare(t.Context()))
	var err error
	c.token, err = c.Token(t.Context(), "acme", "root", models.RoleAdmin)
	must(t, err)
	return c
}

// unprepared is a cluster without schema and keyset.
func unprepared(t *testing.T, binary, redisURL string) *cluster {
	t.Helper()
	if redisURL == "" {
		redisURL = services.RedisDatabase(t)
	}
	upstream := processes.StartUpstream()
	t.Cleanup(upstream.Close)
	return &cluster{Grantd: &processes.Grantd{
		Binary: binary, Upstream: upstream,
		DatabaseURL: services.Database(t), RedisURL: redisURL, Keyset: filepath.Join(t.TempDir(), "keyset.json"),
	}}
}

// start starts a process, which is killed at the end unless the test ended it.
// What it logged is shown when the test fails.
func (c *cluster) start(t *testing.T, args ...string) *processes.Process {
	t.Helper()
	p, err := c.Start(t.Context(), args...)
	must(t, err)
	c.watch(t, p)
	return p
}

func (c *cluster) watch(t *testing.T, p *processes.Process) {
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		if log := p.Log(); t.Failed() {
			t.Logf("the end of the log of grantd %s:\n%s", p.Name, log[max(0, len(log)-4000):])
		}
	})
}

func (c *cluster) client(p *processes.Process) *client.Client {
	return processes.NewClient(p.URL, c.token)
}

// provider registers a provider to which n people consent. It returns the ids of
// their authorizations.
func (c *cluster) provider(t *testing.T, p *processes.Process, n int) (models.Provider, []string) {
	t.Helper()
	provider, err := processes.Provider(t.Context(), c.client(p))
	must(t, err)
	begin := time.Now()
	ids, err := processes.Consents(t.Context(), c.client(p), provider.ID, n)
	must(t, err)
	t.Logf("%d people consented in %s", n, time.Since(begin).Round(time.Millisecond))
	return provider, ids
}

// delete deletes a provider and returns the job's location.
func (c *cluster) delete(t *testing.T, p *processes.Process, provider string) string {
	t.Helper()
	location, err := c.client(p).DeleteProvider(t.Context(), provider)
	must(t, err)
	return location
}

// patience is how long a job may take on a machine that has nothing else to do:
// longer than the leases of the processes that were killed at work.
const patience = 3 * time.Minute

// completed waits for the end of a deletion, and checks that it is as it should
// be: everything revoked, upstream and in the job's own words, and nothing left.
func (c *cluster) completed(t *testing.T, p *processes.Process, location, provider string, total int64) {
	t.Helper()
	ctx, cancel := brokertest.WithPatience(t.Context(), patience)
	defer cancel()
	job, err := c.client(p).WaitJob(ctx, location, 50*time.Millisecond, nil)
	must(t, err)
	if job.Status != models.JobCompleted {
		t.Fatalf("the job ended as %s: %v", job.Status, job.Details)
	}
	if got := number(t, job, "total"); got != total {
		t.Errorf("the job's total is %d, want %d", got, total)
	}
	if got := number(t, job, string(models.OutcomeRevoked)); got != total {
		t.Errorf("the job says that %d of %d were revoked: %v", got, total, job.Details)
	}
	if got := c.Upstream.Stats().LiveGrants; got != 0 {
		t.Errorf("%d grants are left upstream", got)
	}
	for what, query := range map[string]string{
		"providers":   "SELECT count(*) FROM providers WHERE id = $1",
		"secrets":     "SELECT count(*) FROM secure_configs WHERE provider_id = $1",
		"credentials": "SELECT count(*) FROM credentials c JOIN authorizations a ON a.id = c.authorization_id WHERE a.provider_id = $1",
		"authorizations with an account or without an outcome": "SELECT count(*) FROM authorizations WHERE provider_id = $1 AND (sub <> '' OR outcome IS NULL)",
	} {
		if got := c.count(t, query, provider); got != 0 {
			t.Errorf("%s left in SQL: %d", what, got)
		}
	}
	if got := c.count(t, "SELECT count(*) FROM authorizations WHERE provider_id = $1 AND outcome = 'revoked'", provider); got != total {
		t.Errorf("SQL remembers %d outcomes, want %d", got, total)
	}
}

// number is a count in a job's details.
func number(t *testing.T, job models.Job, name string) int64 {
	t.Helper()
	n, err := processes.Number(job, name)
	must(t, err)
	return n
}

// query lends a connection to the database.
func (c *cluster) query(t *testing.T, f func(*pgx.Conn) error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.DatabaseURL)
	must(t, err)
	defer conn.Close(t.Context())
	must(t, f(conn))
}

func (c *cluster) count(t *testing.T, query string, args ...any) (n int64) {
	t.Helper()
	c.query(t, func(conn *pgx.Conn) error { return conn.QueryRow(t.Context(), query, args...).Scan(&n) })
	return n
}

// expire ends the life of an authorization's access token, by our own record.
func (c *cluster) expire(t *testing.T, authorization string) {
	t.Helper()
	c.query(t, func(conn *pgx.Conn) error {
		_, err := conn.Exec(t.Context(), `UPDATE credentials SET expires_at = now() - interval '1 second',
			refresh_after = now() - interval '1 minute' WHERE authorization_id = $1`, authorization)
		return err
	})
}

// ownRedis starts a Redis that a test may take away.
func ownRedis(t *testing.T) *services.Server {
	t.Helper()
	redis, err := services.StartRedis(t.Context())
	if errors.Is(err, services.ErrMissing) {
		services.Skip(t, "this test stops a Redis of its own, and "+err.Error())
	}
	must(t, err)
	t.Cleanup(func() {
		if err := redis.Close(); err != nil {
			t.Error(err)
		}
	})
	return redis
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	brokertest.Eventually(t, what, ok)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
