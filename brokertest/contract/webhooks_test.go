package contract_test

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/testidp"
)

// receiver is a program that events are sent to.
type receiver struct {
	url string

	mu     sync.Mutex
	answer func(models.EventBody) int // the status; nil accepts
	got    []received                 // what was accepted, in order
	tried  int
}

type received struct {
	models.EventBody
	header http.Header
	raw    []byte
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		raw, _ := io.ReadAll(req.Body)
		var e models.EventBody
		if err := json.Unmarshal(raw, &e); err != nil || req.Method != "POST" || req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %v", req.Method, raw, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tried++
		status := 204
		if r.answer != nil {
			status = r.answer(e)
		}
		if status == 204 {
			r.got = append(r.got, received{e, req.Header.Clone(), raw})
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *receiver) address() string { return strings.TrimPrefix(r.url, "http://") }

func (r *receiver) set(answer func(models.EventBody) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// events are those that were accepted, without tests, and each once: where a test lets time pass, the lease of what is under way
// ends, and it is sent again. Receivers have to know events that they have had.
func (r *receiver) events() (events []received) {
	r.mu.Lock()
	defer r.mu.Unlock()
	type event struct {
		id       string
		replayed bool
	}
	had := map[event]bool{}
	for _, e := range r.got {
		if of := (event{e.ID, e.Replayed}); e.Type != models.EventTest && !had[of] {
			had[of] = true
			events = append(events, e)
		}
	}
	return events
}

// first is what was accepted first: the test that confirms the webhook.
func (r *receiver) first() received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[0]
}

func (r *receiver) tries() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tried
}

// hook makes a webhook at the receiver, and waits until it is confirmed.
func (r *receiver) hook(t testing.TB, h *brokertest.Instance, who brokertest.Person, events ...models.EventType) client.MadeWebhook {
	t.Helper()
	made, err := who.Client.CreateWebhook(ctx, client.NewWebhook{URL: r.url, Events: events})
	if err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the webhook is confirmed", func() bool { return hookOf(t, who, made.ID).Confirmed })
	return made
}

