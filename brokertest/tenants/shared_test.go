package tenants_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// shared is what organisations have in common, and why nothing of it is one's to choose
// for another.
type shared struct {
	what string
	why  string
	// probe has the hostile organisation do what it can, and checks what the other sees.
	// It is nil where there is nothing to try: why says it all, or names the test.
	probe func(*testing.T, *world)
}

const (
	byID     = "ids are made here (UUIDv7), never taken from a request"
	ownThing = "its columns are ids of things that one organisation has"
	ofStart  = "filled at the start, and only read afterwards"
)

// inSQL are the primary and unique keys.
var inSQL = []shared{
	{"api_tokens (id)", byID, nil},
	{"audit_events (id)", byID, nil},
	{"authorizations (id)", byID, othersAuthorization},
	{"authorizations (provider_id, user_id, sub)", "the provider is the organisation's", sameAccount},
	{"connect_links (flow_id)", byID, nil},
	{"connect_links (id)", byID, nil},
	{"connect_links (key_hash)", "the digest of a random secret that is made here", nil},
	{"credentials (authorization_id)", byID, nil},
	{"credentials (id)", byID, nil},
	{"event_feeds (org_id)", "a feed is its organisation's", nil},
	{"flows (id)", byID, nil},
	{"flows (org_id, user_id, provider_id, state_hash)", "a state counts for its organisation, user and provider alone", sameState},
	{"grant_leases (grant_key)", "a grant is known by what fixes it (D1)", sameGrant},
	{"jobs (dedupe_key)", "keys carry the organisation, or an id", sameHour},
	{"jobs (id)", byID, othersJob},
	{"meta (name)", "names are constants, and what the operator calls the sign-in issuer", nil},
	{"outbox (event_id)", byID, nil},
	{"outbox (org_id, number)", "numbers count within an organisation", nil},
	{"outbox (position)", "rows are numbered by the database", nil},
	{"pauses (provider_id, host, class)", "the origin is the one that answered; it is everybody's only after three organisations", othersPause},
	{"providers (id)", byID, othersProvider},
	{"providers (org_id, slug)", "slugs count within an organisation", sameSlug},
	{"reset_items (job_id, authorization_id)", ownThing, nil},
	{"retried_items (job_id, authorization_id)", ownThing, nil},
	{"secure_configs (id)", byID, nil},
	{"superseded_pairs (id)", byID, nil},
	{"upgrades (name)", "names are constants", nil},
	{"user_revocations (job_id)", byID, nil},
	{"user_revocations (org_id, user_id)", "a user counts within an organisation", nil},
	{"browser_sessions (id)", byID, nil},
	{"browser_sessions (token_hash)", "the digest of a random secret that is made here", nil},
	{"sessions (token_hash)", "the digest of a random secret that is made here", nil},
	{"statistics (org_id, day, name)", "they count for their organisation alone, and names are constants", nil},
	{"token_fetches (authorization_id, token_id, minute)", ownThing, nil},
	{"token_fetch_days (authorization_id, day, token_id)", ownThing, nil},
	{"token_use (authorization_id)", ownThing, nil},
	{"webhook_deliveries (id)", byID, nil},
	{"webhook_deliveries (position)", "rows are numbered by the database", nil},
	{"webhooks (id)", byID, nil},
}

