package main

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/testidp"
)

// many is how many authorizations a deletion has.
func many(s *scene) int { return s.size(10_000, 600) }

// slowRevocations keeps a deletion going for long enough to break something.
func (x *site) slowRevocations(ms int) {
	x.Upstream.Inject(testidp.Fault{Endpoint: testidp.Revoke, LatencyMS: ms})
}

func oneWorkerIsKilled(s *scene) result {
	x := newSite(s, "", "")
	x.slowRevocations(50)
	api, one := x.start("api"), x.start("worker")
	x.start("worker")
	d := x.delete(api, many(s))
	d.underWay(10)
	struck := time.Now()
	s.must(one.Kill())
	return d.end(struck)
}

func allWorkersAreKilled(s *scene) result {
	x := newSite(s, "", "")
	x.slowRevocations(50)
	api, one, other := x.start("api"), x.start("worker"), x.start("worker")
	d := x.delete(api, many(s))
	d.underWay(10)
	struck := time.Now()
	s.must(one.Kill())
	s.must(other.Kill())
	left := x.Upstream.Stats().LiveGrants
	x.start("worker")
	r := d.end(struck)
	r.note = fmt.Sprintf("%d of %d were left when they died", left, d.total)
	return r
}

// aFrozenWorker sleeps over the leases of its items, and wakes up with their
// outcomes in its hands when others have done its work (D6).
func aFrozenWorker(s *scene) result {
	x := newSite(s, "", "")
	return x.late(*x.Grantd, func(p *processes.Process) { s.must(syscall.Kill(p.PID(), syscall.SIGSTOP)) },
		func(p *processes.Process) { s.must(syscall.Kill(p.PID(), syscall.SIGCONT)) })
}

// aWorkerFrozenInATransaction holds locks in SQL as well, on its items and on the
// job, for as long as SQL lets it. It is made to wait for the job, is frozen, and
// then gets it.
func aWorkerFrozenInATransaction(s *scene) result {
	x := newSite(s, "", "")
	named := *x.Grantd
	named.DatabaseURL += "&application_name=frozen"
	freeze := func(p *processes.Process) {
		conn, err := pgx.Connect(s.ctx, x.DatabaseURL)
		s.must(err)
		defer conn.Close(s.ctx)
		_, err = conn.Exec(s.ctx, "BEGIN; SELECT 1 FROM jobs FOR UPDATE")
		s.must(err)
		x.until("the worker waits in the midst of writing outcomes", func() bool {
			return x.count(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'frozen'
				AND wait_event_type = 'Lock' AND query LIKE 'UPDATE "jobs" SET "revoked"%'`) > 0
		})
		s.must(syscall.Kill(p.PID(), syscall.SIGSTOP))
		_, err = conn.Exec(s.ctx, "COMMIT")
		s.must(err)
	}
	return x.late(named, freeze, func(p *processes.Process) { s.must(syscall.Kill(p.PID(), syscall.SIGCONT)) })
}

// aWorkerCutOff is the same with a worker that goes on revoking, and cannot tell.
func aWorkerCutOff(s *scene) result {
	x := newSite(s, "", "")
	apart := *x.Grantd
	var way *proxy
	apart.DatabaseURL, way = through(s, x.DatabaseURL)
	return x.late(apart, func(*processes.Process) { way.cut() }, func(*processes.Process) { way.mend() })
}

// late has one of two workers away until the other one has ended a deletion, and
// looks at what it still says then.
func (x *site) late(apart processes.Grantd, away, back func(*processes.Process)) result {
	x.Helper()
	x.slowRevocations(200)
	apart.Env = []string{"GRANTD_LOG_LEVEL=debug"}
	api, slow := x.start("api"), x.startAs(&apart, "worker")
	x.start("worker")
	d := x.delete(api, x.size(2000, 400))
	d.underWay(10)
	struck := time.Now()
	away(slow)
	held := x.count("SELECT count(*) FROM authorizations WHERE item_lease IS NOT NULL")
	r := d.end(struck)

	heard := len(slow.Log())
	back(slow)
	x.until("the late worker has ended its slice", func() bool {
		return strings.Contains(slow.Log()[heard:], `"msg":"task `)
	})
	job, _ := d.job()
	d.counted(job) // as it was: nothing counts twice
	r.note = fmt.Sprintf("%d of %d items were leased when it went away; what it said late changed nothing", held, d.total)
	return r
}

func redisIsEmptied(s *scene) result {
	bell := ownRedis(s)
	x := newSite(s, "", bell.URL)
	x.slowRevocations(50)
	api := x.start("api")
	x.start("worker")
	x.start("worker")
	d := x.delete(api, many(s))
	d.underWay(10)
	r := redis.NewClient(&redis.Options{Addr: bell.Addr})
	defer r.Close()
	struck := time.Now()
	s.must(r.FlushAll(s.ctx).Err())
	return d.end(struck)
}

func redisIsDown(s *scene) result {
	bell := ownRedis(s)
	x := newSite(s, "", bell.URL)
	api := x.start("api")
	x.start("worker")
	d := x.seeded(api, many(s))
	s.must(bell.Stop())
	asked := time.Now()
	d.ask()
	answered := time.Since(asked)
	s.must(bell.Start(s.ctx))
	r := d.end(time.Now())
	r.note = fmt.Sprintf("DELETE was answered after %d ms", answered.Milliseconds())
	return r
}

// redisIsPaused leaves connections open on which nothing answers, which is worse
// than a Redis that is gone: who waits for it waits for as long as he may.
func redisIsPaused(s *scene) result {
	bell := ownRedis(s)
	x := newSite(s, "", bell.URL)
	x.slowRevocations(50)
	api := x.start("api")
	x.start("worker")
	x.start("worker")
	other := x.provider(x.client(api), "test")
	ids := x.consents(x.client(api), other.ID, 10)
	d := x.delete(api, s.size(5000, 600))
	d.underWay(10)
	s.must(bell.Pause())
	x.expire(ids...)
	slowest := time.Duration(0)
	for _, id := range ids {
		begin := time.Now()
		if _, err := x.client(api).Token(s.ctx, id); err != nil {
			s.Errorf("a token while Redis is frozen: %v", err)
		}
		slowest = max(slowest, time.Since(begin))
	}
	s.must(bell.Resume())
	resumed := time.Now()
	lost := x.fetched(x.client(api), ids)
	r := d.endBeside(resumed, int64(len(ids)))
	r.lost += lost
	r.note = fmt.Sprintf("the slowest of %d refreshed token fetches took %d ms", len(ids), slowest.Milliseconds())
	return r
}

// endBeside is end where so many grants belong to another provider.
func (d *deletion) endBeside(struck time.Time, others int64) result {
	d.Helper()
	r := d.end(struck)
	r.lost -= others
	return r
}