func hookOf(t testing.TB, who brokertest.Person, id string) models.Webhook {
	t.Helper()
	w, err := who.Client.Webhook(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// passTime lets time pass for everything that waits for a webhook, once nothing is under way: what is would be written with the
// times from before.
func passTime(t testing.TB, h *brokertest.Instance, d time.Duration) {
	t.Helper()
	brokertest.Eventually(t, "nothing is under way", func() bool { return len(column(t, h, "SELECT id FROM webhook_deliveries WHERE lease <> ''")) == 0 })
	moveTime(t, h, d)
}

func moveTime(t testing.TB, h *brokertest.Instance, d time.Duration) {
	t.Helper()
	if strings.HasPrefix(h.DatabaseURL, "sqlite:") {
		h.Clock.Advance(d)
		return
	}
	back := fmt.Sprintf(" - make_interval(secs => %f)", d.Seconds())
	for _, statement := range []string{
		"UPDATE webhook_deliveries SET due_at = due_at" + back + ", first_try = first_try" + back + ", created_at = created_at" + back,
		"UPDATE webhooks SET next_at = next_at" + back + ", failing_since = failing_since" + back + ", off_at = off_at" + back + ", former_until = former_until" + back,
		"UPDATE outbox SET at = at" + back,
		"UPDATE event_feeds SET followed_until = followed_until" + back,
	} {
		change(t, h, statement)
	}
}

// verifies reports whether a request carries a signature by the secret and one by the key.
func (e received) verifies(t testing.TB, secret models.Secret, public string) (shared, asymmetric bool) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret.Reveal(), "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	point, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(public, "whpk_"))
	if err != nil {
		t.Fatal(err)
	}
	signed := e.header.Get("webhook-id") + "." + e.header.Get("webhook-timestamp") + "." + string(e.raw)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	for s := range strings.FieldsSeq(e.header.Get("webhook-signature")) {
		version, text, _ := strings.Cut(s, ",")
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		shared = shared || version == "v1" && hmac.Equal(raw, mac.Sum(nil))
		asymmetric = asymmetric || version == "v1a" && ed25519.Verify(point, []byte(signed), raw)
	}
	return shared, asymmetric
}

func wantSigned(t testing.TB, e received, w client.MadeWebhook) {
	t.Helper()
	if shared, asymmetric := e.verifies(t, w.Secret, w.PublicKey); !shared || !asymmetric {
		t.Errorf("the signatures of %s are %v and %v: %s", e.Type, shared, asymmetric, e.header.Get("webhook-signature"))
	}
	if e.header.Get("webhook-id") != e.ID {
		t.Errorf("webhook-id is %s, and the event %s", e.header.Get("webhook-id"), e.ID)
	}
}

// What happens to connections and providers is told, signed, in order, and without anything about the account.
func TestWebhooksAreToldWhatHappens(t *testing.T) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		r, issuer := newReceiver(t), newOpenIDFake(t)
		h := brokertest.New(t, &brokertest.Options{Backend: b, WebhookAllow: []string{r.address()}, Allow: []string{issuer.host()}})
		w := r.hook(t, h, h.Admin)
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Times: 1, Status: 400, Body: `{"error":"invalid_grant"}`})
		change(t, h, tokensHaveDied)
		want(t, 410, h.Do(t, h.User, "POST", tokenOf(a.ID), nil))
		h.Consent(t, h.User, p, "ada")
		change(t, h, tokensHaveDied)
		want(t, 201, h.Do(t, h.User, "POST", tokenOf(a.ID), nil)) // a refresh that is as it should be is not told
		fewer, refresh := h.IdP.Mint(brokertest.ClientID, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Times: 1, Status: 200, ContentType: "application/json",
			Body: fmt.Sprintf(`{"access_token":%q,"refresh_token":%q,"token_type":"bearer","scope":"profile"}`, fewer, refresh)})
		want(t, 201, h.Do(t, h.User, "POST", resetOf(a.ID), nil))
		h.IdP.SetSecret(brokertest.ClientID, "rotated")
		for range 3 {
			change(t, h, tokensHaveDied)
			change(t, h, nothingWasFailed)
			want(t, 502, h.Do(t, h.User, "POST", tokenOf(a.ID), nil))
		}
		h.IdP.SetSecret(brokertest.ClientID, brokertest.ClientSecret)
		change(t, h, nothingWasFailed)
		change(t, h, "UPDATE providers SET probe_at = trouble_since WHERE trouble <> ''")
		want(t, 201, h.Do(t, h.User, "POST", tokenOf(a.ID), nil))
		change(t, h, `UPDATE credentials SET expiring_at = saved_at`)
		brokertest.Eventually(t, "it is told that the connection will end", func() bool { return len(r.events()) >= 8 })
		elsewhere := createID(t, h, object{"type": "oidc", "config": object{"issuer": issuer.URL}})
		stranger := issuer.consent(t, h, elsewhere)
		issuer.set(func() { issuer.owner = "bob" })
		want(t, 410, h.Do(t, h.User, "POST", resetOf(stranger), nil))
		want(t, 204, h.Do(t, h.User, "DELETE", authorization(a.ID), nil))
		want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p.ID), object{"status": "inactive"}))
		want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p.ID), object{"status": "active"}))
		id := jobOf(t, h, h.Do(t, h.Admin, "DELETE", provider(p.ID), nil))
		ended(t, h, id)

		all := []string{
			"connection.created ", "connection.broken invalid_grant", "connection.recovered ", "connection.scopes_changed ", "connection.scopes_changed ", "provider.client_refused ", "provider.recovered accepted",
			"connection.expiring ", "connection.created ", "token.identity_mismatch ", "connection.broken identity_mismatch", "connection.disconnected revoked",
			"provider.disabled inactive", "provider.recovered active", "provider.disabled deleted", "provider.deleted ", "job.finished COMPLETED",
		}
		brokertest.Eventually(t, "everything is told", func() bool { return len(r.events()) >= len(all) })
		got := r.events()
		slices.SortFunc(got, func(a, b received) int { return int(a.Sequence - b.Sequence) })
		var told []string
		connections := map[string]string{p.ID: a.ID, elsewhere: stranger}
		for i, e := range got {
			told = append(told, string(e.Type)+" "+e.Data.Code)
			wantSigned(t, e, w)
			ofOne := strings.HasPrefix(string(e.Type), "connection.") || strings.HasPrefix(string(e.Type), "token.")
			if ofOne && (e.Data.AuthorizationID == "" || e.Data.AuthorizationID != connections[e.Data.ProviderID] || e.Data.UserID != "ada") {
				t.Errorf("%s is about %+v", e.Type, e.Data)
			}
			if i > 0 && e.Sequence == got[i-1].Sequence {
				t.Errorf("two events have the sequence %d", e.Sequence)
			}
			for _, private := range []string{"ada@", "sub-ada", "login", "email"} {
				if strings.Contains(string(e.raw), private) {
					t.Errorf("%s tells the account: %s", e.Type, e.raw)
				}
			}
		}
		slices.Sort(told)
		slices.Sort(all)
		if !slices.Equal(told, all) {
			t.Errorf("told:\n%s\nwant:\n%s", strings.Join(told, "\n"), strings.Join(all, "\n"))
		}
		inOrder(t, r.events())
	})
}

