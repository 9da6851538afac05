package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/client/clienttest"
	"github.com/grantd/grantd/models"
)

// service is a client of a grantd for tests, in which ada has connected an account.
func service() (*clienttest.Server, *client.Client, string) {
	grantd := clienttest.Start()
	id := grantd.Connect("ada", clienttest.Account{Login: "ada"})
	return grantd, client.New(grantd.URL, models.Secret(grantd.Token), nil), id
}

// A service fetches a token of a user before each call to the upstream.
func Example() {
	grantd, c, id := service()
	defer grantd.Close()
	ctx := context.Background()

	token, err := c.For("ada").Token(ctx, id)
	fmt.Println(grantd.Accepts(token.AccessToken.Reveal()) == id, err)
	fmt.Println(token.AccessToken) // a secret does not print

	_, err = c.For("grace").Token(ctx, id)
	fmt.Println(errors.Is(err, client.ErrNotFound))
	// Output:
	// true <nil>
	// [redacted]
	// true
}

// An app sends a person to a connect link, and confirms in the person's own session who came back.
func ExampleClient_CreateConnectLink() {
	grantd, c, _ := service()
	defer grantd.Close()
	ctx := context.Background()

	link, err := c.CreateConnectLink(ctx, client.NewConnectLink{UserID: "grace", Slug: "test", ReturnURL: "https://app.example.com/connected"})
	if err != nil {
		fmt.Println(err)
		return
	}
	// The person opens link.URL, agrees, and returns to the app.
	returned, err := grantd.Follow(link.URL, clienttest.Account{Login: "grace"})
	if err != nil {
		fmt.Println(err)
		return
	}
	back, _ := url.Parse(returned)
	done, err := c.ConfirmConnectLink(ctx, back.Query().Get("link"), models.Secret(back.Query().Get("result")), "grace") // from the session
	fmt.Println(back.Host, done.Authorization.Status, err)
	// Output:
	// app.example.com active <nil>
}

// A transport adds the token to requests to the upstream, and to no others.
func ExampleClient_Transport() {
	grantd, c, id := service()
	defer grantd.Close()
	upstream := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		fmt.Fprint(w, "hello ", grantd.Accepts(token) == id)
	}))
	defer upstream.Close()

	transport := c.For("ada").Transport(id, upstream.URL)
	transport.Base = upstream.Client().Transport // for the certificate of the test
	h := &http.Client{Transport: transport}
	answer, err := h.Get(upstream.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	fmt.Println(string(body))

	_, err = h.Get("https://elsewhere.example")
	fmt.Println(errors.Is(err, client.ErrOrigin))
	// Output:
	// hello true
	// true
}

// A store goes on while grantd is away.
func ExampleStore() {
	grantd, c, id := service()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store := client.NewStore(ctx, c.For("ada"))
	first, _ := store.Token(ctx, id)

	grantd.Close()
	second, err := store.Token(ctx, id)
	fmt.Println(first.AccessToken.Reveal() == second.AccessToken.Reveal(), err)
	_, err = c.Once().For("ada").Token(ctx, id)
	fmt.Println(errors.Is(err, client.ErrUnavailable))
	// Output:
	// true <nil>
	// true
}

// A source of tokens for golang.org/x/oauth2, and what takes its type.
func ExampleNewTokenSource() {
	grantd, c, id := service()
	defer grantd.Close()

	var source oauth2.TokenSource = client.NewTokenSource(context.Background(), c.For("ada"), id, func(t client.Token) *oauth2.Token {
		return &oauth2.Token{AccessToken: t.AccessToken.Reveal(), Expiry: t.Expiry()}
	})
	token, err := source.Token()
	fmt.Println(token.Valid(), err)
	// Output:
	// true <nil>
}

// A person who has connected nothing is sent to where they can.
func ExampleClient_Exchange() {
	grantd, c, _ := service()
	defer grantd.Close()
	for _, user := range []string{"ada", "grace"} {
		token, err := c.Exchange(context.Background(), client.ExchangeRequest{Subject: grantd.UserToken(user), Audience: "test"})
		var refused *client.Error
		switch {
		case err == nil:
			fmt.Println(user, token.Scopes)
		case errors.As(err, &refused) && errors.Is(err, client.ErrConsentNeeded):
			fmt.Println(user, "goes to", strings.TrimPrefix(refused.ConnectURL, grantd.URL))
		}
	}
	// Output:
	// ada [profile]
	// grace goes to /external-auth/01936f2c-0000-7000-8000-000000000002/callback
}
