// Package browser is a person's browser as far as the tests need one: it keeps cookies, follows redirects within one
// server, and reads the hidden fields of forms.
package browser

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Browser belongs to one server.
type Browser struct {
	// Visit may change each address within the server that a redirect leads to.
	Visit func(*url.URL)

	site *url.URL
	http http.Client
}

// New opens a browser for the server whose scheme and host are site's.
func New(t testing.TB, site string) *Browser {
	t.Helper()
	at, err := url.Parse(site)
	if err != nil {
		t.Fatal(err)
	}
	cookies, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{Visit: func(*url.URL) {}, site: at, http: http.Client{
		Jar:           cookies,
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Cookie gives the browser a cookie of the server.
func (b *Browser) Cookie(name, value string) {
	b.http.Jar.SetCookies(b.site, []*http.Cookie{{Name: name, Value: value}})
}

// Page is what the browser shows, or where it is sent.
type Page struct {
	Status   string
	Text     string
	Location *url.URL // nil for what is no redirect
}

func (p Page) String() string { return p.Status + "\n" + p.Text }

// Open sends a request and follows no redirect. An answer that is an error fails the test.
func (b *Browser) Open(t testing.TB, r *http.Request) Page {
	t.Helper()
	shown := b.Try(t, r)
	if shown.Status >= "4" {
		t.Fatalf("the server refused %s %s: %s", r.Method, r.URL.Path, shown)
	}
	return shown
}

// Try is Open for answers that may be errors.
func (b *Browser) Try(t testing.TB, r *http.Request) Page {
	t.Helper()
	response, err := b.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	location, _ := response.Location() // none is not an error here: then the page itself is shown
	return Page{Status: response.Status, Text: string(body), Location: location}
}

// Get follows redirects within the server. The page is the one that does not redirect, or that leaves the server.
func (b *Browser) Get(t testing.TB, target string) Page {
	t.Helper()
	return b.follow(t, Request(t, http.MethodGet, target, nil))
}

// Post sends a form, and follows redirects like Get.
func (b *Browser) Post(t testing.TB, target string, form url.Values) Page {
	t.Helper()
	return b.follow(t, Request(t, http.MethodPost, target, form))
}

func (b *Browser) follow(t testing.TB, r *http.Request) Page {
	t.Helper()
	for range 10 {
		shown := b.Open(t, r)
		if shown.Location == nil || shown.Location.Scheme != b.site.Scheme || shown.Location.Host != b.site.Host {
			return shown
		}
		b.Visit(shown.Location)
		r = Request(t, http.MethodGet, shown.Location.String(), nil)
	}
	t.Fatal("the server redirected ten times and did not come to an end")
	return Page{}
}

// Leaves returns where the server sent the browser, away from itself.
func (p Page) Leaves(t testing.TB) *url.URL {
	t.Helper()
	if p.Location == nil {
		t.Fatalf("the server did not send the browser back: %s", p)
	}
	return p.Location
}

var (
	hiddenField = regexp.MustCompile(`<input type="hidden"[^>]*>`)
	fieldName   = regexp.MustCompile(`\bname="([^"]*)"`)
	fieldValue  = regexp.MustCompile(`\bvalue="([^"]*)"`)
)

// Hidden returns the hidden fields of the page's form.
func (p Page) Hidden() url.Values {
	form := url.Values{}
	for _, input := range hiddenField.FindAllString(p.Text, -1) {
		name, value := fieldName.FindStringSubmatch(input), fieldValue.FindStringSubmatch(input)
		if name != nil && value != nil {
			form.Set(name[1], html.UnescapeString(value[1]))
		}
	}
	return form
}

// Request makes a request, with a form as its body unless that is nil.
func Request(t testing.TB, method, target string, form url.Values) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}
