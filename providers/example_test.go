package providers_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/testidp"
)

// One consent, from the address that a person is sent to, to tokens and whose they are.
func Example() {
	idp := testidp.New(testidp.Options{AutoConsent: true, Clients: []testidp.Client{{ID: "my-client", Secret: "my-secret"}}})
	server := httptest.NewServer(idp)
	defer server.Close()
	defer idp.Close()

	ctx := context.Background()
	registry, err := providers.New(providers.Options{TestHost: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := providers.Client{Type: "test", ID: "my-client", Secret: "my-secret"}
	verifier := providers.NewVerifier()
	const callback = "http://localhost:5173/callback"

	address, err := registry.At(client).AuthorizeURL(ctx, providers.AuthorizeRequest{State: "some-state", RedirectURI: callback, Verifier: verifier})
	if err != nil {
		fmt.Println(err)
		return
	}
	code, err := visit(address)
	if err != nil {
		fmt.Println(err)
		return
	}
	tokens, err := registry.At(client).Exchange(ctx, providers.ExchangeRequest{Code: code, RedirectURI: callback, Verifier: verifier})
	if err != nil {
		fmt.Println(err)
		return
	}
	user, err := registry.At(client).Identify(ctx, tokens, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(user.NickName, tokens.Access) // a secret prints as nothing that tells it
	// Output: ada [redacted]
}

// visit is what a browser does, and the code that it comes back with.
func visit(address string) (models.Secret, error) {
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := browser.Get(address)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	back, err := answer.Location()
	if err != nil {
		return "", err
	}
	return models.Secret(back.Query().Get("code")), nil
}
