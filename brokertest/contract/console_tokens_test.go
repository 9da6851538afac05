package contract_test

import (
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

var (
	formName   = regexp.MustCompile(`name="form" value="([^"]+)"`)
	shownToken = regexp.MustCompile(`id="token" value="(grd_[^"]+)"`)
)

// tokenForm is the form of a new API token, as a browser gets it.
func tokenForm(t *testing.T, s *surfer, values url.Values) url.Values {
	t.Helper()
	got := s.get("/console/tokens/new")
	m := formName.FindStringSubmatch(got.body)
	if got.status != 200 || m == nil {
		t.Fatalf("%d: %s", got.status, got.body)
	}
	values.Set("form", m[1])
	return values
}

// made is the API token that a page shows.
func made(t *testing.T, p page) brokertest.Person {
	t.Helper()
	m := shownToken.FindStringSubmatch(p.body)
	if p.status != 200 || m == nil {
		t.Fatalf("%d: %s", p.status, p.body)
	}
	return brokertest.Person{Token: models.Secret(m[1])}
}

// An admin makes an API token in a browser. It is shown once, has no more rights than the API token that they signed in with, is audited with
// their name and session; a form that is sent again makes and shows nothing; and it is revoked there.
func TestAnAdminMakesAndRevokesAPITokensInTheConsole(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		s, user, foreign := admin(t, h), surf(t, h), surf(t, h)
		user.signIn(h.User)
		foreign.signIn(h.Other)
		form := tokenForm(t, s, url.Values{"role": {"user"}, "userId": {"ada"}, "name": {"<i>CI</i>"}, "providers": {p.Slug + "\r\n"}, "expiresAt": {"soon"}})
		for _, wrong := range []string{`id="expiresAt-problem"`, "must be a day", "&lt;i&gt;CI", `value="soon"`} {
			wantPage(t, s.post("/console/tokens/new", form), 422, wrong)
		}
		form.Set("expiresAt", time.Now().AddDate(0, 0, 3).Format(time.DateOnly))
		wantPage(t, s.post("/console/tokens/new", form), 422, "for itself, and for machines")
		form.Set("userId", "app-ci")
		form.Set("role", "admin")
		wantPage(t, s.post("/console/tokens/new", form), 422, "GRANTD_TOKENS_BY_ADMINS")
		form.Set("role", "user")

		// Of others' forms and of people who are no admins nothing comes.
		wantPage(t, s.send("POST", "/console/tokens/new", form.Encode(), from("cross-site")), 403, "another site")
		wantPage(t, user.post("/console/tokens/new", form), 403, "Only for admins")
		if n := len(column(t, h, "SELECT id FROM api_tokens WHERE user_id = 'app-ci'")); n != 0 {
			t.Fatalf("%d API tokens were made", n)
		}

		shown := s.post("/console/tokens/new", form)
		machine := made(t, shown)
		if got := ids(t, want(t, 200, h.Do(t, machine, "GET", root+"providers/", nil))); len(got) != 1 || got[0] != p.ID {
			t.Errorf("the machine sees %v", got)
		}
		again := s.post("/console/tokens/new", form)
		if wantPage(t, again, 409, "was sent before"); strings.Contains(again.body, "grd_") {
			t.Error("the API token is shown a second time")
		}
		all := list(t, want(t, 200, h.Do(t, h.Admin, "GET", apiTokens+"?userId=app-ci", nil))["data"])
		if len(all) != 1 || all[0]["madeBy"] != h.Admin.Caller.TokenID || all[0]["name"] != "<i>CI</i>" {
			t.Fatalf("the API tokens are %v", all)
		}
		id := text(t, all[0], "id")
		if strings.Contains(dump(t, h), secret(machine.Token)) || strings.Contains(h.Log.String(), secret(machine.Token)) {
			t.Error("the API token is kept in the open")
		}
		event := list(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"audit/?action=api_token.created&userId=app-ci", nil))["data"])[0]
		if event["actor"] != "root" || !strings.HasPrefix(text(t, event, "tokenId"), "session:") || event["code"] != id {
			t.Errorf("audited as %v", event)
		}
		wantPage(t, s.get("/console/tokens?userId=app-ci"), 200, `id="token-`+id+`"`, "&lt;i&gt;CI", p.ID)
		if other := foreign.get("/console/tokens"); strings.Contains(other.body, id) {
			t.Error("another organisation sees the API token")
		}

		at := "/console/tokens/" + id + "/revoke"
		wantPage(t, s.get(at), 200, `<strong id="whose">app-ci</strong>`)
		wantPage(t, s.send("POST", at, "", from("cross-site")), 403, "another site")
		wantPage(t, user.post(at, nil), 403, "Only for admins")
		wantPage(t, foreign.get(at), 404)
		wantPage(t, foreign.post(at, nil), 404)
		want(t, 200, h.Do(t, machine, "GET", root+"providers/", nil))
		for range 2 {
			if done := s.post(at, nil); done.status != 303 || done.to != "/console/tokens" {
				t.Fatalf("%d to %q: %s", done.status, done.to, done.body)
			}
		}
		want(t, 401, h.Do(t, machine, "GET", root+"providers/", nil))
		wantPage(t, s.get("/console/tokens?userId=app-ci"), 200, "revoked")
	})
}

