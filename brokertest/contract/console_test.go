package contract_test

import (
	"bufio"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/testidp"
)

// consolePages are the console's pages about a provider and a job.
func consolePages(provider, job string) []string {
	return []string{
		"/console/", "/console", "/console/providers", "/console/providers/" + provider, "/console/providers/" + provider + "/delete",
		"/console/providers/new", "/console/providers/new?type=test", "/console/providers/" + provider + "/edit", "/console/providers/" + provider + "/secret",
		"/console/connections", "/console/connections?userId=ada&status=active", "/console/connections/revoke?userId=ada", "/console/connections/revoke",
		"/console/links", "/console/links?userId=ada&ended=1", "/console/audit", "/console/audit?action=provider.created&from=2026-01-01", "/console/statistics", "/console/sessions", "/console/sessions?userId=ada", "/console/tokens", "/console/tokens?userId=root", "/console/tokens/new", "/console/webhooks", "/console/webhooks/new", "/console/sessions/" + unknownID + "/end",
		"/console/jobs", "/console/jobs?status=ERROR", "/console/jobs/" + job,
	}
}

// consoleForms are its forms.
func consoleForms(provider string) []string {
	of := "/console/providers/" + provider
	return []string{of + "/status", of + "/delete", of + "/edit", of + "/secret"}
}

// admin is a browser with the organisation's admin signed in.
func admin(t *testing.T, h *brokertest.Instance) *surfer {
	t.Helper()
	s := surf(t, h)
	s.signIn(h.Admin)
	return s
}

func startStats(t *testing.T, h *brokertest.Instance) string {
	t.Helper()
	return jobOf(t, h, h.Do(t, h.Admin, "POST", root+"jobs/", object{"type": "STATS"}))
}

// pauses has a provider wait for an upstream, for as long as the sessions that there are.
func pauses(t *testing.T, h *brokertest.Instance, provider, org, origin string) {
	t.Helper()
	change(t, h, "INSERT INTO pauses (provider_id, org_id, host, class, until) SELECT '"+provider+"', '"+org+"', '"+origin+"', 'token', max(expires_at) FROM browser_sessions")
}

// The console is for the organisation's admins: people who are not signed in sign in and come back, and somebody who is no admin is
// told so, and to the admin of another organisation nothing of this one exists.
func TestA6_TheConsoleIsForAdmins(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p, job := createID(t, h, nil), startStats(t, h)
		stranger, user, foreign := surf(t, h), surf(t, h), surf(t, h)
		user.signIn(h.User)
		foreign.signIn(h.Other)
		for _, at := range consolePages(p, job) {
			if got := stranger.get(at); got.status != 303 || got.to != "/sign-in?"+(url.Values{"redirect": {at}}).Encode() {
				t.Errorf("%s: a stranger gets %d to %s", at, got.status, got.to)
			}
			wantPage(t, user.get(at), 403, "Only for admins", `id="connections"`)
			ofThis := strings.Contains(at, p) || strings.Contains(at, job)
			if got := foreign.get(at); ofThis != (got.status == 404) || strings.Contains(got.body, p) || strings.Contains(got.body, job) {
				t.Errorf("%s: another organisation's admin gets %d: %s", at, got.status, got.body)
			}
		}
		for _, at := range consoleForms(p) {
			form := url.Values{"status": {"inactive"}, "name": {"Test"}, "force": {"1"}, "clientSecret": {"another"}}
			if got := stranger.post(at, form); got.status != 303 || !strings.HasPrefix(got.to, "/sign-in?") {
				t.Errorf("%s: a stranger gets %d to %s", at, got.status, got.to)
			}
			wantPage(t, user.post(at, form), 403, "Only for admins")
			wantPage(t, foreign.post(at, form), 404)
		}
		if got := want(t, 200, h.Do(t, h.Admin, "GET", provider(p), nil)); got["status"] != "active" {
			t.Errorf("the provider is %v", got["status"])
		}

		back := "/console/providers/" + p
		in := stranger.post("/sign-in", url.Values{"token": {secret(h.Admin.Token)}, "redirect": {back}})
		if in.to != back {
			t.Errorf("after signing in: %q", in.to)
		}
		wantPage(t, stranger.get(in.to), 200, p)
		if home := stranger.get("/"); home.status != 303 || home.to != "/console/" {
			t.Errorf("an admin's / is %d to %q", home.status, home.to)
		}
		wantPage(t, stranger.get("/connections"), 200, "Your connections", `id="console"`)
		wantPage(t, user.get("/"), 200, "Your connections")
	})
}

