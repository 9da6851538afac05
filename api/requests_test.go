package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestEveryErrorHasTheOneBody(t *testing.T) {
	s := newTestServer(t)
	big := `{"name":"` + strings.Repeat("x", maxBody) + `"}`
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"unknown path", "GET", "/nothing", "", 404, "/docs"},
		{"unknown path below the root", "GET", root + "nothing", "", 404, "/docs"},
		{"unknown method", "PUT", root + "providers/", "", 405, "Allow"},
		{"malformed id", "GET", root + "providers/a%00b/", "", 404, "id"},
		{"encoded slash in an id", "GET", root + "providers/a%2Fb/", "", 404, "id"},
		{"no id", "POST", root + "authorizedProviders//token/", "", 404, ""},
		{"an id too long", "GET", root + "jobs/" + strings.Repeat("x", 129), "", 404, "id"},
		{"announced too large", "POST", root + "providers/", big, 413, "1 MiB"},
		{"too large where no body is read", "POST", root + "authorizedProviders/a/token/", big, 413, "1 MiB"},
		{"no body", "POST", root + "providers/", "", 400, "needs a body"},
		{"no body to patch with", "PATCH", root + "providers/a/", "", 400, "needs a body"},
		{"no JSON", "POST", root + "providers/", "name=x&secret=" + secretInBody, 400, "not valid JSON"},
		{"more than JSON", "POST", root + "providers/", `{} {"` + secretInBody, 400, "not valid JSON"},
		{"no object", "POST", root + "providers/", `["` + secretInBody + `"]`, 422, "must be an object"},
		{"null", "POST", root + "providers/", `null`, 422, "must be an object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := s.ask(t, c.method, c.path, c.body)
			if got.status != c.status || got.err.Status != c.status || !strings.Contains(got.err.Message, c.says) {
				t.Errorf("got %d %s", got.status, got.raw)
			}
			if ct := got.header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("Content-Type is %q", ct)
			}
			if got.err.Message == "" || got.err.ErrorFields == nil || got.err.RequestID != got.header.Get("X-Request-Id") {
				t.Errorf("incomplete: %s", got.raw)
			}
		})
	}
	if strings.Contains(s.log.String(), secretInBody) {
		t.Error("the log repeats a body")
	}
}

func TestABodyThatDoesNotAnnounceItsSizeIsCutOff(t *testing.T) {
	s := newTestServer(t)
	r := httptest.NewRequest("POST", root+"providers/", strings.NewReader(`{"name":"`+strings.Repeat("x", maxBody)+`"}`))
	r.ContentLength = -1
	r.Header.Set("Authorization", "Bearer good")
	if got := s.send(t, r); got.status != 413 {
		t.Errorf("got %d %s", got.status, got.raw)
	}
}

func TestOnlyJSONIsTaken(t *testing.T) {
	s := newTestServer(t)
	for contentType, status := range map[string]int{
		"": 422, "application/json": 422, "application/json; charset=utf-8": 422, "Application/JSON": 422,
		"text/plain": 415, "application/x-www-form-urlencoded": 415, "application/merge-patch+json": 415,
	} {
		r := httptest.NewRequest("POST", root+"jobs/", strings.NewReader(`{"type":"`+secretInBody+`"}`))
		r.Header.Set("Authorization", "Bearer good")
		r.Header.Set("Content-Type", contentType)
		got := s.send(t, r)
		if got.status != status || strings.Contains(got.raw, secretInBody) {
			t.Errorf("%q: got %d %s", contentType, got.status, got.raw)
		}
		if status == 415 && !strings.Contains(got.err.Message, "application/json") {
			t.Errorf("does not say what to send: %s", got.raw)
		}
	}
}

