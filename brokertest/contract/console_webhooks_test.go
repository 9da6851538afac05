package contract_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

var shownSecret = regexp.MustCompile(`id="secret" value="(whsec_[^"]+)"`)

// An admin makes a webhook in a browser, sees what was sent, has it sent again, switches it off and on, gives it a new secret and
// deletes it. Secrets are shown once, forms of other sites and of people who are no admins change nothing, and another
// organisation sees nothing.
func TestAnAdminHasWebhooksInTheConsole(t *testing.T) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		r := newReceiver(t)
		h := brokertest.New(t, &brokertest.Options{Backend: b, WebhookAllow: []string{r.address()}})
		s, user, foreign := admin(t, h), surf(t, h), surf(t, h)
		user.signIn(h.User)
		foreign.signIn(h.Other)
		wantPage(t, s.get("/console/webhooks"), 200, `id="none"`)

		first := s.get("/console/webhooks/new")
		form := url.Values{"form": {formName.FindStringSubmatch(first.body)[1]}, "url": {"http://app.example.test/"}, "description": {"<i>Reminders</i>"}, "events": {"connection.invented\r\n"}}
		for _, wrong := range []string{`id="url-problem"`, "must use https", "&lt;i&gt;Reminders", "connection.invented"} {
			wantPage(t, s.post("/console/webhooks/new", form), 422, wrong)
		}
		form.Set("url", r.url)
		form.Set("events", "connection.scopes_changed\r\njob.finished")
		wantPage(t, s.send("POST", "/console/webhooks/new", form.Encode(), from("cross-site")), 403, "another site")
		wantPage(t, user.post("/console/webhooks/new", form), 403, "Only for admins")
		made := s.post("/console/webhooks/new", form)
		secret := shownSecret.FindStringSubmatch(made.body)
		if made.status != 200 || secret == nil {
			t.Fatalf("%d: %s", made.status, made.body)
		}
		again := s.post("/console/webhooks/new", form)
		if wantPage(t, again, 409, "was sent before"); strings.Contains(again.body, "whsec_") {
			t.Error("the secret is shown a second time")
		}
		ids := column(t, h, "SELECT id FROM webhooks")
		if len(ids) != 1 {
			t.Fatalf("made %v", ids)
		}
		id, at := ids[0], "/console/webhooks/"+ids[0]
		brokertest.Eventually(t, "it is confirmed", func() bool { return hookOf(t, h.Admin, id).Confirmed })
		tell(t, h, "acme", 1, 1)
		brokertest.Eventually(t, "it is told", func() bool { return len(r.events()) == 1 })
		wantSigned(t, r.events()[0], client.MadeWebhook{Webhook: hookOf(t, h.Admin, id), Secret: models.Secret(html.UnescapeString(secret[1]))})
		wantPage(t, s.get("/console/webhooks"), 200, `id="webhook-`+id+`"`, "&lt;i&gt;Reminders", "Working")
		brokertest.Eventually(t, "the delivery is shown", func() bool { return strings.Contains(s.get(at+"?status=delivered").body, "connection.scopes_changed") })
		wantPage(t, s.get(at+"?status=failed"), 200, `id="none"`)

		delivery := regexp.MustCompile(`id="delivery-([^"]+)"><th scope="row"><code>connection.scopes_changed`).FindStringSubmatch(s.get(at).body)
		if delivery == nil {
			t.Fatal(s.get(at).body)
		}
		for path, form := range map[string]url.Values{"/test": {}, "/status": {"status": {"off"}}, "/rotate": {}, "/delete": {}, "/replay": {"delivery": {delivery[1]}}} {
			for _, site := range []http.Header{from("cross-site"), from("same-site"), {"Origin": {"https://evil.example"}}} {
				wantPage(t, s.send("POST", at+path, form.Encode(), site), 403, "another site")
			}
			wantPage(t, user.post(at+path, form), 403, "Only for admins")
			wantPage(t, foreign.post(at+path, form), 404)
		}
		if other := foreign.get("/console/webhooks"); strings.Contains(other.body, id) || foreign.get(at).status != 404 {
			t.Error("another organisation sees the webhook")
		}

		done := func(path string, form url.Values, said string) {
			t.Helper()
			got := s.post(at+path, form)
			if got.status != 303 || !strings.HasPrefix(got.to, at+"?done=") {
				t.Fatalf("%s: %d to %q: %s", path, got.status, got.to, got.body)
			}
			wantPage(t, s.get(got.to), 200, `id="done"`, said)
		}
		done("/replay", url.Values{"delivery": {delivery[1]}}, "again")
		brokertest.Eventually(t, "it is told again", func() bool { return len(r.events()) == 2 && r.events()[1].Replayed })
		done("/test", nil, "on its way")
		done("/status", url.Values{"status": {"off"}}, "is off")
		wantPage(t, s.get(at), 200, "Off: an admin switched it off")
		wantPage(t, s.post(at+"/test", nil), 409, "is off")
		done("/status", url.Values{"status": {"active"}}, "is on")

		wantPage(t, s.get(at+"/rotate"), 200, `id="whose">`+r.url)
		rotated := s.post(at+"/rotate", nil)
		if now := shownSecret.FindStringSubmatch(rotated.body); now == nil || now[1] == secret[1] {
			t.Errorf("%d: %s", rotated.status, rotated.body)
		}
		wantPage(t, s.get(at+"/delete"), 200, `id="whose">`+r.url)
		if gone := s.post(at+"/delete", nil); gone.status != 303 || gone.to != "/console/webhooks" {
			t.Fatalf("%d to %q: %s", gone.status, gone.to, gone.body)
		}
		wantPage(t, s.get(at), 404)
		wantPage(t, s.get("/console/webhooks"), 200, `id="none"`)
		if strings.Contains(h.Log.String(), "whsec_") || strings.Contains(dump(t, h), "whsec_") {
			t.Error("a secret is kept in the open")
		}
	})
}

// Making a webhook, giving it a new secret and deleting it take a recent sign-in.
func TestWebhooksInTheConsoleTakeARecentSignIn(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{Clock: &brokertest.Clock{}, WithoutWorker: true})
	s := admin(t, h)
	made, err := h.Admin.Client.CreateWebhook(ctx, client.NewWebhook{URL: "https://app.example.test/"})
	if err != nil {
		t.Fatal(err)
	}
	h.Clock.Advance(16 * time.Minute)
	at := "/console/webhooks/" + made.ID
	for what, got := range map[string]page{
		"asking for one": s.get("/console/webhooks/new"), "making one": s.post("/console/webhooks/new", url.Values{"url": {"https://app.example.test/"}}),
		"asking to rotate": s.get(at + "/rotate"), "rotating": s.post(at+"/rotate", nil), "asking to delete": s.get(at + "/delete"), "deleting": s.post(at+"/delete", nil),
	} {
		if got.status != 303 || !strings.HasPrefix(got.to, "/sign-in?again=1") {
			t.Errorf("%s: %d to %q", what, got.status, got.to)
		}
	}
	wantPage(t, s.get(at), 200, made.ID, "https://app.example.test/")
}