// Forms of other sites change nothing.
func TestTheConsoleTakesItsOwnFormsOnly(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	s := admin(t, h)
	for _, at := range consoleForms(p) {
		for _, site := range []string{"cross-site", "same-site"} {
			wantPage(t, s.send("POST", at, "status=inactive&name=Test&resume=1", from(site)), 403, "another site")
		}
		wantPage(t, s.send("POST", at, "status=inactive&name=Test&resume=1", http.Header{"Origin": {"https://evil.example"}}), 403, "another site")
	}
	if got := want(t, 200, h.Do(t, h.Admin, "GET", provider(p), nil)); got["status"] != "active" {
		t.Errorf("the provider is %v", got["status"])
	}
}

// ownScript is the console's one module, as its pages name it.
var ownScript = regexp.MustCompile(`<script type="module" src="[^"]*/assets/[0-9a-f]{12}\.js"></script>`)

// Names that tenants and people choose are text, wherever the console shows them.
func TestTheConsoleShowsMarkupAsText(t *testing.T) {
	h := embedded(t)
	s := admin(t, h)
	const markup = `"'><script id=xss>alert(1)</script>`
	p := createID(t, h, object{"name": markup, "scopes": []string{"<i>"}})
	consent(t, h, h.User, p, "ada")
	quoted := strings.ReplaceAll(markup, "'", "''")
	change(t, h, "UPDATE providers SET trouble = 'client', trouble_version = secret_version, trouble_since = created_at, trouble_code = '"+quoted+"', config = '{\"match\":\"<b>\"}'")
	change(t, h, "UPDATE authorizations SET login = '"+quoted+"', email = '"+quoted+"'")
	change(t, h, "UPDATE api_tokens SET name = '"+quoted+"'")
	job := startStats(t, h)
	ended(t, h, job)
	change(t, h, "UPDATE jobs SET name = '"+quoted+"', failure = '"+quoted+"', status = 'ERROR', created_by = '"+quoted+"'")
	pauses(t, h, p, "acme", quoted)
	for _, at := range consolePages(p, job) {
		got := s.get(at)
		if got.status != 200 || strings.Contains(ownScript.ReplaceAllString(got.body, ""), "<script") || strings.Contains(got.body, "<i>") || strings.Contains(got.body, "<b>") || strings.Contains(at, p) && !strings.Contains(got.body, "&lt;script") {
			t.Errorf("%s: %d %s", at, got.status, got.body)
		}
	}
	wantPage(t, s.get("/console/connections"), 200, "&lt;script")
	wantPage(t, s.get("/console/connections?userId="+url.QueryEscape(markup)), 200, `value="&#34;`)
	wantPage(t, s.get("/console/audit?userId="+url.QueryEscape(markup)+"&from=%3Cscript%3E"), 200, `value="&lt;script&gt;"`)
	// What is typed comes back as text too.
	wantPage(t, s.post("/console/providers/"+p+"/delete", url.Values{"name": {`"><script>`}}), 422, `value="&#34;&gt;&lt;script&gt;"`)
}

var addresses = regexp.MustCompile(`(?:href|action|src)="([^"]*)"`)

// Behind a path, every address of the console has it.
func TestTheConsoleWorksBelowAPath(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{PublicURL: "http://127.0.0.1/grantd"})
	p := createID(t, h, nil)
	consent(t, h, h.User, p, "ada")
	job := strings.TrimSuffix(strings.TrimPrefix(text(t, want(t, 202, h.Do(t, h.Admin, "POST", root+"jobs/", object{"type": "STATS"})), "location"), "http://127.0.0.1/grantd"+root+"jobs/"), "/")
	s := surf(t, h)
	if got := s.get("/grantd/console/"); got.to != "/grantd/sign-in?redirect=%2Fgrantd%2Fconsole%2F" {
		t.Errorf("to sign in: %q", got.to)
	}
	if in := s.post("/grantd/sign-in", url.Values{"token": {secret(h.Admin.Token)}}); in.to != "/grantd/" {
		t.Fatalf("signed in: %d to %q", in.status, in.to)
	}
	if home := s.get("/grantd/"); home.to != "/grantd/console/" {
		t.Errorf("an admin's home is %q", home.to)
	}
	for _, at := range consolePages(p, job) {
		got := s.get("/grantd" + at)
		wantPage(t, got, 200, `href="/grantd/console/providers"`)
		for _, m := range addresses.FindAllStringSubmatch(got.body, -1) {
			if strings.HasPrefix(m[1], "/") && !strings.HasPrefix(m[1], "/grantd/") {
				t.Errorf("%s leads to %s", at, m[1])
			}
		}
		if m := loads.FindStringSubmatch(got.body); m != nil && !strings.HasPrefix(m[2], "/grantd/console/") {
			t.Errorf("%s: loads %s again", at, m[2])
		}
	}
	if off := s.post("/grantd/console/providers/"+p+"/status", url.Values{"status": {"inactive"}}); off.to != "/grantd/console/providers/"+p+"?done=off" {
		t.Errorf("switched off: %d to %q", off.status, off.to)
	}
	asked := s.post("/grantd/console/providers/"+p+"/delete", url.Values{"name": {"Test"}})
	if !strings.HasPrefix(asked.to, "/grantd/console/jobs/") {
		t.Errorf("deleted: %d to %q", asked.status, asked.to)
	}
}