// inProcess are the maps, channels and the like of a process.
var inProcess = []shared{
	{"api.Server.patterns", ofStart, nil},
	{"api.Server.segments", ofStart, nil},
	{"api.requests.known", "labels are routes and codes of ours", nil},
	{"broker.Service.checking", "by the id of an authorization, after the caller was found to be its owner or an admin", othersAuthorization},
	{"broker.flights.byID", "by the id of an authorization, after the caller was found to be its owner or an admin", othersAuthorization},
	{"broker.flights.byOrg", "counts; a provider never gets all slots, see TestT1_AnUpstreamThatHangsLeavesSlotsToOthers", nil},
	{"broker.flights.byProvider", "counts, by an id that is made here", nil},
	{"broker.flights.aheadOf", "counts, by an id that is made here", nil},
	{"broker.flights.short", "tells that the line of a provider has become shorter", nil},
	{"broker.flight.done", "of one refresh", nil},
	{"broker.concurrency.byOrg", "how many revocations and batches are under way, by organisation", hangingRevocations},
	{"broker.shares.byOrg", "how many tasks of workers are under way, by organisation", hangingTasks},
	{"broker.callerCache.byHash", "by the digest of a token that was found in the database", othersToken},
	{"broker.tokenUses.used", "by the id of an API token that was found in the database", nil},
	{"broker.fetchCounter.counts", "by authorization and caller, after the caller was found to be its owner", nil},
	{"broker.inflight.idle", "tells a process that it may end", nil},
	{"broker.Service.told", "tells a process that there are events", nil},
	{"broker.pollers[int64].byID", "feeds, by the caller's organisation", nil},
	{"broker.pollers[bool].byID", "links, by organisation, user and the id of a provider that was found to be theirs", nil},
	{"broker.pollers[github.com/grantd/grantd/models.Job].byID", "by the id of a job that the caller may see", othersJob},
	{"broker.places.taken", "by organisation first", nil},
	{"jobs.Listener.closed", "tells that a process ends", nil},
	{"jobs.Listener.queues", ofStart, nil},
	{"broker.tally[github.com/grantd/grantd/broker.owner].counts", "by organisation first; see TestT2_ImportsAreLimited", nil},
	{"broker.tally[net/netip.Prefix].counts", "by the address that a connection comes from, and only for those who could not be authenticated", nil},
	{"jobs.buckets.earned", "the organisation is in every key", sameBudget},
	{"jobs.memory.listeners", "who listens in this process", nil},
	{"metrics.Metrics.allowed", ofStart, nil},
	{"metrics.Metrics.counters", ofStart, nil},
	{"metrics.Metrics.fetched", ofStart, nil},
	{"metrics.Metrics.gauges", ofStart, nil},
	{"metrics.Metrics.histograms", ofStart, nil},
	{"models.Provider.Config", "of a row that a refresh has read, on its way to those who wait for it", nil},
	{"providers.Registry.clientsOf", ofStart, nil},
	{"providers.Registry.types", ofStart, nil},
	{"providers.allowlist.hosts", ofStart, nil},
	{"providers.Registry.keySets", "by organisation first; see TestT1_WhatIsRememberedPushesOutOnlyItsOwners", nil},
	{"providers.issuers.entries", "by organisation first; see TestT1_WhatIsRememberedPushesOutOnlyItsOwners", nil},
	{"store.fetch.answer", "of one fetch, by the id of an authorization; the caller is judged by the row that it brings", nil},
	{"worker.Worker.kinds", ofStart, nil},
}

// inRedis are the keys that may be found there, by their form.
var inRedis = []struct{ form, why string }{
	{`^asynq:\{(default|slices)\}:t:(job|revoke):[0-9a-f-]{36}:\d+$`, "a task, by an id that is made here"},
	{`^asynq:\{(default|slices)\}:(pending|active|lease|scheduled|retry|archived|completed)$`, "a queue, in which tasks wait in the order they came"},
	{`^asynq:\{(default|slices)\}:(processed|failed|processed:[0-9-]+|failed:[0-9-]+)$`, "a count"},
	{`^asynq:(queues|servers|workers|servers:\{.*\}|workers:\{.*\})$`, "who works"},
	{`^rate:grantd:(token|revoke):\d+:(acme|globex) `, "a budget, by organisation"},
}

// T1: every piece of state that organisations share has a row, and where there is
// something to try, what a hostile organisation does to it changes nothing for another.
func TestT1_NothingATenantNamesIsShared(t *testing.T) {
	t.Run("in a process", func(t *testing.T) { everyRow(t, inProcess, inMemory()) })
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		everyRow(t, inSQL, uniqueKeys(t, b))
		elsewhere := throttling(t)
		w := newWorld(t, brokertest.Options{Backend: b, Allow: []string{strings.TrimPrefix(elsewhere, "http://")}})
		w.throttling = elsewhere
		tried := map[string]bool{}
		for _, row := range slices.Concat(inSQL, inProcess) {
			if row.probe == nil || tried[fmt.Sprintf("%p", row.probe)] {
				continue
			}
			tried[fmt.Sprintf("%p", row.probe)] = true
			t.Run(row.what, func(t *testing.T) { row.probe(t, w) })
		}
		if b == brokertest.Servers {
			everyKey(t, w)
		}
	})
}