func TestWrongFieldsAreNamed(t *testing.T) {
	s := newTestServer(t)
	const whole = `"name":"n","type":"test","clientId":"c","clientSecret":"` + secretInBody + `"`
	for _, c := range []struct{ method, path, body, field, says string }{
		{"POST", "providers/", `{"name":"n","type":"test","clientSecret":"` + secretInBody + `"}`, "clientId", "is required"},
		{"POST", "providers/", `{` + whole + `,"foo":1}`, "foo", "known are clientId, clientSecret"},
		{"POST", "providers/", `{` + whole + `,"NAME":"x"}`, "NAME", "unknown field"},
		{"POST", "providers/", `{` + whole + `,"metadata":{"hots":"x"}}`, "metadata.hots", "known are host"},
		{"POST", "providers/", `{` + whole + `,"metadata":3}`, "metadata", "must be an object"},
		{"POST", "providers/", `{` + whole + `,"scopes":["a",2]}`, "scopes[1]", "must be a string"},
		{"POST", "providers/", `{` + whole + `,"scopes":"a"}`, "scopes", "must be a list"},
		{"POST", "providers/", `{` + whole + `,"skipConsent":"yes"}`, "skipConsent", "must be true or false"},
		{"POST", "providers/", `{"name":"","type":"test","clientId":"c","clientSecret":"x"}`, "name", "at least 1"},
		{"PATCH", "providers/a/", `{"name":5}`, "name", "must be a string"},
		{"PATCH", "providers/a/", `{"id":"x"}`, "id", "unknown field"},
		{"PATCH", "providers/a/", `{"clientSecret":""}`, "clientSecret", "at least 1"},
		{"POST", "providers/callback/", `{"providerId":"p","state":"s","code":null}`, "code", "null"},
		{"POST", "providers/callback/", `{"providerId":"p","state":null}`, "state", "must be a string"},
		{"POST", "providers/callback/", `{"providerId":"p","state":"s","code":7}`, "code", "must be a string"},
		{"POST", "jobs/", `{"type":"STAT"}`, "type", "must be one of: STATS"},
		{"GET", "providers/?limit=0", "", "limit", "must be at least 1"},
		{"GET", "providers/?limit=1001", "", "limit", "must be at most 1000"},
		{"GET", "authorizedProviders/?limit=x", "", "limit", "must be a whole number"},
		{"GET", "providers/?orderBy=name", "", "orderBy", "must be one of: createdAt, -createdAt"},
		{"DELETE", "providers/a/?force=maybe", "", "force", "must be true or false"},
		{"GET", "jobs/a/?wait=soon", "", "wait", "seconds"},
		{"GET", "jobs/a/?wait=0", "", "wait", "60s"},
		{"GET", "jobs/a/?wait=61", "", "wait", "60s"},
		{"POST", "providers/a/authorize/?skip_consent=maybe", "", "skip_consent", "must be true or false"},
		{"POST", "providers/a/authorize/?state=%ff%ff%ff%ff%ff%ff%ff%ff", "", "state", "UTF-8"},
	} {
		got := s.ask(t, c.method, root+c.path, c.body)
		if got.status != 422 || !strings.Contains(got.field(c.field), c.says) {
			t.Errorf("%s %s %s: got %d %s", c.method, c.path, c.body, got.status, got.raw)
		}
		if strings.Contains(got.raw, secretInBody) {
			t.Errorf("%s %s repeats the secret: %s", c.method, c.path, got.raw)
		}
	}
	if strings.Contains(s.log.String(), secretInBody) {
		t.Error("the log repeats the secret")
	}
}

func TestManyUnknownFieldsDoNotMakeAHugeAnswer(t *testing.T) {
	s := newTestServer(t)
	var body strings.Builder
	for range 5000 {
		body.WriteString(`"` + newRequestID() + strings.Repeat("y", 100) + `":1,`)
	}
	got := s.ask(t, "PATCH", root+"providers/a/", `{`+body.String()+`"name":null}`)
	if got.status != 422 || len(got.raw) > 20_000 {
		t.Errorf("got %d with %d bytes", got.status, len(got.raw))
	}
}