// The overview tells an admin what does not work now, and where to fix it.
func TestTheOverviewTellsWhatDoesNotWork(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		s := admin(t, h)
		wantPage(t, s.get("/console/"), 200, `id="quiet"`, "Nobody has connected", `href="/connections">Connect one`)
		p := createID(t, h, object{"name": "Broken", "type": "github", "metadata": object{"host": h.IdPURL}})
		fine := createID(t, h, object{"name": "Fine"})
		for who, person := range map[string]brokertest.Person{"ada": h.User, "grace": h.Colleague} {
			consent(t, h, person, p, who)
			consent(t, h, person, fine, who)
		}
		foreign := text(t, want(t, 201, h.Do(t, h.Other, "POST", root+"providers/", newProvider(object{"name": "Foreign"}))), "id")
		change(t, h, "UPDATE providers SET trouble = 'client', trouble_version = secret_version, trouble_since = created_at, trouble_code = 'client:401:invalid_client' WHERE name <> 'Fine'")
		change(t, h, "UPDATE credentials SET verdict = 'expired', verdict_generation = generation, verdict_secret_version = 1 WHERE authorization_id IN (SELECT id FROM authorizations WHERE provider_id = '"+fine+"' AND user_id = 'ada')")
		for _, of := range [][2]string{{p, "acme"}, {foreign, "globex"}} {
			pauses(t, h, of[0], of[1], "https://idp.example")
		}
		job := startStats(t, h)
		ended(t, h, job)
		change(t, h, "UPDATE jobs SET status = 'ERROR', failure = 'It broke. Send DELETE again to retry them, or DELETE ?force=true to give up on them.'")

		got := s.get("/console/")
		wantPage(t, got, 200, "What does not work now", `id="trouble-`+p+`"`, "An admin must correct its clientSecret", "The provider answered 401 with <code>invalid_client</code>.", h.IdPURL+"/settings/developers",
			`id="failed-`+job+`"`, "It broke.", "https://idp.example", "Exchanges and refreshes wait",
			"Working</th><td class=\"number\">1</td>", "Expired: the person has to connect again</th><td class=\"number\">1</td>", "refuses the client</th><td class=\"number\">2</td>")
		if strings.Contains(got.body, "DELETE") {
			t.Errorf("the overview tells a person to send requests: %s", got.body)
		}
		if strings.Contains(got.body, "Foreign") || strings.Contains(got.body, foreign) || strings.Contains(got.body, `id="quiet"`) {
			t.Errorf("the overview tells too much: %s", got.body)
		}
		wantPage(t, s.get("/console/providers"), 200, "Broken", "In trouble", "Fine", `<td class="number">2</td><td class="number">1</td>`)
		wantPage(t, s.get("/console/providers/"+p), 200, h.URL+"/external-auth/"+p+"/callback", `id="trouble"`, `id="register"`)

		// Mended: nothing is left to see to.
		want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"clientSecret": brokertest.ClientSecret}))
		change(t, h, "DELETE FROM pauses")
		change(t, h, "UPDATE jobs SET status = 'COMPLETED', failure = ''")
		wantPage(t, s.get("/console/"), 200, `id="quiet"`)
	})
}

// An admin switches a provider off and on. It may be sent twice, and is audited with their name.
func TestAnAdminSwitchesAProviderOffAndOn(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	a := consent(t, h, h.User, p, "ada")
	s := admin(t, h)
	at := "/console/providers/" + p
	for range 2 {
		off := s.post(at+"/status", url.Values{"status": {"inactive"}})
		if off.status != 303 {
			t.Fatalf("%d: %s", off.status, off.body)
		}
		wantPage(t, s.get(off.to), 200, "is switched off", `value="active"`)
		want(t, 403, h.Do(t, h.User, "POST", tokenOf(a), nil))
	}
	wantPage(t, s.get(s.post(at+"/status", url.Values{"status": {"active"}}).to), 200, "is switched on", `value="inactive"`)
	accessToken(t, h, h.User, a)
	for _, event := range list(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"audit/?action=provider.changed", nil))["data"]) {
		if event["userId"] != "root" || !strings.HasPrefix(text(t, event, "tokenId"), "session:") || event["providerId"] != p {
			t.Errorf("audited as %v", event)
		}
	}
}