// inOrder fails unless the events of each subject came in the order in which they happened.
func inOrder(t testing.TB, events []received) {
	t.Helper()
	last := map[string]int64{}
	for _, e := range events {
		subject := e.Data.AuthorizationID
		if subject == "" {
			subject = e.Data.ProviderID + e.Data.JobID
		}
		if e.Sequence <= last[subject] {
			t.Errorf("%s %d came after %d of the same subject", e.Type, e.Sequence, last[subject])
		}
		last[subject] = e.Sequence
	}
}

// tell writes events about connections that only their ids are known of.
func tell(t testing.TB, h *brokertest.Instance, org string, connections, each int) {
	t.Helper()
	for n := range each {
		for c := range connections {
			if err := h.Store.Tell(ctx, models.Event{OrgID: org, Type: models.EventScopesChanged, AuthorizationID: fmt.Sprintf("connection-%d", c), Code: fmt.Sprint(n)}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// wantAll fails unless each connection's events came, all of them, in order, and the same one again at most right after.
func wantAll(t testing.TB, events []received, connections, each int) {
	t.Helper()
	got := map[string][]string{}
	for _, e := range events {
		got[e.Data.AuthorizationID] = append(got[e.Data.AuthorizationID], e.Data.Code)
	}
	for c := range connections {
		id := fmt.Sprintf("connection-%d", c)
		var want []string
		for n := range each {
			want = append(want, fmt.Sprint(n))
		}
		if once := slices.Compact(got[id]); !slices.Equal(once, want) {
			t.Errorf("%s was told %v, want %v", id, got[id], want)
		}
	}
}

// A receiver that is away for a day is told everything when it is back, each connection's events in their order.
func TestAReceiverThatWasAwayIsToldEverything(t *testing.T) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		r := newReceiver(t)
		h := brokertest.New(t, &brokertest.Options{Backend: b, WebhookAllow: []string{r.address()}})
		w := r.hook(t, h, h.Admin)
		r.set(func(models.EventBody) int { return 503 })
		before := r.tries()
		tell(t, h, "acme", 5, 3)
		brokertest.Eventually(t, "the receiver counts as away", func() bool { return r.tries() >= before+3 && hookOf(t, h.Admin, w.ID).FailingSince != nil })
		for range 8 { // a day, in which it is tried again and again
			n := r.tries()
			passTime(t, h, 3*time.Hour)
			brokertest.Eventually(t, "it is tried again", func() bool { return r.tries() > n })
		}
		tell(t, h, "acme", 5, 1) // the code is that of the first event
		if w := hookOf(t, h.Admin, w.ID); w.Status != models.WebhookActive || len(r.events()) > 0 {
			t.Fatalf("after a day the webhook is %+v, and %d events were accepted", w, len(r.events()))
		}
		r.set(nil)
		passTime(t, h, time.Hour)
		brokertest.Eventually(t, "everything is delivered", func() bool { return len(r.events()) >= 20 })
		inOrder(t, r.events())
		got := map[string]int{}
		for _, e := range r.events() {
			got[e.Data.AuthorizationID+" "+e.Data.Code]++
			wantSigned(t, e, w)
		}
		for c := range 5 {
			for n, times := range []int{2, 1, 1} {
				if key := fmt.Sprintf("connection-%d %d", c, n); got[key] != times {
					t.Errorf("%s came %d times, want %d", key, got[key], times)
				}
			}
		}
	})
}

// A worker that dies holds what it was sending until its lease is over; then another one goes on, and nothing is lost or comes
// out of order. Redis has no part in it.
func TestAnotherWorkerGoesOn(t *testing.T) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		r := newReceiver(t)
		first := brokertest.New(t, &brokertest.Options{Backend: b, WithoutWorker: true, WebhookAllow: []string{r.address()}})
		made, err := first.Admin.Client.CreateWebhook(ctx, client.NewWebhook{URL: r.url})
		if err != nil {
			t.Fatal(err)
		}
		change(t, first, "UPDATE webhooks SET confirmed = TRUE")
		tell(t, first, "acme", 4, 3)
		if _, err := first.Store.NumberEvents(ctx, "acme", 7); err != nil { // it dies in the middle of numbering
			t.Fatal(err)
		}
		wantWaiting(t, first, store.WaitsDue, 5, store.WaitsHeld, 2) // the test and the first of each connection; the two that follow
		change(t, first, "UPDATE webhooks SET confirmed = FALSE")
		wantWaiting(t, first, store.WaitsDue, 1, store.WaitsUnconfirmed, 6)
		change(t, first, "UPDATE webhooks SET status = 'off'")
		wantWaiting(t, first, store.WaitsOff, 7)
		change(t, first, "UPDATE webhooks SET status = 'active', confirmed = TRUE")
		_, taken, err := first.Store.ClaimDeliveries(ctx, store.Receiver{ID: made.ID, OrgID: "acme"}, "of the first", 30*time.Second, store.InFlight{Webhook: 4, Org: 16}, 3, 4)
		if err != nil || len(taken) != 4 {
			t.Fatalf("claimed %d: %v", len(taken), err)
		}
		wantWaiting(t, first, store.WaitsDue, 1, store.WaitsHeld, 6)
		moveTime(t, first, time.Minute) // the lease of the first one ends
		if due := wantWaiting(t, first, store.WaitsDue, 5, store.WaitsHeld, 2); due.Oldest < 29*time.Second {
			t.Errorf("for half a minute nobody has sent what was claimed, and the oldest is said to be due for %s", due.Oldest)
		}
		h := brokertest.New(t, &brokertest.Options{DatabaseURL: first.DatabaseURL, RedisURL: emptyRedis(t, b), Clock: first.Clock, Keys: first.Keys, IdP: first.IdP, IdPURL: first.IdPURL,
			WebhookAllow: []string{r.address()}})
		brokertest.Eventually(t, "everything is delivered", func() bool { return len(r.events()) >= 12 })
		wantAll(t, r.events(), 4, 3)
		brokertest.Eventually(t, "that is written down", func() bool {
			return len(column(t, h, "SELECT id FROM webhook_deliveries WHERE status = 'pending'")) == 0
		})

		// What the first worker would still write is refused.
		if _, _, err := first.Store.EndDelivery(ctx, taken[0], store.Tried{Attempt: models.Attempt{Result: "500"}}, store.Patience{Most: time.Hour, Kept: 1}); err != nil {
			t.Fatal(err)
		}
		for d, err := range h.Admin.Client.Deliveries(ctx, made.ID, "") {
			if err != nil {
				t.Fatal(err)
			}
			if d.Status != models.DeliveryDelivered || d.Attempts[len(d.Attempts)-1].Result != "204" {
				t.Errorf("a delivery is %+v", d)
			}
		}
	})
}

