package main

import (
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// aReplicaCutOff: the upstream gives new tokens to a replica that cannot reach
// the database any more. Its lease runs out, another replica takes over and is
// turned away by the upstream; then the first one comes back. Its tokens are the
// only living ones, and must be kept however late (R1).
func aReplicaCutOff(s *scene) result {
	x := newSite(s, "", "")
	apart := *x.Grantd
	var way *proxy
	apart.DatabaseURL, way = through(s, x.DatabaseURL)
	slow, other := x.client(x.startAs(&apart, "api")), x.client(x.start("api"))
	ids := x.consents(other, x.provider(other, "test").ID, 5)
	id := ids[0]
	x.expire(id)
	x.Upstream.Inject(testidp.Fault{Endpoint: testidp.Refresh, AnswerLatencyMS: 1500, Times: 1})
	go slow.Token(s.ctx, id) // it is told to come back; what matters goes on without it
	x.until("the upstream is asked", func() bool { return x.Upstream.Stats().Calls[testidp.Refresh] == 1 })
	way.cut()
	x.Upstream.Inject(testidp.Fault{Endpoint: testidp.Refresh, Status: http.StatusServiceUnavailable})
	x.until("the lease has run out", func() bool {
		return x.count("SELECT count(*) FROM credentials WHERE authorization_id = $1 AND lease_until < now()", id) == 1
	})
	x.until("the other replica has tried", func() bool {
		_, err := other.Token(s.ctx, id)
		return err != nil && x.Upstream.Stats().Calls[testidp.Refresh] > 1
	})
	x.Upstream.ClearFaults()
	way.mend()
	mended := time.Now()
	x.until("the late tokens are saved", func() bool {
		return x.count("SELECT count(*) FROM credentials WHERE authorization_id = $1 AND generation = 2", id) == 1
	})
	token, gone := x.fetch(other, id)
	r := result{recovered: time.Since(mended)}
	if gone || !x.taken(token) {
		r.lost++
	}
	r.lost += x.lost(other, ids)
	r.spent = x.spentTwice()
	r.note = "the lease of 40 s was over, and the other replica had asked without success"
	return r
}

// aReplicaFrozen finds the upstream's answer waiting when it wakes up, later than
// it would have waited for it. It is the only copy.
func aReplicaFrozen(s *scene) result {
	x := newSite(s, "", "")
	slow, other := x.start("api"), x.client(x.start("api"))
	ids := x.consents(other, x.provider(other, "test").ID, 5)
	old, err := other.Token(s.ctx, ids[0])
	s.must(err)
	x.expire(ids[0])
	x.Upstream.Inject(testidp.Fault{Endpoint: testidp.Refresh, AnswerLatencyMS: 2000, Times: 1})
	go x.client(slow).Token(s.ctx, ids[0]) // nobody answers
	x.until("the upstream has rotated", func() bool { return !x.taken(old.AccessToken) })
	s.must(syscall.Kill(slow.PID(), syscall.SIGSTOP))
	x.until("the lease has run out", func() bool {
		return x.count("SELECT count(*) FROM credentials WHERE authorization_id = $1 AND lease_until < now()", ids[0]) == 1
	})
	s.must(syscall.Kill(slow.PID(), syscall.SIGCONT))
	woken := time.Now()
	x.until("the attempt has ended", func() bool {
		return strings.Contains(slow.Log(), `"refresh failed"`) ||
			x.count("SELECT count(*) FROM credentials WHERE authorization_id = $1 AND generation = 2", ids[0]) > 0
	})
	r := result{recovered: time.Since(woken), lost: x.lost(other, ids), spent: x.spentTwice()}
	r.note = "the lease of 40 s was over"
	return r
}

// killed is an API replica that dies during a refresh.
func killed(s *scene, fault testidp.Fault, ready func(x *site, old models.Secret) bool) (*site, *client.Client, []string, time.Time) {
	s.Helper()
	x := newSite(s, "", "")
	one, other := x.start("api"), x.start("api")
	x.start("worker")
	ids := x.consents(x.client(other), x.provider(x.client(other), "test").ID, 10)
	old, err := x.client(other).Token(s.ctx, ids[0])
	s.must(err)
	x.expire(ids[0])
	x.Upstream.Inject(fault)
	go x.client(one).Token(s.ctx, ids[0]) // nobody answers
	x.until("the upstream is where it should be", func() bool { return ready(x, old.AccessToken) })
	struck := time.Now()
	s.must(one.Kill())
	return x, x.client(other), ids, struck
}

func killedAfterRotating(s *scene) result {
	x, other, ids, struck := killed(s, testidp.Fault{Endpoint: testidp.Refresh, AnswerLatencyMS: 5000, Times: 1},
		func(x *site, old models.Secret) bool { return !x.taken(old) }) // it has new ones, then
	x.until("the sweeper has had the attempt replayed", func() bool { return x.lostResponses() > 0 })
	r := result{recovered: time.Since(struck)}
	if _, gone := x.fetch(other, ids[0]); !gone {
		s.Error("tokens that nobody has were handed out")
	}
	r.lost = x.lost(other, ids[1:])
	return x.ambiguous(r, 1)
}

func killedBeforeRotating(s *scene) result {
	x, other, ids, struck := killed(s, testidp.Fault{Endpoint: testidp.Refresh, LatencyMS: 5000, Times: 1},
		func(x *site, _ models.Secret) bool { return x.Upstream.Stats().Calls[testidp.Refresh] == 1 })
	x.until("the sweeper has had the attempt replayed", func() bool {
		return x.count("SELECT count(*) FROM credentials WHERE authorization_id = $1 AND generation = 2", ids[0]) == 1
	})
	r := result{recovered: time.Since(struck)}
	r.lost = x.lost(other, ids)
	r.spent = x.spentTwice()
	r.note = "the replay brought tokens; it waits for the lease of 40 s, since until then the attempt may be running"
	return r
}

// grantdOf is an instance as far as its database is concerned.
func grantdOf(h *brokertest.Instance) *processes.Grantd {
	return &processes.Grantd{DatabaseURL: h.DatabaseURL, Upstream: &processes.Upstream{Server: h.IdP, URL: h.IdPURL}}
}

// clocksDisagree plays in one process. Leases, due times and freshness are
// compared by PostgreSQL with PostgreSQL's clock (R4), so that a replica's own
// clock ought to matter to nobody; its store has a hook for it, which is what is
// moved here. The clock of a process of its own cannot be moved without that of
// the machine.
func clocksDisagree(s *scene) result {
	ahead := brokertest.New(s, &brokertest.Options{Backend: brokertest.Servers})
	behind := brokertest.New(s, &brokertest.Options{DatabaseURL: ahead.DatabaseURL, RedisURL: ahead.RedisURL,
		Keys: ahead.Keys, IdP: ahead.IdP, IdPURL: ahead.IdPURL})
	ahead.Clock.Advance(time.Minute)
	behind.Clock.Advance(-time.Minute)
	p, doomed := ahead.Provider(s, "test"), behind.Provider(s, "test")
	ids := make([]string, 10)
	for i := range ids {
		ids[i] = []*brokertest.Instance{ahead, behind}[i%2].Consent(s, ahead.Admin, p, "person-"+string(rune('a'+i))).ID
		behind.Consent(s, ahead.Admin, doomed, "person-"+string(rune('a'+i)))
	}
	x := &site{scene: s, Grantd: grantdOf(ahead)}
	replicas := []*client.Client{ahead.Admin.Client, behind.Admin.Client}
	begin := time.Now()
	x.expire(ids...)
	ahead.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, LatencyMS: 300})
	var all sync.WaitGroup
	for i := range 4 {
		for _, id := range ids {
			all.Go(func() {
				if _, err := replicas[i%2].Token(s.ctx, id); err != nil {
					s.Errorf("a caller was told %v", err)
				}
			})
		}
	}
	all.Wait()
	if calls := ahead.IdP.Stats().Calls[testidp.Refresh]; calls != int64(len(ids)) {
		s.Errorf("%d authorizations were refreshed by %d calls", len(ids), calls)
	}
	location, err := behind.Admin.Client.DeleteProvider(s.ctx, doomed.ID)
	s.must(err)
	job, err := ahead.Admin.Client.WaitJob(s.ctx, location, 20*time.Millisecond, nil)
	s.must(err)
	if job.Status != models.JobCompleted {
		s.Errorf("the deletion ended as %s: %v", job.Status, job.Details)
	}
	stats := ahead.IdP.Stats()
	return result{lost: max(0, stats.LiveGrants-int64(len(ids))), spent: stats.RefreshReused, recovered: time.Since(begin),
		note: "two replicas in one process on PostgreSQL, whose store has a hook for the clock; all that is compared is compared by PostgreSQL's"}
}