// An admin deletes a provider by typing its name; the job's page follows, until nothing is left.
func TestAnAdminDeletesAProvider(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, object{"name": "Old one"})
		a := consent(t, h, h.User, p, "ada")
		s := admin(t, h)
		at := "/console/providers/" + p + "/delete"
		wantPage(t, s.get(at), 200, "1 connection goes", "type its name", "Old one")
		wantPage(t, s.post(at, url.Values{"name": {"old one"}}), 422, "not the provider&#39;s name", `aria-invalid="true"`, `value="old one"`)
		accessToken(t, h, h.User, a)
		asked := s.post(at, url.Values{"name": {"Old one"}})
		if again := s.post(at, url.Values{"name": {"Old one"}}); asked.status != 303 || again.status != 404 && again.to != asked.to {
			t.Errorf("%d to %q, again %d to %q", asked.status, asked.to, again.status, again.to)
		}
		job := strings.TrimPrefix(asked.to, "/console/jobs/")
		ended(t, h, job)
		got := s.get(asked.to)
		wantPage(t, got, 200, "Completed", "What became of 1 authorization", `Revoked at the provider</th><td class="number">1</td>`, `<rect class="good" x="0.000" y="0" width="100.000"`)
		if loads.MatchString(got.body) || strings.Contains(got.body, "data-events") {
			t.Error("the page of a job that has ended loads itself again")
		}
		wantPage(t, s.get("/console/jobs"), 200, `id="job-`+job+`"`, "by root")
		wantPage(t, s.get("/console/providers/"+p), 404)
	})
}

// loads is how a page loads itself again without scripts: after how many seconds, and which address.
var loads = regexp.MustCompile(`<noscript><meta http-equiv="refresh" content="(\d+); url=([^"]+)"></noscript>`)

// A page of a job that has not ended loads itself again where there are no scripts, for a while; and not where the person
// does not want it.
func TestThePageOfAJobLoadsItselfAgain(t *testing.T) {
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true})
	job := startStats(t, h)
	s := admin(t, h)
	at := "/console/jobs/" + job
	got := s.get(at)
	wantPage(t, got, 200, "Waiting", "?still=1", `data-events="`+at+`/events"`, `data-again="`+at+`?loads=1"`)
	if m := loads.FindStringSubmatch(got.body); m == nil || m[1] != "5" || m[2] != at+"?loads=1" {
		t.Errorf("it loads %q again", m)
	}
	for _, last := range []string{"?still=1", "?loads=120"} {
		if got := s.get(at + last); loads.MatchString(got.body) || strings.Contains(got.body, "data-events") || !strings.Contains(got.body, `id="load"`) {
			t.Errorf("%s: %s", last, got.body)
		}
	}
}

// nextEvent reads a stream of events up to the end of the next, and returns its name and what it shows.
func nextEvent(t *testing.T, from *bufio.Scanner) (name, page string) {
	t.Helper()
	for from.Scan() {
		field, value, _ := strings.Cut(from.Text(), ": ")
		switch {
		case field == "event":
			name = value
		case field == "data":
			page += value + "\n"
		case from.Text() == "" && name != "":
			return name, page
		}
	}
	t.Fatalf("the stream ended: %v", from.Err())
	return "", ""
}

// The page of a job is sent again when the job goes on, to admins of its organisation, for as long as their session lives,
// which that does not prolong. Its text is one event, whatever line breaks it has.
func TestThePageOfAJobFollowsTheJob(t *testing.T) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		h := brokertest.New(t, &brokertest.Options{Backend: b, WithoutWorker: true})
		follow := func(s *surfer, job string) *http.Response {
			t.Helper()
			r := request(t, h, "GET", "/console/jobs/"+job+"/events", "")
			r.Header.Del("Authorization")
			res, err := s.http.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { res.Body.Close() })
			return res
		}
		p := createID(t, h, nil)
		consent(t, h, h.User, p, "ada")
		s, foreign, user := admin(t, h), surf(t, h), surf(t, h)
		foreign.signIn(h.Other)
		user.signIn(h.User)
		job := startStats(t, h)
		change(t, h, "UPDATE jobs SET name = 'a\r\nb', failure = 'one\n\ndata: two\revent: x'")
		res := follow(s, job)
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d: %v", res.StatusCode, res.Header)
		}
		lines := bufio.NewScanner(res.Body)
		name, page := nextEvent(t, lines)
		if name != "progress" || !strings.Contains(page, `<dd id="status">Waiting</dd>`) || !strings.Contains(page, "data: two") || strings.Contains(page, "<html") {
			t.Errorf("%s: %s", name, page)
		}
		change(t, h, "UPDATE jobs SET status = 'RUNNING'")
		if name, page = nextEvent(t, lines); name != "progress" || !strings.Contains(page, `<dd id="status">Running</dd>`) {
			t.Errorf("%s: %s", name, page)
		}
		change(t, h, "UPDATE jobs SET status = 'COMPLETED', failure = ''")
		if name, page = nextEvent(t, lines); name != "end" || !strings.Contains(page, `<dd id="status">Completed</dd>`) {
			t.Errorf("%s: %s", name, page)
		}
		if lines.Scan() && lines.Text() != "" || lines.Scan() {
			t.Errorf("after the end: %q", lines.Text())
		}

		if got := follow(foreign, job); got.StatusCode != 404 {
			t.Errorf("another organisation's admin gets %d", got.StatusCode)
		}
		if got := follow(user, job); got.StatusCode != 403 {
			t.Errorf("a user gets %d", got.StatusCode)
		}
		if got := follow(surf(t, h), job); got.StatusCode != 303 {
			t.Errorf("a stranger gets %d", got.StatusCode)
		}
	})
}