// wantWaiting fails unless as many deliveries wait as it says, given as reason, number, …, and none for another reason. It
// returns those that are due.
func wantWaiting(t testing.TB, h *brokertest.Instance, wanted ...any) (due store.WaitingDeliveries) {
	t.Helper()
	all, err := h.Store.WaitingDeliveries(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := map[store.DeliveryWait]int64{}
	for i := 0; i < len(wanted); i += 2 {
		n[wanted[i].(store.DeliveryWait)] = int64(wanted[i+1].(int))
	}
	for _, w := range all {
		if w.N != n[w.Wait] {
			t.Errorf("%d deliveries are %s, want %d", w.N, w.Wait, n[w.Wait])
		}
		if w.Wait == store.WaitsDue {
			due = w
		}
	}
	return due
}

// emptyRedis is another Redis than the first instance's, with nothing in it.
func emptyRedis(t testing.TB, b brokertest.Backend) string {
	t.Helper()
	_, redis := b.URLs(t)
	return redis
}

// Ten thousand events of one organisation do not delay another's: while the other's is delivered, only a few of the first one's
// are.
func TestT4_OneOrganisationsEventsDelayNoOthers(t *testing.T) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		many, other := newReceiver(t), newReceiver(t)
		h := brokertest.New(t, &brokertest.Options{Backend: b, WithoutWorker: true, WebhookAllow: []string{many.address(), other.address()}})
		for who, r := range map[*brokertest.Person]*receiver{&h.Admin: many, &h.Other: other} {
			if _, err := who.Client.CreateWebhook(ctx, client.NewWebhook{URL: r.url}); err != nil {
				t.Fatal(err)
			}
		}
		change(t, h, "UPDATE webhooks SET confirmed = TRUE")
		change(t, h, `INSERT INTO outbox (event_id, org_id, webhook_id, type, subject, provider_id, authorization_id, user_id, job_id, code, at)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
			SELECT 'event-' || i, 'acme', '', 'connection.created', 'connection-' || i, '', 'connection-' || i, '', '', '', w.created_at FROM n, webhooks w WHERE w.org_id = 'acme'`)
		tell(t, h, "globex", 1, 3)
		deliver(t, h)
		brokertest.Eventually(t, "the other organisation's events are delivered", func() bool { return len(other.events()) == 3 })
		if n := len(many.events()); n > 500 {
			t.Errorf("meanwhile %d events of the first organisation were delivered", n)
		}
		brokertest.Eventually(t, "the first organisation's are delivered too", func() bool { return len(many.events()) > 20 })
	})
}