func TestTheTokenComesInAHeader(t *testing.T) {
	const reached = 404 // the id is malformed, which is seen after the token
	for _, c := range []struct {
		name   string
		header http.Header
		query  string
		status int
	}{
		{"bearer", http.Header{"Authorization": {"Bearer good"}}, "", reached},
		{"the scheme in lower case", http.Header{"Authorization": {"bearer  good "}}, "", reached},
		{"session header", http.Header{sessionTokenHeader: {"good"}}, "", reached},
		{"session header beside a proxy's Basic", http.Header{"Authorization": {"Basic eDp5"}, sessionTokenHeader: {"good"}}, "", reached},
		{"none", nil, "", 401},
		{"wrong", http.Header{"Authorization": {"Bearer bad"}}, "", 401},
		{"empty", http.Header{"Authorization": {"Bearer "}}, "", 401},
		{"no scheme", http.Header{"Authorization": {"good"}}, "", 401},
		{"in the query", nil, "?access_token=good&token=good", 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newTestServer(t)
			r := httptest.NewRequest("GET", root+"providers/a.b/"+c.query, nil)
			for name, values := range c.header {
				r.Header[name] = values
			}
			got := s.send(t, r)
			if got.status != c.status {
				t.Errorf("got %d %s", got.status, got.raw)
			}
			if c.status == 401 && (got.header.Get("WWW-Authenticate") != "Bearer" || strings.Contains(s.log.String(), "good")) {
				t.Errorf("header %v, log %s", got.header, s.log)
			}
		})
	}
}

func TestTheSlashMayBeLeftOut(t *testing.T) {
	for given, want := range map[string]string{
		root + "providers":         root + "providers/",
		root + "providers/":        root + "providers/",
		root + "jobs/a?x=1":        root + "jobs/a/?x=1",
		root + "providers/a%2Fb":   root + "providers/a%2Fb/",
		"/docs":                    "/docs",
		"/api/v2/openapi.json":     "/api/v2/openapi.json",
		"/api/v2/externalOAuthors": "/api/v2/externalOAuthors",
	} {
		u, err := url.Parse(given)
		if err != nil {
			t.Fatal(err)
		}
		if addSlash(u); u.String() != want {
			t.Errorf("%s: got %s, want %s", given, u, want)
		}
	}
}

func TestBothSlashFormsReachTheSameRoute(t *testing.T) {
	s := newTestServer(t)
	for _, path := range []string{"providers/a/authorize", "authorizedProviders/a.b/token", "authorizedProviders/a.b/accessToken", "jobs"} {
		for _, slash := range []string{"", "/"} {
			got := s.ask(t, "PUT", root+path+slash, "")
			if got.status != 405 || !strings.Contains(got.header.Get("Allow"), "POST") {
				t.Errorf("%s%s: got %d, Allow %q", path, slash, got.status, got.header.Get("Allow"))
			}
		}
	}
}

func TestRequestIDsAreTakenOverWhenHarmless(t *testing.T) {
	s := newTestServer(t)
	for given, kept := range map[string]bool{
		"abc-123_4.5:6/7": true, strings.Repeat("x", 128): true,
		strings.Repeat("x", 129): false, "a b": false, "a\tb": false, `a"b`: false, "é": false, "": false,
	} {
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.Header.Set("X-Request-Id", given)
		got := s.send(t, r).header.Get("X-Request-Id")
		if (got == given) != kept || got == "" {
			t.Errorf("%q became %q", given, got)
		}
		if !strings.Contains(s.log.String(), got) {
			t.Errorf("%q is not in the log", got)
		}
	}
}

func TestListValues(t *testing.T) {
	for query, want := range map[string]string{
		"": "nil", "ids=": "nil", "ids=a": "a", "ids=a&ids=b": "a|b", "ids=a,b&ids=c": "a|b|c",
		"ids=&ids=a": "a", "ids=a%00b": "a\uFFFDb", "ids=%ff": "\uFFFD",
	} {
		r := httptest.NewRequest("GET", "/?"+query, nil)
		values := values(withCall(r.Context(), &call{url: r.URL}), "ids")
		got := strings.Join(values, "|")
		if values == nil {
			got = "nil"
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
}

func TestPageURLsKeepTheOtherParameters(t *testing.T) {
	s := newTestServer(t)
	u, _ := url.Parse(root + "providers/?types=a,b&cursor=old&limit=2")
	got := s.pageURL(u, "n+w")
	if want := "https://grantd.example.com" + root + "providers/?cursor=n%2Bw&limit=2&types=a%2Cb"; got == nil || *got != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if s.pageURL(u, "") != nil {
		t.Error("the last page has a next one")
	}
}