// A stream ends with the session, and does not count as a use of it.
func TestTheStreamOfAJobEndsWithTheSession(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true, Clock: &brokertest.Clock{}})
	job := startStats(t, h)
	changed := func(to string) { t.Helper(); change(t, h, "UPDATE jobs SET failure = '"+to+"'") }
	for what, end := range map[string]func(){
		"was ended":    func() { change(t, h, "DELETE FROM browser_sessions") },
		"was not used": func() { h.Clock.Advance(59 * time.Minute) },
	} {
		s := admin(t, h)
		changed("none")
		r := request(t, h, "GET", "/console/jobs/"+job+"/events", "")
		r.Header.Del("Authorization")
		res, err := s.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		nextEvent(t, lines)
		h.Clock.Advance(2 * time.Minute) // a use would be noted again from here
		changed("first")
		if _, page := nextEvent(t, lines); !strings.Contains(page, "first") {
			t.Errorf("the next event is %s", page)
		}
		end()
		changed("second")
		for lines.Scan() {
			if strings.Contains(lines.Text(), "second") {
				t.Errorf("the session %s, and the stream goes on", what)
			}
		}
		if after := s.get("/console/jobs/" + job); after.status != 303 {
			t.Errorf("a session that %s lives: %d", what, after.status)
		}
	}
}

// A deletion that failed is tried again, or given up on, from the page of its job.
func TestAnAdminGoesOnWithADeletionThatFailed(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{Timing: broker.Timing{Backoff: time.Millisecond}})
	p := createID(t, h, nil)
	consent(t, h, h.User, p, "ada")
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 500})
	s := admin(t, h)
	first := deleted(t, h, p)
	if first["status"] != "ERROR" {
		t.Fatalf("the job is %v", first)
	}
	at := "/console/jobs/" + text(t, first, "id")
	wantPage(t, s.get(at), 200, "Ended with an error", "What failed", "ada", `id="resume"`, `id="force"`, "stay valid there")
	again := s.post("/console/providers/"+p+"/delete", url.Values{"resume": {"1"}})
	ended(t, h, strings.TrimPrefix(again.to, "/console/jobs/"))
	wantPage(t, s.get(again.to), 200, `href="`+at+`"`)
	if strings.Contains(s.get(at).body, `id="resume"`) {
		t.Error("a job that another goes on with can be resumed")
	}
	forced := s.post("/console/providers/"+p+"/delete", url.Values{"resume": {"1"}, "force": {"1"}})
	ended(t, h, strings.TrimPrefix(forced.to, "/console/jobs/"))
	wantPage(t, s.get(forced.to), 200, "Completed", `Abandoned</th><td class="number">1</td>`)
}

// What cannot be undone needs a sign-in of the last quarter of an hour; all else does not.
func TestWhatCannotBeUndoneNeedsARecentSignIn(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{Clock: &brokertest.Clock{}})
	p := createID(t, h, nil)
	s := admin(t, h)
	at := "/console/providers/" + p + "/delete"
	h.Clock.Advance(14 * time.Minute)
	wantPage(t, s.get(at), 200, "type its name")
	h.Clock.Advance(2 * time.Minute)
	again := "/sign-in?" + url.Values{"redirect": {at}, "again": {"1"}}.Encode()
	for what, got := range map[string]page{"the page": s.get(at), "the form": s.post(at, url.Values{"name": {"Test"}})} {
		if got.status != 303 || got.to != again {
			t.Errorf("%s: %d to %q", what, got.status, got.to)
		}
	}
	wantPage(t, s.get("/console/providers/"+p), 200, p)
	wantPage(t, s.get(again), 200, "Sign in once more")
	in := s.post("/sign-in", url.Values{"token": {secret(h.Admin.Token)}, "redirect": {at}, "again": {"1"}})
	wantPage(t, s.get(in.to), 200, "type its name")
	if n := column(t, h, "SELECT id FROM jobs WHERE type = 'DELETE_PROVIDER'"); len(n) > 0 {
		t.Errorf("jobs were made: %v", n)
	}
}

func newForm(t *testing.T, s *surfer, typ string) string {
	t.Helper()
	got := s.get("/console/providers/new?type=" + typ)
	wantPage(t, got, 200, `name="clientSecret"`)
	m := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(got.body)
	if m == nil {
		t.Fatal("the form has no name")
	}
	return m[1]
}