// deliver delivers events until the test ends.
func deliver(t testing.TB, h *brokertest.Instance) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); h.Service.DeliverEvents(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// An event that a receiver never accepts holds up its own connection for three days, and no other.
func TestT4_AnEventThatIsRefusedHoldsUpItsConnection(t *testing.T) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		r := newReceiver(t)
		h := brokertest.New(t, &brokertest.Options{Backend: b, WebhookAllow: []string{r.address()}})
		w := r.hook(t, h, h.Admin)
		r.set(func(e models.EventBody) int {
			if e.Data.AuthorizationID == "connection-0" && e.Data.Code == "0" {
				return 422
			}
			return 204
		})
		tell(t, h, "acme", 2, 2)
		brokertest.Eventually(t, "the other connection's are delivered", func() bool { return len(r.events()) == 2 })
		passTime(t, h, 71*time.Hour)
		brokertest.Eventually(t, "it is tried again", func() bool { return r.tries() >= 5 })
		if n := len(r.events()); n != 2 {
			t.Errorf("%d events were accepted", n)
		}
		tell(t, h, "acme", 2, 1) // so that the webhook has accepted something lately
		brokertest.Eventually(t, "another one is delivered", func() bool { return len(r.events()) == 3 })
		passTime(t, h, 5*time.Hour)
		brokertest.Eventually(t, "the connection goes on", func() bool { return len(r.events()) == 4 })
		failed, err := count(h.Admin.Client.Deliveries(ctx, w.ID, models.DeliveryFailed))
		if err != nil || failed != 1 {
			t.Errorf("%d deliveries failed: %v", failed, err)
		}
	})
}

