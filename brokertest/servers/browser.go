package servers

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

// browser has cookies, and follows redirects when it is told to.
type browser struct {
	site string // scheme and host of the server
	http http.Client
}

// page is what the browser shows, or where it is sent.
type page struct {
	url      *url.URL
	status   int
	text     string
	location *url.URL
}

func (p page) String() string { return http.StatusText(p.status) + "\n" + p.text }

func newBrowser(t testing.TB, site string) *browser {
	t.Helper()
	cookies, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{site: site, http: http.Client{
		Jar:           cookies,
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// open sends a request. An answer that is an error fails the test.
func (b *browser) open(t testing.TB, r *http.Request) page {
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
	shown := page{url: r.URL, status: response.StatusCode, text: string(body), location: location}
	if shown.status >= 400 {
		t.Fatalf("the server refused %s %s: %s", r.Method, r.URL.Path, shown)
	}
	return shown
}

// get follows redirects within the server. The page is the one that does not redirect, or that leaves the server.
func (b *browser) get(t testing.TB, target string) page {
	t.Helper()
	return b.follow(t, newRequest(t, http.MethodGet, target, nil))
}

// post sends a form, and follows redirects like get.
func (b *browser) post(t testing.TB, target string, form url.Values) page {
	t.Helper()
	return b.follow(t, newRequest(t, http.MethodPost, target, form))
}

func (b *browser) follow(t testing.TB, r *http.Request) page {
	t.Helper()
	for range 10 {
		shown := b.open(t, r)
		if shown.location == nil || shown.location.Scheme+"://"+shown.location.Host != b.site {
			return shown
		}
		r = newRequest(t, http.MethodGet, shown.location.String(), nil)
	}
	t.Fatal("the server redirected ten times")
	return page{}
}

// leaves returns where the server sent the browser, away from itself.
func (p page) leaves(t testing.TB) *url.URL {
	t.Helper()
	if p.location == nil {
		t.Fatalf("the server did not send the browser back: %s", p)
	}
	return p.location
}

var (
	hiddenField = regexp.MustCompile(`<input type="hidden"[^>]*>`)
	fieldName   = regexp.MustCompile(`\bname="([^"]*)"`)
	fieldValue  = regexp.MustCompile(`\bvalue="([^"]*)"`)
)

// hidden returns the hidden fields of the page's form.
func (p page) hidden() url.Values {
	form := url.Values{}
	for _, input := range hiddenField.FindAllString(p.text, -1) {
		name, value := fieldName.FindStringSubmatch(input), fieldValue.FindStringSubmatch(input)
		if name != nil && value != nil {
			form.Set(name[1], html.UnescapeString(value[1]))
		}
	}
	return form
}

func newRequest(t testing.TB, method, target string, form url.Values) *http.Request {
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