// Making and revoking API tokens takes a recent sign-in.
func TestAPITokensInTheConsoleTakeARecentSignIn(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{Clock: &brokertest.Clock{}})
	s := admin(t, h)
	form := tokenForm(t, s, url.Values{"role": {"user"}, "userId": {"app-ci"}})
	h.Clock.Advance(16 * time.Minute)
	revoke := "/console/tokens/" + h.Admin.Caller.TokenID + "/revoke"
	for what, got := range map[string]page{"making": s.post("/console/tokens/new", form), "the form": s.get("/console/tokens/new"), "revoking": s.post(revoke, nil), "asking": s.get(revoke)} {
		if got.status != 303 || !strings.HasPrefix(got.to, "/sign-in?again=1") {
			t.Errorf("%s: %d to %q", what, got.status, got.to)
		}
	}
	wantPage(t, s.get("/console/tokens"), 200)
	if n := len(column(t, h, "SELECT id FROM api_tokens WHERE user_id = 'app-ci'")); n != 0 {
		t.Errorf("%d API tokens were made", n)
	}
}

// A6: nothing escapes the revocation of the API token that a session was begun with: what is made in it at the same time is
// either revoked too or not made.
func TestA6_NothingMadeInASessionEscapesTheRevocationOfItsAPIToken(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for range 5 {
			maker := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "root", Role: models.RoleAdmin})
			cookie, err := h.Service.BeginSession(ctx, broker.SignedIn{Caller: maker.Caller}, "", "")
			if err != nil {
				t.Fatal(err)
			}
			v, err := h.Service.Session(ctx, cookie)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					_, _, err := h.Service.MakeAPIToken(ctx, v.Caller, broker.NewAPIToken{Role: models.RoleUser, UserID: "app-x"})
					if err != nil && models.CodeOf(err) != models.CodeUnauthenticated {
						t.Errorf("making one: %v", err)
					}
				})
			}
			wg.Go(func() {
				if err := h.Service.EndAPIToken(ctx, h.Admin.Caller, maker.Caller.TokenID, true); err != nil {
					t.Errorf("revoking: %v", err)
				}
			})
			wg.Wait()
			if alive := column(t, h, "SELECT id FROM api_tokens WHERE made_by = '"+maker.Caller.TokenID+"' AND revoked_at IS NULL"); len(alive) > 0 {
				t.Errorf("%v escaped", alive)
			}
		}
	})
}

// A6: who signed in at the issuer makes API tokens for machines only, with an end of at most 90 days, while they are
// signed in.
func TestA6_AnAdminOfTheIssuerMakesAPITokensForMachines(t *testing.T) {
	t.Parallel()
	h, issuer := signingIn(t, brokertest.Options{}, func(o *broker.SignIn) { o.AdminIf = broker.Match{Claim: "groups", Value: "admins"} })
	issuer.set(func() { issuer.says = func(m map[string]any) { m["groups"] = []string{"admins"} } })
	s := surf(t, h)
	s.signsInAt(issuer)
	day := func(n int) string { return time.Now().AddDate(0, 0, n).Format(time.DateOnly) }
	form := tokenForm(t, s, url.Values{"role": {"user"}, "userId": {"app-ci"}})
	wantPage(t, s.get("/console/tokens/new"), 200, `value="app-"`)
	for _, end := range []string{"", day(91)} {
		form.Set("expiresAt", end)
		wantPage(t, s.post("/console/tokens/new", form), 422, "at most 90 days")
	}
	form.Set("expiresAt", day(80))
	form.Set("userId", "")
	wantPage(t, s.post("/console/tokens/new", form), 422, `id="userId-problem"`)
	form.Set("userId", "app-ci")
	want(t, 200, h.Do(t, made(t, s.post("/console/tokens/new", form)), "GET", root+"providers/", nil))
	one := list(t, want(t, 200, h.Do(t, h.Admin, "GET", apiTokens+"?userId=app-ci", nil))["data"])[0]
	if !strings.HasPrefix(text(t, one, "madeBy"), "session:") {
		t.Errorf("made by %v", one["madeBy"])
	}
	form = tokenForm(t, s, url.Values{"role": {"user"}, "userId": {"app-late"}, "expiresAt": {day(2)}})
	change(t, h, "DELETE FROM browser_sessions")
	if late := s.post("/console/tokens/new", form); late.status != 303 || !strings.HasPrefix(late.to, "/sign-in?") {
		t.Errorf("after the session: %d to %q", late.status, late.to)
	}
}
