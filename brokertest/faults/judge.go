package main

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

// fetch asks for a token until there is one, or until grantd says that nobody but
// the person can bring one. Other refusals must say when to come back.
func (x *site) fetch(c *client.Client, id string) (token models.Secret, gone bool) {
	x.Helper()
	x.until("a token of "+id, func() bool {
		got, err := c.Token(x.ctx, id)
		if err == nil {
			token = got.AccessToken
			return true
		}
		gone = statusOf(err) == http.StatusGone
		return gone
	})
	return token, gone
}

// statusOf is the HTTP status of a refusal, 0 where no answer came.
func statusOf(err error) int {
	if refusal, ok := errors.AsType[*client.Error](err); ok {
		return refusal.Status
	}
	return 0
}

// fetched asks for the tokens of all, and says how many people would have to
// consent again: those who get none, or one that the upstream does not take.
func (x *site) fetched(c *client.Client, ids []string) (lost int64) {
	x.Helper()
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(8)
	for _, id := range ids {
		group.Go(func() error {
			if !x.usable(c, id) {
				mu.Lock()
				defer mu.Unlock()
				lost++
			}
			return nil
		})
	}
	x.must(group.Wait())
	return lost
}

// usable asks for a token that the upstream takes. One that it does not take may
// have been replaced since it was handed out: then there is another one.
func (x *site) usable(c *client.Client, id string) bool {
	x.Helper()
	for range 3 {
		token, gone := x.fetch(c, id)
		if gone {
			return false
		}
		if x.taken(token) {
			return true
		}
	}
	return false
}

// lost has all tokens refreshed and counts those that cannot be had any more: a
// refresh token that died unnoticed shows itself only when it is used.
func (x *site) lost(c *client.Client, ids []string) int64 {
	x.Helper()
	x.expire(ids...)
	return x.fetched(c, ids)
}

// taken asks the upstream whether it takes an access token.
func (x *site) taken(token models.Secret) bool {
	x.Helper()
	request, err := http.NewRequestWithContext(x.ctx, http.MethodGet, x.Upstream.URL+"/userinfo", nil)
	x.must(err)
	request.Header.Set("Authorization", "Bearer "+token.Reveal())
	answer, err := http.DefaultClient.Do(request)
	x.must(err)
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// spentTwice counts the refresh tokens the upstream saw again after it had spent
// them, less the one replay of each attempt whose outcome nobody knew (R3).
func (x *site) spentTwice() int64 {
	x.Helper()
	return x.Upstream.Stats().RefreshReused - x.lostResponses()
}

func (x *site) lostResponses() int64 {
	x.Helper()
	return x.count("SELECT count(*) FROM credentials WHERE verdict_reason = 'lost_response'")
}

// deletion is a provider on its way out.
type deletion struct {
	*site
	api      *processes.Process
	provider models.Provider
	location string
	total    int64
}

// delete seeds a provider, and asks for its deletion.
func (x *site) delete(api *processes.Process, n int) *deletion {
	x.Helper()
	d := x.seeded(api, n)
	d.ask()
	return d
}

// seeded is a provider that is about to be deleted.
func (x *site) seeded(api *processes.Process, n int) *deletion {
	x.Helper()
	d := &deletion{site: x, api: api, provider: x.provider(x.client(api), "test"), total: int64(n)}
	begin := time.Now()
	x.seed(d.provider, n)
	x.Logf("made %d authorizations in %s", n, time.Since(begin).Round(time.Millisecond))
	return d
}

func (d *deletion) ask() {
	d.Helper()
	var err error
	d.location, err = d.client(d.api).DeleteProvider(d.ctx, d.provider.ID)
	d.must(err)
}

// job returns the job as it is, and false when it cannot be asked for now.
func (d *deletion) job() (models.Job, bool) {
	j, err := d.client(d.api).Job(d.ctx, d.location)
	return j, err == nil
}

// underWay waits until a part of the authorizations is revoked, and not all.
func (d *deletion) underWay(part int64) {
	d.Helper()
	d.until("some authorizations are revoked", func() bool {
		j, ok := d.job()
		return ok && settled(j) >= max(1, d.total/part)
	})
	if j, ok := d.job(); !ok || j.Status.Final() {
		d.Fatal("the deletion was over before anything broke: this shows nothing")
	}
}

func settled(j models.Job) (n int64) {
	for _, o := range models.Outcomes {
		count, err := processes.Number(j, string(o))
		if err == nil {
			n += count
		}
	}
	return n
}

// end waits for the end of the deletion, and holds it against what should be:
// every authorization has one outcome, and nothing is left.
func (d *deletion) end(struck time.Time) result {
	d.Helper()
	var job models.Job
	d.until("the deletion ends", func() bool {
		var ok bool
		job, ok = d.job()
		return ok && job.Status.Final()
	})
	recovered := time.Since(struck)
	if job.Status != models.JobCompleted {
		d.Fatalf("the job ended as %s: %v", job.Status, job.Details)
	}
	d.counted(job)
	return result{lost: d.Upstream.Stats().LiveGrantsByClient[d.provider.ClientID], spent: d.spentTwice(), recovered: recovered}
}

// counted checks that every outcome was written once: in the job, on the items,
// and in the audit.
func (d *deletion) counted(job models.Job) {
	d.Helper()
	if total, err := processes.Number(job, "total"); err != nil || total != d.total || settled(job) != d.total {
		d.Errorf("%d of %d are settled, want %d: %v", settled(job), total, d.total, job.Details)
	}
	for what, query := range map[string]string{
		"items with an outcome": "SELECT count(*) FROM authorizations WHERE provider_id = $1 AND outcome IS NOT NULL",
		"audited revocations":   "SELECT count(*) FROM audit_events WHERE provider_id = $1 AND action = 'authorization.revoked'",
	} {
		if got := d.count(query, d.provider.ID); got != d.total {
			d.Errorf("%s: %d, want %d", what, got, d.total)
		}
	}
	for what, query := range map[string]string{
		"providers":   "SELECT count(*) FROM providers WHERE id = $1",
		"secrets":     "SELECT count(*) FROM secure_configs WHERE provider_id = $1",
		"credentials": "SELECT count(*) FROM credentials c JOIN authorizations a ON a.id = c.authorization_id WHERE a.provider_id = $1",
	} {
		if got := d.count(query, d.provider.ID); got != 0 {
			d.Errorf("%s left in SQL: %d", what, got)
		}
	}
}