// A webhook whose address is gone, or has accepted nothing for three days, is switched off and tells an admin; switched on
// again, it is told what it missed.
func TestAWebhookThatAcceptsNothingIsSwitchedOff(t *testing.T) {
	t.Parallel()
	for reason, status := range map[string]int{models.OffGone: 410, models.OffFailing: 500} {
		t.Run(reason, func(t *testing.T) {
			brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
				r := newReceiver(t)
				h := brokertest.New(t, &brokertest.Options{Backend: b, WebhookAllow: []string{r.address()}})
				w := r.hook(t, h, h.Admin)
				r.set(func(models.EventBody) int { return status })
				tell(t, h, "acme", 1, 2)
				n := r.tries()
				brokertest.Eventually(t, "it is tried", func() bool { return r.tries() > n && hookOf(t, h.Admin, w.ID).FailingSince != nil })
				passTime(t, h, 73*time.Hour)
				brokertest.Eventually(t, "it is switched off", func() bool { return hookOf(t, h.Admin, w.ID).Status == models.WebhookOff })
				if got := hookOf(t, h.Admin, w.ID); got.OffReason != reason {
					t.Errorf("because of %q", got.OffReason)
				}
				events, err := count(h.Admin.Client.Audit(ctx, client.AuditQuery{Actions: []models.Action{models.ActionWebhookOff}}))
				if err != nil || events != 1 || !strings.Contains(h.Log.String(), "a webhook was switched off") {
					t.Errorf("an admin was told %d times: %v", events, err)
				}
				want(t, 409, h.Do(t, h.Admin, "POST", root+"webhooks/"+w.ID+"/test/", nil))
				tell(t, h, "acme", 1, 1)
				r.set(nil)
				on := models.WebhookActive
				if _, err := h.Admin.Client.ChangeWebhook(ctx, w.ID, client.WebhookPatch{Status: &on}); err != nil {
					t.Fatal(err)
				}
				brokertest.Eventually(t, "it is told what it missed", func() bool { return len(r.events()) == 3 })
				inOrder(t, r.events())
			})
		})
	}
}

// A new or changed address is sent nothing but a test event until it has accepted that.
func TestAnAddressIsConfirmedFirst(t *testing.T) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		r, elsewhere := newReceiver(t), newReceiver(t)
		h := brokertest.New(t, &brokertest.Options{Backend: b, WebhookAllow: []string{r.address(), elsewhere.address()}})
		w := r.hook(t, h, h.Admin, models.EventScopesChanged)
		tell(t, h, "acme", 1, 1)
		brokertest.Eventually(t, "it is told", func() bool { return len(r.events()) == 1 })
		elsewhere.set(func(e models.EventBody) int {
			if e.Type != models.EventTest {
				t.Errorf("an address that was not confirmed was sent %s", e.Type)
			}
			return 302
		})
		if _, err := h.Admin.Client.ChangeWebhook(ctx, w.ID, client.WebhookPatch{URL: &elsewhere.url}); err != nil {
			t.Fatal(err)
		}
		tell(t, h, "acme", 1, 2)
		brokertest.Eventually(t, "the new address is tested", func() bool { return elsewhere.tries() > 0 })
		elsewhere.set(nil)
		if err := h.Admin.Client.TestWebhook(ctx, w.ID); err != nil {
			t.Fatal(err)
		}
		passTime(t, h, time.Minute)
		brokertest.Eventually(t, "what waited is told", func() bool { return len(elsewhere.events()) == 2 })
		if !hookOf(t, h.Admin, w.ID).Confirmed || len(r.events()) != 1 {
			t.Errorf("the webhook is %+v", hookOf(t, h.Admin, w.ID))
		}
		if err := h.Store.Tell(ctx, models.Event{OrgID: "acme", Type: models.EventJobFinished, JobID: unknownID}); err != nil { // which it did not ask for
			t.Fatal(err)
		}
		tell(t, h, "acme", 1, 1)
		brokertest.Eventually(t, "what it asked for is told", func() bool { return len(elsewhere.events()) == 3 })
		for _, e := range elsewhere.events() {
			if e.Type != models.EventScopesChanged {
				t.Errorf("told %s", e.Type)
			}
		}
	})
}