// An admin registers a provider with the form of its type. What is wrong stands beside its field in the API's words, what
// was entered stays, but for the secret; and a form that is sent twice registers one provider.
func TestAnAdminRegistersAProviderInTheConsole(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		s := admin(t, h)
		types := s.get("/console/providers/new")
		for _, typ := range h.Upstream.Names() {
			wantPage(t, types, 200, `id="type-`+typ+`"`)
			got := s.get("/console/providers/new?type=" + typ)
			for _, setting := range h.Upstream.Settings(typ) {
				wantPage(t, got, 200, `name="config.`+setting.Name+`"`, `id="config.`+setting.Name+`-help"`)
			}
		}

		name := newForm(t, s, "oauth2")
		form := url.Values{"type": {"oauth2"}, "form": {name}, "name": {"Our <b>server</b>"}, "clientId": {brokertest.ClientID}, "clientSecret": {brokertest.ClientSecret},
			"scopes": {"read  write"}, "redirectUris": {"https://a.example/cb\r\nftp://b.example"}, "description": {"Ours.\r\nAsk us."}, "slug": {"Not A Slug"},
			"config.authStyle": {"basic"}, "config.authorizeUrl": {h.IdPURL + "/authorize"}, "config.tokenUrl": {h.IdPURL + "/token"}, "config.userInfoUrl": {"nowhere"},
			"config.claims": {"sub=data.id\nemail=data.mail"}, "config.match": {"git.example.com"}, "config.pkce": {"false"}, "config.callsPerHour": {"many"}}
		wrong := s.post("/console/providers/new", form)
		wantPage(t, wrong, 422, "Our &lt;b&gt;server&lt;/b&gt;", "read  write", "Not A Slug", "sub=data.id\nemail=data.mail", "Ours.\nAsk us.", `<option value="false" selected>`,
			`value="many"`, "must be a whole number of calls per hour", `href="#slug"`, `id="slug-problem"`, "must be 1 to 63 lower-case letters", `id="redirectUris-problem"`, "[1] must use https",
			`id="config.userInfoUrl-problem"`, `value="`+name+`"`, "<details open>")
		for field, is := range map[string]string{"slug": "Not A Slug", "config.callsPerHour": "many", "redirectUris": "", "config.userInfoUrl": "nowhere"} {
			api := h.Do(t, h.Admin, "POST", root+"providers/", object{"name": "x", "type": "oauth2", "clientId": "x", "clientSecret": "x", "slug": "Not A Slug", "redirectUris": []any{"https://a.example/cb", "ftp://b.example"},
				"config": object{"authStyle": "basic", "authorizeUrl": h.IdPURL + "/authorize", "tokenUrl": h.IdPURL + "/token", "userInfoUrl": "nowhere", "callsPerHour": "many"}})
			for _, f := range list(t, want(t, 422, api)["errorFields"]) {
				if strings.HasPrefix(f["name"].(string), field) && !strings.Contains(wrong.body, template.HTMLEscapeString(f["message"].(string))) {
					t.Errorf("of %s=%q the form does not say what the API does: %q", field, is, f["message"])
				}
			}
		}
		if strings.Contains(wrong.body, template.HTMLEscapeString(brokertest.ClientSecret)) {
			t.Error("the secret comes back")
		}

		for name, value := range map[string]string{"redirectUris": "", "slug": "", "config.userInfoUrl": h.IdPURL + "/userinfo", "config.callsPerHour": "600"} {
			form.Set(name, value)
		}
		var at string
		for range 2 {
			done := s.post("/console/providers/new", form)
			if done.status != 303 || at != "" && done.to != at {
				t.Fatalf("%d to %q: %s", done.status, done.to, done.body)
			}
			at = done.to
		}
		wantPage(t, s.get(at), 200, "The provider is registered", "/callback", "Our &lt;b&gt;server")
		made := list(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"providers/", nil))["data"])
		if len(made) != 1 {
			t.Fatalf("%d providers", len(made))
		}
		config := object{"authStyle": "basic", "authorizeUrl": h.IdPURL + "/authorize", "tokenUrl": h.IdPURL + "/token", "userInfoUrl": h.IdPURL + "/userinfo",
			"claims": object{"sub": "data.id", "email": "data.mail"}, "match": []any{"git.example.com"}, "pkce": false, "callsPerHour": 600}
		for field, is := range map[string]any{"name": "Our <b>server</b>", "slug": "our-b-server-b", "scopes": []any{"read", "write"}, "description": "Ours.\nAsk us.", "config": config} {
			if !same(object{field: made[0][field]}, object{field: is}) {
				t.Errorf("%s is %v, want %v", field, made[0][field], is)
			}
		}

		// The same form of somebody else's makes their own, and one that was deleted is not made again.
		foreign := surf(t, h)
		foreign.signIn(h.Other)
		if theirs := foreign.post("/console/providers/new", form); theirs.status != 303 || theirs.to == at {
			t.Errorf("another organisation: %d to %q: %s", theirs.status, theirs.to, theirs.body)
		}
		deleted(t, h, text(t, made[0], "id"))
		wantPage(t, s.post("/console/providers/new", form), 409, "was sent before")
		form.Set("form", "made-up")
		wantPage(t, s.post("/console/providers/new", form), 400, "Begin a new one")
	})
}

