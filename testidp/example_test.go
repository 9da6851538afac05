package testidp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/grantd/grantd/testidp"
)

// A person consents, and the client has a code to exchange. In a test, [testidp.Start] is the first five lines.
func Example() {
	idp := testidp.New(testidp.Options{AutoConsent: true, Clients: []testidp.Client{{ID: "my-client", Secret: "my-secret"}}})
	server := httptest.NewServer(idp)
	defer server.Close()
	defer idp.Close()

	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := browser.Get(server.URL + "/authorize?" + url.Values{
		"response_type": {"code"},
		"client_id":     {"my-client"},
		"redirect_uri":  {"http://localhost:5173/callback"},
		"state":         {"some-state"},
	}.Encode())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Body.Close()
	back, err := answer.Location()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(back.Host, back.Query().Get("state"), back.Query().Get("code") != "")
	// Output: localhost:5173 some-state true
}