// For a day after a rotation the former secret verifies too. A replay is the same event, signed anew, and says that it is one.
func TestSecretsRotateAndEventsAreReplayed(t *testing.T) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		r := newReceiver(t)
		h := brokertest.New(t, &brokertest.Options{Backend: b, WebhookAllow: []string{r.address()}})
		first := r.hook(t, h, h.Admin)
		second, err := h.Admin.Client.RotateWebhook(ctx, first.ID)
		if err != nil {
			t.Fatal(err)
		}
		if second.Secret == first.Secret || second.PublicKey == first.PublicKey {
			t.Error("the keys are the same")
		}
		tell(t, h, "acme", 1, 1)
		brokertest.Eventually(t, "it is told", func() bool { return len(r.events()) == 1 })
		wantSigned(t, r.events()[0], first)
		wantSigned(t, r.events()[0], second)

		passTime(t, h, 25*time.Hour)
		var ids []string
		for d, err := range h.Admin.Client.Deliveries(ctx, first.ID, models.DeliveryDelivered) {
			if err != nil {
				t.Fatal(err)
			}
			if d.EventType != models.EventTest {
				ids = append(ids, d.ID)
			}
		}
		if len(ids) != 1 {
			t.Fatalf("delivered: %v", ids)
		}
		again, err := h.Admin.Client.ReplayDelivery(ctx, first.ID, ids[0])
		if err != nil || !again.Replayed || again.ID == ids[0] {
			t.Fatalf("%+v: %v", again, err)
		}
		brokertest.Eventually(t, "it is told again", func() bool { return len(r.events()) == 2 })
		one, two := r.events()[0], r.events()[1]
		if one.ID != two.ID || one.Sequence != two.Sequence || one.Replayed || !two.Replayed {
			t.Errorf("%+v was replayed as %+v", one.EventBody, two.EventBody)
		}
		wantSigned(t, two, second)
		if shared, asymmetric := two.verifies(t, first.Secret, first.PublicKey); shared || asymmetric {
			t.Error("after a day the former keys still sign")
		}
		want(t, 404, h.Do(t, h.Admin, "POST", root+"webhooks/"+first.ID+"/deliveries/"+unknownID+"/replay/", nil))
		for _, hidden := range []string{"whsec_", first.Secret.Reveal(), second.Secret.Reveal()} {
			if strings.Contains(h.Log.String(), hidden) || strings.Contains(string(h.Do(t, h.Admin, "GET", root+"webhooks/", nil).Body), hidden) {
				t.Error("a secret is shown again")
			}
		}
	})
}

// An organisation without webhooks, which does not follow its events, writes none.
func TestWithoutWebhooksNothingIsWritten(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		r := newReceiver(t)
		if _, err := h.Other.Client.CreateWebhook(ctx, client.NewWebhook{URL: "https://" + r.address() + ".test"}); err == nil {
			t.Error("an address with a port that is not one was taken")
		}
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		want(t, 204, h.Do(t, h.User, "DELETE", authorization(a.ID), nil))
		if n := column(t, h, "SELECT event_id FROM outbox"); len(n) > 0 {
			t.Errorf("%d events were written", len(n))
		}
	})
}