// everyRow compares what there is with what has a row.
func everyRow(t *testing.T, rows []shared, found []string) {
	t.Helper()
	named := map[string]bool{}
	for _, row := range rows {
		named[row.what] = true
		if row.why == "" {
			t.Errorf("the row of %s does not say why no organisation can choose it", row.what)
		}
		if !slices.Contains(found, row.what) {
			t.Errorf("there is no %s; delete its row", row.what)
		}
	}
	for _, what := range found {
		if !named[what] {
			t.Errorf("%s has no row: whose may it be, and who chooses its keys?", what)
		}
	}
}

// everyKey looks at what the probes left in Redis.
func everyKey(t *testing.T, w *world) {
	o := must(redis.ParseURL(w.RedisURL))(t)
	client := redis.NewClient(o)
	defer client.Close()
	forms := make([]*regexp.Regexp, len(inRedis))
	for i, row := range inRedis {
		forms[i] = regexp.MustCompile(row.form)
	}
	met := 0
	for keys := client.Scan(ctx, 0, "*", 1000).Iterator(); keys.Next(ctx); met++ {
		if !slices.ContainsFunc(forms, func(f *regexp.Regexp) bool { return f.MatchString(keys.Val()) }) {
			t.Errorf("the Redis key %q has no row", keys.Val())
		}
	}
	if met == 0 {
		t.Error("there is nothing in Redis to look at")
	}
}

