package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// trouble is a deletion and some refreshes at an upstream that misbehaves.
type trouble struct {
	*deletion
	admin *client.Client
	ids   []string // of another provider, to refresh
}

// newTrouble sets the scene: nothing is asked for yet.
func newTrouble(s *scene, items int) *trouble {
	x := newSite(s, "", "")
	api := x.start("api")
	x.start("worker")
	x.start("worker")
	admin := x.client(api)
	ids := x.consents(admin, x.provider(admin, "test").ID, 5)
	return &trouble{deletion: x.seeded(api, items), admin: admin, ids: ids}
}

// refused expires the tokens and asks for each once: what cannot be had must be
// said with advice when to come back, and nobody may be sent to consent again.
func (t *trouble) refused() (refused int) {
	t.Helper()
	t.expire(t.ids...)
	for _, id := range t.ids {
		_, err := t.admin.Token(t.ctx, id)
		if err == nil {
			continue
		}
		refused++
		refusal, ok := errors.AsType[*client.Error](err)
		if !ok || refusal.Status != http.StatusBadGateway || refusal.RetryAfter <= 0 {
			t.Errorf("a caller was told %v, want 502 with Retry-After", err)
		}
	}
	return refused
}

// over waits until the injected faults have struck as often as they should, and
// judges what is left.
func (t *trouble) over() result {
	t.Helper()
	t.until("the upstream is well again", func() bool { return len(t.Upstream.Faults()) == 0 })
	well := time.Now()
	lost := t.fetched(t.admin, t.ids)
	r := t.endBeside(well, int64(len(t.ids)))
	r.lost += lost
	return r
}

func upstreamFails(s *scene) result {
	n := s.size(2000, 300)
	t := newTrouble(s, n)
	t.Upstream.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 500, Times: n})
	t.ask()
	r := t.over()
	r.note = fmt.Sprintf("%d answers of 500 for %d authorizations", n, t.total)
	return r
}

// upstreamRevokesSlowly has more items wait for their turn than the leases last:
// what was claimed must not lapse unsent, or workers undo each other's work.
func upstreamRevokesSlowly(s *scene) result {
	x := newSite(s, "", "")
	x.slowRevocations(1500)
	api := x.start("api")
	x.start("worker")
	x.start("worker")
	begin := time.Now()
	d := x.delete(api, s.size(1000, 500))
	r := d.end(begin)
	calls := x.Upstream.Stats().Calls[testidp.Revoke]
	if calls != 2*d.total {
		s.Errorf("%d authorizations of two tokens each took %d revocations", d.total, calls)
	}
	r.note = fmt.Sprintf("%d authorizations, %d calls, at most %d at once; seconds are those of the whole deletion",
		d.total, calls, x.Upstream.Stats().MaxConcurrentRevocations)
	return r
}

func upstreamAsksForSeconds(s *scene) result {
	return throttled(s, testidp.Fault{Status: 429, RetryAfter: "3"})
}

func upstreamAsksForADate(s *scene) result {
	return throttled(s, testidp.Fault{Status: 429, RetryIn: 4})
}

// throttled holds that a pause is respected by all, shown by the job, and counts as
// no attempt (D4, S3).
func throttled(s *scene, limited testidp.Fault) result {
	t := newTrouble(s, s.size(2000, 300))
	t.slowRevocations(20)
	onRevoke, onRefresh := limited, limited
	onRevoke.Endpoint, onRevoke.Skip, onRevoke.Times = testidp.Revoke, 50, 20
	onRefresh.Endpoint, onRefresh.Times = testidp.Refresh, 1
	t.Upstream.Inject(onRevoke, onRefresh)
	t.ask()
	shown := make(chan bool, 1)
	go func() { shown <- t.showsPause() }()
	refused := t.refused()
	if refused == 0 {
		s.Error("no caller met the pause")
	}
	if !<-shown {
		s.Error("the job never showed the pause")
	}
	t.Upstream.ClearFaults()
	r := t.over()
	if n := t.count("SELECT count(*) FROM authorizations WHERE provider_id = $1 AND item_attempts > 0", t.provider.ID); n > 0 {
		s.Errorf("the pause counts as an attempt of %d items", n)
	}
	r.note = fmt.Sprintf("the job showed paused_until; %d callers were told when to come back", refused)
	return r
}

// showsPause watches the job until it shows a pause, and returns false when it ended
// without.
func (t *trouble) showsPause() (shown bool) {
	t.eventually(func() bool {
		j, ok := t.job()
		shown = ok && shows(j, "paused_until")
		return shown || ok && j.Status.Final()
	})
	return shown
}

