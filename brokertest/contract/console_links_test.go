package contract_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

// An admin sees which links apps have made and how far they have come, and takes one back, which has revoked what was
// granted with it. Nobody else does, and it takes a recent sign-in.
func TestAnAdminTakesAConnectLinkBack(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test").ID
		app := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-web", Role: models.RoleService, Name: "<b>Web</b> app", Providers: []string{p},
			ReturnOrigins: []string{"https://app.example.com"}})
		s, person, user, foreign := admin(t, h), surf(t, h), surf(t, h), surf(t, h)
		user.signIn(h.User)
		foreign.signIn(h.Other)
		returned, path := link(t, h, app, p, nil)
		_, to := person.links(path, "ada")
		declined, path := link(t, h, app, p, object{"userId": "grace"})
		person.post(path, url.Values{"answer": {"cancel"}, "browser": {browserField(t, person.back(path))}})

		shown := s.get("/console/links")
		wantPage(t, shown, 200, `id="link-`+returned+`"`, "Waits for the app to confirm", "&lt;b&gt;Web&lt;/b&gt; app", "app.example.com", "test provider")
		if strings.Contains(shown.body, declined) || strings.Contains(shown.body, strings.TrimPrefix(path, "/connect/")) {
			t.Error("the page shows a link that has ended, or the address of one")
		}
		wantPage(t, s.get("/console/links?ended=1&userId=grace"), 200, `id="link-`+declined+`"`, "the person declined")
		wantPage(t, s.get("/console/links?userId=nobody"), 200, `id="none"`)

		at := "/console/links/" + returned + "/withdraw"
		wantPage(t, s.get(at), 200, `<strong id="user">ada</strong>`)
		wantPage(t, s.send("POST", at, "", from("cross-site")), 403, "another site")
		for _, got := range []page{user.get(at), user.post(at, nil)} {
			wantPage(t, got, 403, "Only for admins")
		}
		for _, got := range []page{foreign.get(at), foreign.post(at, nil)} {
			wantPage(t, got, 404)
		}
		if body := foreign.get("/console/links?ended=1").body; strings.Contains(body, returned) {
			t.Error("another organisation's admin sees the link")
		}
		change(t, h, "UPDATE browser_sessions SET created_at = '"+time.Now().UTC().Add(-16*time.Minute).Format("2006-01-02 15:04:05.000000")+"' WHERE user_id = 'root'")
		if got := s.post(at, nil); got.status != 303 || !strings.HasPrefix(got.to, "/sign-in?again=1&") {
			t.Errorf("without a recent sign-in: %d to %q", got.status, got.to)
		}
		linkIs(t, h, returned, "returned", "")
		s.signIn(h.Admin)
		for range 2 {
			if done := s.post(at, nil); done.status != 303 || done.to != "/console/links" {
				t.Fatalf("%d to %q: %s", done.status, done.to, done.body)
			}
		}
		linkIs(t, h, returned, "failed", "withdrawn")
		want(t, 410, confirm(t, h, app, returned, inside(t, to, "result"), "ada"))
		brokertest.Eventually(t, "what was granted is revoked", func() bool { return grants(h) == 0 })
	})
}

// The return origins of an API token are given in the console, within those of the API token that the admin signed in with.
func TestAnAdminGivesAnAPITokenReturnOriginsInTheConsole(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{TokensByAdmins: true})
	p := h.Provider(t, "test")
	s := surf(t, h)
	s.signIn(h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "root", Role: models.RoleAdmin, ReturnOrigins: []string{"https://app.example.com", "https://b.example.com"}}))
	form := tokenForm(t, s, url.Values{"role": {"service"}, "userId": {"app-web"}, "name": {"Web app"}, "providers": {p.Slug}, "returnOrigins": {"https://evil.example.com"}})
	wantPage(t, s.post("/console/tokens/new", form), 422, `id="returnOrigins-problem"`, "must be among those of the API token")
	form.Set("returnOrigins", "https://app.example.com/path")
	wantPage(t, s.post("/console/tokens/new", form), 422, `id="returnOrigins-problem"`, "without a path")
	form.Set("returnOrigins", "https://app.example.com\r\nhttps://b.example.com\r\n")
	shown := s.post("/console/tokens/new", form)
	wantPage(t, shown, 200, "https://app.example.com, https://b.example.com")
	app := made(t, shown)
	wantPage(t, s.get("/console/tokens?userId=app-web"), 200, "links return to https://b.example.com")
	link(t, h, app, p.ID, object{"returnUrl": "https://b.example.com/connected"})
}