// throttling is the hostile organisation's own authorization server.
func throttling(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// unaffected checks that an authorization of acme's is as it was, and works.
func (w *world) unaffected(t *testing.T, a models.Authorization, generation int64) {
	t.Helper()
	l := must(w.Store.Linked(ctx, a.ID))(t)
	if l.Credential.Generation != generation || l.Credential.Verdict != nil || l.Credential.LeaseUntil != nil {
		t.Errorf("the other organisation's token is at generation %d (was %d), verdict %v, leased until %v",
			l.Credential.Generation, generation, l.Credential.Verdict, l.Credential.LeaseUntil)
	}
	if _, err := w.Service.UserInfo(ctx, w.User.Caller, a.ID); err != nil {
		t.Errorf("the other organisation's token does not work: %v", err)
	}
}

func (w *world) generation(t *testing.T, a models.Authorization) int64 {
	t.Helper()
	return must(w.Store.Linked(ctx, a.ID))(t).Credential.Generation
}

// othersAuthorization: whatever is tried by the id of another organisation's
// authorization finds nothing, and joins nothing that is under way for its owner.
func othersAuthorization(t *testing.T, w *world) {
	a := w.Consent(t, w.User, w.provider(t, w.Admin, models.ProviderInput{}), "ada")
	generation := w.generation(t, a)
	w.IdP.Inject(testidp.Fault{Endpoint: testidp.Introspect, LatencyMS: 300, Times: 1})
	var owner sync.WaitGroup
	owner.Go(func() {
		if _, err := w.Service.Check(ctx, w.User.Caller, a.ID); err != nil {
			t.Errorf("the owner's check: %v", err)
		}
	})
	c := w.hostile.Caller
	for what, try := range map[string]func() error{
		"token":      func() error { _, err := w.Service.Token(ctx, c, a.ID, time.Hour); return err },
		"check":      func() error { _, err := w.Service.Check(ctx, c, a.ID); return err },
		"reset":      func() error { _, err := w.Service.Reset(ctx, c, a.ID); return err },
		"user info":  func() error { _, err := w.Service.UserInfo(ctx, c, a.ID); return err },
		"revocation": func() error { _, err := w.Service.RevokeToken(ctx, c, a.ID); return err },
		"disconnect": func() error { return w.Service.Disconnect(ctx, c, a.ID) },
	} {
		wantCode(t, what, try(), models.CodeNotFound)
	}
	owner.Wait()
	w.unaffected(t, a, generation)
}

// sameAccount: the same account at the same client, and its disconnect, are of no
// concern to another organisation.
func sameAccount(t *testing.T, w *world) {
	a := w.Consent(t, w.User, w.provider(t, w.Admin, models.ProviderInput{}), "ada")
	generation := w.generation(t, a)
	b := w.Consent(t, w.hostile, w.provider(t, w.hostile, models.ProviderInput{}), "ada")
	if a.ID == b.ID {
		t.Fatal("two organisations share an authorization")
	}
	if err := w.Service.Disconnect(ctx, w.hostile.Caller, b.ID); err != nil {
		t.Fatal(err)
	}
	w.unaffected(t, a, generation)
}

// sameState: another organisation's open state is neither found nor used up.
func sameState(t *testing.T, w *world) {
	p, q := w.provider(t, w.Admin, models.ProviderInput{}), w.provider(t, w.hostile, models.ProviderInput{})
	const state = "the-same-state-for-both"
	begin := func(who brokertest.Person, provider string) (broker.AuthorizeAnswer, error) {
		return w.Service.Authorize(ctx, who.Caller, broker.AuthorizeRequest{ProviderID: provider, State: state, RedirectURI: brokertest.Callback})
	}
	back := w.Approve(t, must(begin(w.User, p.ID))(t), "ada")
	must(begin(w.hostile, q.ID))(t)
	_, err := begin(w.hostile, p.ID)
	wantCode(t, "authorize at the other's provider", err, models.CodeNotFound)
	stolen := back
	stolen.ProviderID = p.ID
	_, err = w.Service.Complete(ctx, w.hostile.Caller, stolen)
	wantCode(t, "the other's callback", err, models.CodeNotFound)
	stolen.ProviderID, stolen.Code = q.ID, "made-up"
	if _, err = w.Service.Complete(ctx, w.hostile.Caller, stolen); err == nil {
		t.Error("a made-up code completed a consent")
	}
	back.ProviderID = p.ID
	must(w.Service.Complete(ctx, w.User.Caller, back))(t)
}

// sameGrant: what a hostile organisation connects shields nothing of another's from its
// revocation (F2).
func sameGrant(t *testing.T, w *world) {
	live := func() int { return int(w.IdP.Stats().LiveAccessTokens) }
	p := w.provider(t, w.Admin, models.ProviderInput{Type: "oauth2", Config: configured(w.IdPURL, nil)})
	q := w.provider(t, w.hostile, models.ProviderInput{Type: "oauth2", Config: configured(w.IdPURL, nil)})
	a := w.Consent(t, w.User, p, "shielded")
	w.Consent(t, w.hostile, q, "shielded")
	before := live()
	if err := w.Service.Disconnect(ctx, w.User.Caller, a.ID); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the token is revoked upstream", func() bool { return live() < before })
}

// sameHour: both organisations' counts are made, and neither counts the other's.
func sameHour(t *testing.T, w *world) {
	count := func(who brokertest.Person) string {
		return fmt.Sprint(w.ended(t, who, must(w.Service.StartStats(ctx, who.Caller))(t).ID).Details)
	}
	w.Consent(t, w.User, w.provider(t, w.Admin, models.ProviderInput{}), "ada")
	before := count(w.Admin)
	w.Consent(t, w.hostile, w.provider(t, w.hostile, models.ProviderInput{}), "ada")
	theirs := count(w.hostile)
	if after := count(w.Admin); after != before {
		t.Errorf("the count was %s, and after what another organisation did %s", before, after)
	}
	if theirs == before {
		t.Errorf("both organisations are told %s", theirs)
	}
	p, q := w.provider(t, w.Admin, models.ProviderInput{}), w.provider(t, w.hostile, models.ProviderInput{})
	_, err := w.Service.ResetProvider(ctx, w.hostile.Caller, p.ID)
	wantCode(t, "a reset of the other's provider", err, models.CodeNotFound)
	must(w.Service.ResetProvider(ctx, w.hostile.Caller, q.ID))(t)
	must(w.Service.ResetProvider(ctx, w.Admin.Caller, p.ID))(t)
}

// othersJob: another organisation's job is neither shown nor watched.
func othersJob(t *testing.T, w *world) {
	j := must(w.Service.StartStats(ctx, w.Admin.Caller))(t)
	_, err := w.Service.Job(ctx, w.hostile.Caller, j.ID)
	wantCode(t, "job", err, models.CodeNotFound)
	_, err = w.Service.WatchJob(ctx, w.hostile.Caller, j.ID)
	wantCode(t, "watch", err, models.CodeNotFound)
	_, err = w.Service.WaitJob(ctx, w.hostile.Caller, j.ID, time.Minute)
	wantCode(t, "wait", err, models.CodeNotFound)
	w.ended(t, w.Admin, j.ID)
}

// othersPause: a 429 of the hostile organisation's own server pauses nothing of another's,
// whatever upstream its provider names in a URL that is never called.
func othersPause(t *testing.T, w *world) {
	p := w.provider(t, w.Admin, models.ProviderInput{})
	for i := range 3 {
		q := w.provider(t, w.hostile, models.ProviderInput{Type: "oauth2",
			Config: configured(w.throttling, map[string]any{"deviceUrl": w.IdPURL + "/device", "introspectUrl": w.IdPURL + "/introspect"})})
		_, err := w.Service.Import(ctx, w.hostile.Caller, models.Import{ProviderID: q.ID, RefreshToken: models.Secret(fmt.Sprint("made-up-", i))})
		wantCode(t, "an import that is throttled", err, models.CodeUpstream)
	}
	a := w.Consent(t, w.User, p, "ada")
	if _, err := w.Service.Reset(ctx, w.User.Caller, a.ID); err != nil {
		t.Errorf("a refresh waits for another organisation's pause: %v", err)
	}
	j := w.ended(t, w.Admin, must(w.Service.DeleteProvider(ctx, w.Admin.Caller, p.ID, false))(t).ID)
	if detail(j, "revoked") != "1" {
		t.Errorf("the deletion ended %s with %v", j.Status, j.Details)
	}
}

// othersProvider: another organisation's provider is neither seen nor changed.
func othersProvider(t *testing.T, w *world) {
	p := w.provider(t, w.Admin, models.ProviderInput{})
	c, secret := w.hostile.Caller, models.Secret("stolen")
	_, err := w.Service.Provider(ctx, c, p.ID)
	wantCode(t, "provider", err, models.CodeNotFound)
	_, err = w.Service.ChangeProvider(ctx, c, p.ID, models.ProviderPatch{ClientSecret: &secret})
	wantCode(t, "change", err, models.CodeNotFound)
	_, err = w.Service.DeleteProvider(ctx, c, p.ID, true)
	wantCode(t, "deletion", err, models.CodeNotFound)
	_, err = w.Service.Import(ctx, c, models.Import{ProviderID: p.ID, RefreshToken: "made-up"})
	wantCode(t, "import", err, models.CodeNotFound)
	w.Consent(t, w.User, p, "ada")
}

// sameSlug: a name that another organisation uses is free, and leads each to its own.
func sameSlug(t *testing.T, w *world) {
	theirs := w.provider(t, w.hostile, models.ProviderInput{Name: "Same", Slug: "same"})
	ours := w.provider(t, w.Admin, models.ProviderInput{Name: "Same", Slug: "same"})
	a := w.Consent(t, w.User, ours, "ada")
	w.Consent(t, w.hostile, theirs, "eve")
	if _, err := w.Service.DisconnectExternal(ctx, w.hostile.Caller, "same"); err != nil {
		t.Fatal(err)
	}
	w.unaffected(t, a, 1)
}

// othersToken: the end of one organisation's API token ends no other's.
func othersToken(t *testing.T, w *world) {
	throwaway := w.Person(t, "globex", "temp", models.RoleUser)
	for _, who := range []brokertest.Person{throwaway, w.User} {
		must(w.Service.Authenticate(ctx, who.Token))(t)
	}
	if _, err := w.Service.RevokeAPIToken(ctx, throwaway.Caller.TokenID, false); err != nil {
		t.Fatal(err)
	}
	_, err := w.Service.Authenticate(ctx, throwaway.Token)
	wantCode(t, "the revoked token", err, models.CodeUnauthenticated)
	if c := must(w.Service.Authenticate(ctx, w.User.Token))(t); c.OrgID != "acme" {
		t.Errorf("the other token stands for %+v", c)
	}
}

// sameBudget: calls of a provider with another organisation's client id and figure leave
// that organisation's budget as it is.
func sameBudget(t *testing.T, w *world) {
	few := map[string]any{"callsPerHour": 20} // five pairs in the background, one of them at once
	p, q := w.provider(t, w.Admin, models.ProviderInput{Config: few}), w.provider(t, w.hostile, models.ProviderInput{Config: few})
	w.Consent(t, w.User, p, "ada")
	for i := range 6 {
		b := w.Consent(t, w.hostile, q, fmt.Sprint("eve", i))
		if err := w.Service.Disconnect(ctx, w.hostile.Caller, b.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Service.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	j := w.ended(t, w.Admin, must(w.Service.DeleteProvider(ctx, w.Admin.Caller, p.ID, false))(t).ID)
	if detail(j, "revoked") != "1" {
		t.Errorf("the deletion ended %s with %v", j.Status, j.Details)
	}
}