func shows(j models.Job, name string) bool {
	for _, d := range j.Details {
		if d.Name == name {
			return true
		}
	}
	return false
}

func upstreamAnswersHTML(s *scene) result {
	t := newTrouble(s, s.size(2000, 300))
	page := testidp.Fault{Status: 502, ContentType: "text/html", Body: "<html><h1>Bad gateway</h1></html>"}
	onRevoke, onRefresh := page, page
	onRevoke.Endpoint, onRevoke.Times = testidp.Revoke, 100
	onRefresh.Endpoint, onRefresh.Times = testidp.Refresh, 3
	t.Upstream.Inject(onRevoke, onRefresh)
	t.ask()
	refused := t.refused()
	r := t.over()
	r.note = fmt.Sprintf("%d callers got 502 with Retry-After", refused)
	return r
}

// upstreamHangs: a caller whose token lives gets that one, after at most 4.5 s;
// the attempt ends at its own deadline of 30 s, and is replayed.
func upstreamHangs(s *scene) result {
	t := newTrouble(s, s.size(500, 100))
	t.Upstream.Inject(testidp.Fault{Endpoint: testidp.Revoke, Hang: true, Times: 10},
		testidp.Fault{Endpoint: testidp.Refresh, Hang: true, Times: 2})
	t.ask()
	living, expired := t.ids[0], t.ids[1]
	t.due(living)
	t.expire(expired)
	begin := time.Now()
	if _, err := t.admin.Token(s.ctx, living); err != nil {
		s.Errorf("a token that lives was not served while the upstream hangs: %v", err)
	}
	waited := time.Since(begin)
	if _, err := t.admin.Token(s.ctx, expired); statusOf(err) != http.StatusBadGateway {
		s.Errorf("the caller of an invalid token was told %v, want 502", err)
	}
	r := t.over()
	r.note = fmt.Sprintf("the token that lived was served after %.1f s; the hung refreshes end at their deadline of 30 s and are replayed", waited.Seconds())
	return r
}

// upstreamIsSlow: callers whose token is still valid are served, and nothing is refreshed twice.
func upstreamIsSlow(s *scene) result {
	x := newSite(s, "", "")
	replicas := []*client.Client{x.client(x.start("api")), x.client(x.start("api"))}
	ids := x.consents(replicas[0], x.provider(replicas[0], "test").ID, 2)
	living, expired := ids[0], ids[1]
	x.Upstream.Inject(testidp.Fault{Endpoint: testidp.Refresh, LatencyMS: 11_000})
	x.due(living)
	x.expire(expired)
	begin := time.Now()
	var served, told atomic.Int64
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			_, err := replicas[i%2].Token(s.ctx, living)
			if err == nil {
				served.Add(1)
				return
			}
			s.Logf("whose token lives was told: %v", err)
		})
		all.Go(func() {
			_, err := replicas[i%2].Token(s.ctx, expired)
			if statusOf(err) == http.StatusBadGateway {
				told.Add(1)
			}
		})
	}
	all.Wait()
	if served.Load() != 20 || told.Load() != 20 {
		s.Errorf("%d of 20 got the token that lived, %d of 20 were told to come back", served.Load(), told.Load())
	}
	x.until("both refreshes are over", func() bool {
		return x.count("SELECT count(*) FROM credentials WHERE generation = 2") == 2
	})
	lost := x.fetched(replicas[1], ids)
	r := result{lost: lost, spent: x.spentTwice(), recovered: time.Since(begin)}
	if calls := x.Upstream.Stats().Calls[testidp.Refresh]; calls != 2 {
		s.Errorf("the upstream was asked to refresh 2 authorizations %d times", calls)
	}
	r.note = "for each of 2 authorizations one refresh and 20 callers: those whose token lived got it, the others were told to come back"
	return r
}

// upstreamResets loses the one answer with the new tokens. Nobody can have them
// again; what can be had is an honest word for it, and for that authorization only.
func upstreamResets(s *scene) result {
	x := newSite(s, "", "")
	api := x.start("api")
	x.start("worker")
	admin := x.client(api)
	ids := x.consents(admin, x.provider(admin, "test").ID, 10)
	x.expire(ids...)
	x.Upstream.Inject(testidp.Fault{Endpoint: testidp.Refresh, ResetAfter: true, Times: 1})
	struck := time.Now()
	if _, err := admin.Token(s.ctx, ids[0]); statusOf(err) != http.StatusBadGateway {
		s.Errorf("the caller was told %v, want 502", err)
	}
	if _, gone := x.fetch(admin, ids[0]); !gone {
		s.Error("tokens that nobody has were handed out")
	}
	r := result{recovered: time.Since(struck), lost: x.lost(admin, ids[1:])}
	return x.ambiguous(r, 1)
}