func TestWebhooksThatAreRefused(t *testing.T) {
	h := embedded(t)
	make := func(body object) brokertest.Answer { return h.Do(t, h.Admin, "POST", root+"webhooks/", body) }
	for _, url := range []string{"", "app.example.test", "http://app.example.test/", "https://app.example.test:8443/", "https://u:p@app.example.test/", "https://app.example.test/#x",
		"https://10.0.0.1/", "https://[::1]/", "https://127.1/", "https://app.example.test/a b", "ftp://app.example.test/", "https://app.example.test\\@evil.test/"} {
		wantFields(t, make(object{"url": url}), "url")
	}
	wantFields(t, make(object{"url": "https://app.example.test/", "events": []string{"connection.invented"}}), "events[0]")
	wantFields(t, make(object{"url": "https://app.example.test/", "events": []string{"job.finished", "job.finished"}}), "events[1]")
	wantFields(t, make(object{"url": "https://app.example.test/", "events": []string{"webhook.test"}}), "events[0]")
	wantFields(t, make(object{"url": "https://app.example.test/", "description": "two\nlines"}), "description")
	w := text(t, want(t, 201, make(object{"url": "https://app.example.test/?of=grantd"})), "id")
	wantFields(t, h.Do(t, h.Admin, "PATCH", root+"webhooks/"+w+"/", object{"status": "paused"}), "status")
	wantFields(t, h.Do(t, h.Admin, "GET", root+"webhooks/"+w+"/deliveries/?status=lost", nil), "status")
	for range 19 {
		want(t, 201, make(object{"url": "https://app.example.test/"}))
	}
	want(t, 409, make(object{"url": "https://app.example.test/"}))
}

// The stream brings the same events, and goes on where it was left.
func TestEventsAreFollowed(t *testing.T) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		h := brokertest.New(t, &brokertest.Options{Backend: b})
		open, leave := context.WithCancel(ctx)
		defer leave()
		begun := h.Do(t, h.Admin, "GET", root+"events/?wait=1ms", nil) // from now on events are written
		if !strings.HasPrefix(string(begun.Body), "id: 0\n") {
			t.Errorf("the stream begins with %q", begun.Body)
		}
		tell(t, h, "acme", 1, 3)
		tell(t, h, "globex", 1, 1)
		zero := int64(0)
		var got []models.EventBody
		for e, err := range h.Admin.Client.Events(open, &zero) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, e); len(got) == 3 {
				break
			}
		}
		for i, e := range got {
			if e.Sequence != int64(i+1) || e.Data.Code != fmt.Sprint(i) || e.Type != models.EventScopesChanged {
				t.Errorf("event %d is %+v", i, e)
			}
		}
		for e, err := range h.Admin.Client.Events(open, &got[1].Sequence) {
			if err != nil || e.ID != got[2].ID {
				t.Errorf("the stream goes on with %+v: %v", e, err)
			}
			break
		}
		if n := column(t, h, "SELECT event_id FROM outbox WHERE org_id = 'globex'"); len(n) > 0 {
			t.Error("an organisation that does not follow its events has some written")
		}
		passTime(t, h, 6*24*time.Hour)
		want(t, 200, h.Do(t, h.Admin, "GET", root+"events/?wait=1ms", nil))
		passTime(t, h, 2*24*time.Hour)
		for _, err := range h.Admin.Client.Events(open, &got[0].Sequence) {
			var refused *client.Error
			if !errors.As(err, &refused) || refused.Status != 410 {
				t.Errorf("events of a week ago: %v", err)
			}
			break
		}
		ahead := int64(1000)
		for _, err := range h.Admin.Client.Events(open, &ahead) {
			var refused *client.Error
			if !errors.As(err, &refused) || refused.Status != 410 {
				t.Errorf("events that have not happened: %v", err)
			}
			break
		}
		wantFields(t, h.Do(t, h.Admin, "GET", root+"events/?wait=2m", nil), "wait")
	})
}

// T2: a stream is a request that waits, and counts as one.
func TestT2_FollowingEventsIsLimited(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{Limits: broker.Limits{Waiting: broker.Limit{Caller: 1, Org: 10}}})
	feed, err := h.Service.FollowEvents(ctx, h.Admin.Caller, nil)
	if err != nil {
		t.Fatal(err)
	}
	want(t, 429, h.Do(t, h.Admin, "GET", root+"events/?wait=1ms", nil))
	feed.Close()
	want(t, 200, h.Do(t, h.Admin, "GET", root+"events/?wait=1ms", nil))
}