// Sent twice at once, too.
func TestAFormThatIsSentTwiceAtOnceRegistersOneProvider(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		s := admin(t, h)
		form := url.Values{"type": {"test"}, "form": {newForm(t, s, "test")}, "name": {"Test"}, "clientId": {brokertest.ClientID}, "clientSecret": {brokertest.ClientSecret}}
		got := make(chan page)
		for range 4 {
			go func() { got <- s.post("/console/providers/new", form) }()
		}
		to := map[string]bool{}
		for range 4 {
			to[(<-got).to] = true
		}
		if len(to) != 1 || to[""] || len(ids(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"providers/", nil)))) != 1 {
			t.Errorf("the forms led to %v", to)
		}
	})
}

// An admin changes a provider: what was not touched stays as it is, and what the API refuses is refused.
func TestAnAdminChangesAProviderInTheConsole(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, object{"type": "github", "metadata": object{"host": h.IdPURL}, "scopes": []any{"repo"}, "redirectUris": []any{"http://localhost:5173/oauth/callback"},
			"config": object{"match": []any{"b.example", "a.example"}, "authorizeParams": object{"x": "a=b"}, "pkce": true, "callsPerHour": 700}})
		s := admin(t, h)
		at := "/console/providers/" + p + "/edit"
		before := want(t, 200, h.Do(t, h.Admin, "GET", provider(p), nil))
		form := url.Values{"name": {"Test"}, "metadata.host": {h.IdPURL}, "scopes": {"repo"}, "redirectUris": {"http://localhost:5173/oauth/callback"}, "slug": {text(t, before, "slug")},
			"config.match": {"b.example\r\na.example"}, "config.authorizeParams": {"x=a=b"}, "config.pkce": {"true"}, "config.callsPerHour": {"700"}}
		wantPage(t, s.get(at), 200, `value="repo"`, ">\nb.example\na.example</textarea>", ">\nx=a=b</textarea>", `value="700"`, `<option value="true" selected>`, "readonly")
		if done := s.post(at, form); done.status != 303 {
			t.Fatalf("%d: %s", done.status, done.body)
		}
		if after := want(t, 200, h.Do(t, h.Admin, "GET", provider(p), nil)); !same(before, after) {
			t.Errorf("a form that changes nothing changed %v to %v", before, after)
		}
		for name, value := range map[string]string{"name": "Renamed", "scopes": "", "config.pkce": "", "config.authorizeParams": ""} {
			form.Set(name, value)
		}
		done := s.post(at, form)
		wantPage(t, s.get(done.to), 200, "The changes are saved", "Renamed")
		after := want(t, 200, h.Do(t, h.Admin, "GET", provider(p), nil))
		if after["name"] != "Renamed" || !same(object{"c": after["config"], "s": after["scopes"]}, object{"c": object{"match": []any{"b.example", "a.example"}, "callsPerHour": 700}, "s": []any{}}) {
			t.Errorf("it is %v", after)
		}

		form.Set("config.match", "")
		if done := s.post(at, form); done.status != 303 {
			t.Fatalf("%d: %s", done.status, done.body)
		}
		form.Set("metadata.host", "")
		wantPage(t, s.post(at, form), 422, `id="clientSecret-problem"`, "must be given again", `value="Renamed"`)
		form.Set("metadata.host", h.IdPURL)
		form.Set("clientSecret", " spaced ")
		refused := s.post(at, form)
		if wantPage(t, refused, 422, `id="clientSecret-problem"`); strings.Contains(refused.body, "spaced") {
			t.Error("the secret comes back")
		}
		form.Del("clientSecret")
		consent(t, h, h.User, p, "ada")
		form.Set("metadata.host", "")
		wantPage(t, s.post(at, form), 409, "create a new provider instead")
	})
}

// A new client secret ends the trouble that the old one made.
func TestAnAdminSetsANewSecretInTheConsole(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, object{"clientSecret": "wrong"})
	change(t, h, "UPDATE providers SET trouble = 'client', trouble_version = secret_version, trouble_since = created_at")
	s := admin(t, h)
	at := "/console/providers/" + p + "/secret"
	wantPage(t, s.get("/console/"), 200, `href="`+at+`"`)
	refused := s.post(at, url.Values{"clientSecret": {"with a break\n"}})
	if wantPage(t, refused, 422, `id="problem"`, "must be printable"); strings.Contains(refused.body, "with a break") {
		t.Error("the secret comes back")
	}
	wantPage(t, s.post(at, url.Values{"clientSecret": {""}}), 422, `id="problem"`)
	wantPage(t, s.get(s.post(at, url.Values{"clientSecret": {brokertest.ClientSecret}}).to), 200, "secret is saved")
	wantPage(t, s.get("/console/"), 200, `id="quiet"`)
	consent(t, h, h.User, p, "ada")
	if strings.Contains(h.Log.String(), brokertest.ClientSecret) || strings.Contains(dump(t, h), brokertest.ClientSecret) {
		t.Error("the secret is kept in the open")
	}
}