// ambiguous judges a row in which so many answers were lost after the upstream
// had rotated.
func (x *site) ambiguous(r result, answers int64) result {
	x.Helper()
	lost := x.lostResponses()
	if lost != answers {
		x.Errorf("%d authorizations are marked lost_response, want %d", lost, answers)
	}
	r.spent = x.spentTwice()
	r.note = fmt.Sprintf("%d person must consent again: the only copy of the new tokens was in the lost answer (reason lost_response); the other authorizations go on", answers)
	return r
}

func upstreamRedirects(s *scene) result {
	var arrived atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived.Add(1) }))
	s.Cleanup(elsewhere.Close)
	t := newTrouble(s, 50)
	t.Upstream.Inject(testidp.Fault{Endpoint: testidp.Token, Status: http.StatusTemporaryRedirect, Location: elsewhere.URL + "/token"})
	t.ask()
	refused := t.refused()
	t.Upstream.ClearFaults()
	r := t.over()
	if n := arrived.Load(); n > 0 {
		s.Errorf("%d requests with secrets followed the redirect", n)
	}
	if refused != len(t.ids) {
		s.Errorf("%d of %d callers were refused", refused, len(t.ids))
	}
	r.note = "nothing was sent to where it pointed"
	return r
}

// secretIsWrongForAnHour plays in one process, whose clock can be moved. That the
// tokens are older then is part of it.
func secretIsWrongForAnHour(s *scene) result {
	h := brokertest.New(s, nil)
	p := h.Provider(s, "test")
	ids := make([]string, 10)
	for i := range ids {
		ids[i] = h.Consent(s, h.User, p, fmt.Sprint("person-", i)).ID
	}
	h.Clock.Advance(2 * time.Hour) // every token is due
	h.IdP.SetSecret(brokertest.ClientID, "another one")
	ask := func() (had, gone int) {
		for _, id := range ids {
			_, err := h.Service.Token(context.Background(), h.User.Caller, id, 0)
			switch models.CodeOf(err) {
			case "":
				had++
			case models.CodeGone:
				gone++
			}
		}
		return had, gone
	}
	if had, gone := ask(); had > 0 || gone > 0 {
		s.Errorf("with the wrong secret %d got tokens and %d were sent to consent again", had, gone)
	}
	h.Clock.Advance(time.Hour)
	ask() // somebody probes, and is refused again
	h.IdP.SetSecret(brokertest.ClientID, brokertest.ClientSecret)
	right := time.Now()
	h.Clock.Advance(5 * time.Minute) // until the next probe is due
	var gone int
	s.until("everybody has a token again", func() bool {
		var had int
		had, gone = ask()
		return had+gone == len(ids)
	})
	return result{lost: int64(gone), spent: h.IdP.Stats().RefreshReused, recovered: time.Since(right),
		note: "the clock was moved; after the upstream has come round, one authorization probes every 5 min, and frees the rest"}
}

func secretIsChanged(s *scene) result {
	x := newSite(s, "", "")
	replicas := []*client.Client{x.client(x.start("api")), x.client(x.start("api"))}
	x.start("worker")
	p := x.provider(replicas[0], "test")
	ids := x.consents(replicas[0], p.ID, 20)
	x.expire(ids...)
	secret := models.Secret("another one")
	x.Upstream.SetSecret(brokertest.ClientID, secret.Reveal())
	for i, id := range ids {
		if _, err := replicas[i%2].Token(s.ctx, id); statusOf(err) != http.StatusBadGateway {
			s.Errorf("a caller was told %v, want 502", err)
		}
	}
	asked := x.Upstream.Stats().Calls[testidp.Refresh]
	_, err := replicas[0].ChangeProvider(s.ctx, p.ID, models.ProviderPatch{ClientSecret: &secret})
	s.must(err)
	right := time.Now()
	r := result{lost: x.fetched(replicas[1], ids), spent: x.spentTwice(), recovered: time.Since(right)}
	r.note = fmt.Sprintf("the upstream was asked %d times with the wrong secret for %d authorizations", asked, len(ids))
	return r
}
