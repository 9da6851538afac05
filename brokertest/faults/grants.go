package main

import (
	"fmt"
	"time"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// reconnected plays GitHub, where a revocation takes every token of the account:
// the late one must spare what the person has just granted again (D1).
func reconnected(s *scene) result {
	x := newSite(s, "", "")
	api := x.client(x.start("api"))
	x.start("worker")
	p := x.provider(api, "github")
	old := x.consent(api, p.ID, "ada")
	x.Upstream.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 429, RetryAfter: "2", Times: 1})
	s.must(api.Disconnect(s.ctx, old))
	if x.count("SELECT count(*) FROM authorizations WHERE id = $1 AND outcome IS NULL", old) != 1 {
		s.Fatal("the disconnect was over before the person came back: this shows nothing")
	}
	again := x.consent(api, p.ID, "ada")
	back := time.Now()
	x.until("the tombstone has run", func() bool {
		return x.count("SELECT count(*) FROM authorizations WHERE id = $1 AND outcome IS NOT NULL", old) == 1
	})
	r := result{recovered: time.Since(back)}
	r.lost = x.alive(api, []string{again})
	r.spent = x.spentTwice()
	r.note = "GitHub's dialect; nothing but the old token was revoked"
	return r
}

// alive counts those of whom the upstream does not take the token they have now,
// and access tokens upstream that belong to none of them.
func (x *site) alive(c *client.Client, ids []string) int64 {
	x.Helper()
	lost := x.fetched(c, ids)
	if left := x.Upstream.Stats().LiveAccessTokens - int64(len(ids)); left > 0 {
		lost += left
	}
	return lost + x.lost(c, ids)
}

func providerIsMadeAgain(s *scene) result {
	x := newSite(s, "", "")
	x.slowRevocations(100)
	process := x.start("api")
	api := x.client(process)
	x.start("worker")
	x.start("worker")
	n := s.size(600, 150)
	d := &deletion{site: x, api: process, provider: x.provider(api, "github"), total: int64(n)}
	x.consents(api, d.provider.ID, n)
	d.ask()
	again := x.provider(api, "github")
	ids := make([]string, n/5)
	for i := range ids { // from the last to be revoked to the first
		ids[i] = x.persistent(api, again.ID, fmt.Sprint("person-", n-1-i*5))
	}
	job, ok := d.job()
	overlapped := ok && !job.Status.Final()
	back := time.Now()
	x.until("the deletion ends", func() bool {
		job, ok = d.job()
		return ok && job.Status.Final()
	})
	r := result{recovered: time.Since(back)}
	if job.Status != models.JobCompleted {
		s.Fatalf("the job ended as %s: %v", job.Status, job.Details)
	}
	d.counted(job)
	r.lost = x.alive(api, ids)
	r.spent = x.spentTwice()
	r.note = fmt.Sprintf("GitHub's dialect; %d of %d people consented again meanwhile", len(ids), n)
	if !overlapped {
		r.note += " (the last of them after the end)"
	}
	return r
}

// persistent is a person who begins again when told to.
func (x *site) persistent(c *client.Client, provider, person string) (id string) {
	x.Helper()
	x.until(person+" has consented", func() bool {
		a, err := processes.Consent(x.ctx, c, provider, person)
		id = a.ID
		return err == nil
	})
	return id
}

// callbackDuringARevocation has an old grant revoked, GitHub's way, between the
// moment a new one's code is exchanged and the moment its owner is known. The new
// tokens die upstream with the old ones. To say "start again" is honest; to call
// the consent done is not (D1).
func callbackDuringARevocation(s *scene) result {
	x := newSite(s, "", "")
	process := x.start("api")
	api := x.client(process)
	x.start("worker")
	d := &deletion{site: x, api: process, provider: x.provider(api, "github"), total: 1}
	again := x.provider(api, "github")
	x.consent(api, d.provider.ID, "ada")
	asked := x.Upstream.Stats().Calls[testidp.UserInfo]
	// The second of two calls: GitHub tells e-mail addresses apart from the rest.
	x.Upstream.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Skip: 1, AnswerLatencyMS: 2000, Times: 1})
	type answer struct {
		id  string
		err error
	}
	told := make(chan answer, 1)
	go func() {
		a, err := processes.Consent(x.ctx, api, again.ID, "ada")
		told <- answer{a.ID, err}
	}()
	x.until("the upstream is asked who consents", func() bool { return x.Upstream.Stats().Calls[testidp.UserInfo] > asked+1 })
	begin := time.Now()
	d.ask()
	x.until("the deletion ends", func() bool {
		j, ok := d.job()
		return ok && j.Status.Final()
	})
	got := <-told
	r := result{recovered: time.Since(begin), note: "GitHub's dialect; the person was told to start again"}
	if got.err == nil {
		r.note = "GitHub's dialect; the consent was called done"
		if !x.usable(api, got.id) {
			r.lost++
		}
	}
	r.spent = x.spentTwice()
	return r
}

// callbackAfterTheLastSlice has a code on its way to the upstream while the last
// authorization is revoked. What it brings must be revoked as well (D2).
func callbackAfterTheLastSlice(s *scene) result {
	x := newSite(s, "", "")
	api := x.start("api")
	x.start("worker")
	d := x.seeded(api, 100)
	x.Upstream.Inject(testidp.Fault{Endpoint: testidp.Exchange, AnswerLatencyMS: 8000, Times: 1})
	told := make(chan error, 1)
	go func() {
		_, err := processes.Consent(s.ctx, x.client(api), d.provider.ID, "late")
		told <- err
	}()
	x.until("the code is being spent", func() bool { return x.Upstream.Stats().Calls[testidp.Exchange] == 1 })
	begin := time.Now()
	d.ask()
	x.until("the last slice is over", func() bool {
		j, ok := d.job()
		return ok && settled(j) == d.total
	})
	if j, ok := d.job(); !ok || j.Status.Final() {
		s.Error("the job ended although a code was on its way")
	}
	d.total++
	r := d.end(begin)
	if err := <-told; err == nil {
		s.Error("the consent to a provider that is deleted was reported as done")
	}
	r.note = fmt.Sprintf("the job waited for the code and revoked %d, one more than it had begun with", d.total)
	return r
}