// An admin finds a connection by its user or account, ends it, ends everything of a user, and signs somebody out. Every
// form may be sent twice, needs a recent sign-in, comes from the console alone, and is audited with the admin's name.
func TestAnAdminEndsConnectionsAndSessionsInTheConsole(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		adas, graces := consent(t, h, h.User, p, "ada"), consent(t, h, h.Colleague, p, "grace")
		s, user, foreign := admin(t, h), surf(t, h), surf(t, h)
		user.signIn(h.User)
		foreign.signIn(h.Other)
		for search, found := range map[string]bool{"userId=ada": true, "account=ada": true, "account=grace": false, "providerId=" + p: true, "status=active": true, "status=expired": false, "userId=nobody": false} {
			got := s.get("/console/connections?" + search)
			if got.status != 200 || strings.Contains(got.body, `id="connection-`+adas+`"`) != found {
				t.Errorf("%s: %d %s", search, got.status, got.body)
			}
		}
		if got := ids(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"authorizedProviders/?account=grace", nil))); len(got) != 1 || got[0] != graces {
			t.Errorf("the API finds %v", got)
		}
		wantPage(t, s.get("/console/connections?status=odd"), 422)

		sessionID := column(t, h, "SELECT id FROM browser_sessions WHERE user_id = 'ada'")[0]
		disconnect, end := "/console/connections/"+adas+"/disconnect", "/console/sessions/"+sessionID+"/end"
		for at, form := range map[string]url.Values{disconnect: nil, end: nil, "/console/connections/revoke": {"userId": {"grace"}}, "/console/statistics/count": nil} {
			wantPage(t, s.send("POST", at, form.Encode(), from("cross-site")), 403, "another site")
			wantPage(t, user.post(at, form), 403, "Only for admins")
			if got := surf(t, h).post(at, form); got.status != 303 || !strings.HasPrefix(got.to, "/sign-in?") {
				t.Errorf("%s: a stranger gets %d", at, got.status)
			}
		}
		for _, at := range []string{disconnect, end} {
			foreign.post(at, nil)
		}
		foreign.post("/console/connections/revoke", url.Values{"userId": {"grace"}})
		accessToken(t, h, h.User, adas)
		accessToken(t, h, h.Colleague, graces)
		wantPage(t, user.get("/connections"), 200, "Signed in as ada")

		wantPage(t, s.get(disconnect), 200, `<strong id="account">ada</strong>`)
		for range 2 {
			if done := s.post(disconnect, nil); done.status != 303 || done.to != "/console/connections" {
				t.Fatalf("%d to %q: %s", done.status, done.to, done.body)
			}
		}
		want(t, 404, h.Do(t, h.User, "POST", tokenOf(adas), nil))
		wantPage(t, s.get("/console/connections/revoke?userId=grace"), 200, "1 connection goes", "grace")
		job := s.post("/console/connections/revoke", url.Values{"userId": {"grace"}})
		ended(t, h, strings.TrimPrefix(job.to, "/console/jobs/"))
		wantPage(t, s.get(job.to), 200, "Completed", "grace", `Revoked at the provider</th><td class="number">1</td>`)
		want(t, 404, h.Do(t, h.Colleague, "POST", tokenOf(graces), nil))
		wantPage(t, s.post("/console/connections/revoke", url.Values{"userId": {""}}), 422)

		wantPage(t, s.get("/console/sessions?userId=ada"), 200, `id="session-`+sessionID+`"`)
		for range 2 {
			if done := s.post(end, nil); done.status != 303 || done.to != "/console/sessions" {
				t.Fatalf("%d to %q: %s", done.status, done.to, done.body)
			}
		}
		wantPage(t, user.get("/connections"), 200, `id="sign-in"`)

		counted := s.post("/console/statistics/count", nil)
		ended(t, h, strings.TrimPrefix(counted.to, "/console/jobs/"))
		wantPage(t, s.get("/console/statistics"), 200, "Counted", "test, active", "Connected", `<rect class=`)
		trail := s.get("/console/audit?userId=root")
		wantPage(t, trail, 200, "authorization.unlinked", "job.created", "session:", adas)
		if got := s.get("/console/audit?action=authorization.unlinked"); strings.Contains(got.body, "<td><code>job.created") {
			t.Errorf("the filter lets others through: %s", got.body)
		}
		wantPage(t, s.get("/console/audit?to=2001-01-01"), 200, "No such events happened")
	})
}
