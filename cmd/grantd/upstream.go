package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// testServer is a test authorization server on a loopback port, for dev and
// demo.
type testServer struct {
	*testidp.Server
	url          string
	clientID     string
	clientSecret string
	http         *http.Server
}

// startTestServer serves idp's people and one client. It takes the first of the
// addresses that is free. extra, if any, answers below /app/.
func startTestServer(ctx context.Context, autoConsent bool, extra http.Handler, addresses ...string) (*testServer, error) {
	t := &testServer{clientID: "grantd", clientSecret: rand.Text()}
	t.Server = testidp.New(testidp.Options{
		AutoConsent: autoConsent,
		Clients:     []testidp.Client{{ID: t.clientID, Secret: t.clientSecret}},
	})
	listener, err := listenFirst(ctx, addresses)
	if err != nil {
		return nil, fmt.Errorf("starting the test authorization server: %w", err)
	}
	t.url = "http://" + listener.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("/", t.Server)
	if extra != nil {
		mux.Handle("/app/", extra)
	}
	t.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = t.http.Serve(listener) }() // ends with stop
	return t, nil
}

func listenFirst(ctx context.Context, addresses []string) (net.Listener, error) {
	var errs []error
	for _, addr := range addresses {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
		if err == nil {
			return l, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (t *testServer) stop() error {
	t.Server.Close()
	return t.http.Close()
}

// visit does what a person's browser does with the address grantd gave out: it
// opens it, and returns the address it is sent back to.
func visit(ctx context.Context, address, person string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	query := u.Query()
	query.Set("login_hint", person)
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	back, err := answer.Location()
	if err != nil {
		return nil, fmt.Errorf("the authorization server answered %s and did not redirect back", answer.Status)
	}
	return back, nil
}

// whose asks the authorization server who an access token speaks for.
func (t *testServer) whose(ctx context.Context, token models.Secret) (string, error) {
	var who struct {
		Name string `json:"name"`
	}
	return who.Name, t.get(ctx, "/userinfo", token, &who)
}

// counters asks the authorization server what it was asked and what still
// lives.
func (t *testServer) counters(ctx context.Context) (testidp.Stats, error) {
	var s testidp.Stats
	return s, t.get(ctx, "/_control/stats", "", &s)
}

func (t *testServer) get(ctx context.Context, path string, token models.Secret, out any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url+path, nil)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", path, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(out)
}
