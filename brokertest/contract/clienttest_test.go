package contract_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/client/clienttest"
	"github.com/grantd/grantd/models"
)

// world is a grantd, the real one or clienttest's, and what happens around it.
type world struct {
	url       string
	service   models.Secret
	provider  models.Provider
	connect   func(user, login string) (id string)
	expire    func(id, accessToken string) // the person withdraws what was granted
	refuse    func(id string)              // the upstream accepts the access token no more
	follow    func(link string) (returned string)
	userToken func(user string) models.Secret
}

// answers writes down what a grantd answers: status and shape of each answer, in which ids and texts do not count.
type answers struct {
	t    testing.TB
	h    *brokertest.Instance // whose OpenAPI document they must fit
	mu   sync.Mutex
	list []string
}

var anyID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

func (w *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	answer.Body.Close()
	answer.Body = io.NopCloser(bytes.NewReader(body))
	if strings.HasPrefix(r.URL.Path, "/api/") {
		if err := w.h.Documented(w.t, r.Method, r.URL.Path, brokertest.Answer{Status: answer.StatusCode, Header: answer.Header, Body: body}); err != nil {
			w.t.Errorf("%s %s: the OpenAPI document does not allow %d %s: %v", r.Method, r.URL, answer.StatusCode, body, err)
		}
	}
	said := "nothing"
	if len(body) > 0 {
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			w.t.Errorf("%s %s: %s", r.Method, r.URL, body)
		}
		said = shape("", v)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, fmt.Sprintf("%s %s: %d %s Cache-Control %q", r.Method, anyID.ReplaceAllString(r.URL.Path, "{id}"), answer.StatusCode, said, answer.Header.Get("Cache-Control")))
	return answer, nil
}

// valuesCount are fields whose values count, and valuesVary those that differ from one provider to another.
var (
	valuesCount = []string{"status", "detail", "name", "valid", "error", "token_type", "reason", "confirm", "userId", "count"}
	valuesVary  = []string{"config", "metadata", "validations"}
)

func shape(name string, v any) string {
	switch v := v.(type) {
	case map[string]any:
		var fields []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			switch {
			case slices.Contains(valuesVary, key):
			case key == "name" && name != "errorFields":
				fields = append(fields, key)
			default:
				fields = append(fields, key+":"+shape(key, v[key]))
			}
		}
		return "{" + strings.Join(fields, " ") + "}"
	case []any:
		if len(v) == 0 {
			return "[]"
		}
		return "[" + shape(name, v[0]) + "]"
	}
	if slices.Contains(valuesCount, name) {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%T", v)
}

// serviceLife is what a service does in its life, valuesCount to any grantd.
func serviceLife(t *testing.T, w world, wire http.RoundTripper) {
	c := client.New(w.url, w.service, &http.Client{Transport: wire}).Once()
	ada := c.For("ada")
	is := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err := client.New(w.url, "grd_x", &http.Client{Transport: wire}).Token(ctx, unknownID)
	is("an unknown API token", err, client.ErrUnauthenticated)
	me, err := c.Me(ctx)
	if is("who am I", err, nil); me.Role != models.RoleService || me.UserID == "" || len(me.Providers) != 1 || me.Providers[0] != w.provider.ID {
		t.Errorf("I am %+v", me)
	}
	n, err := count(c.Providers(ctx, client.ProviderQuery{}))
	if is("providers", err, nil); n != 1 {
		t.Errorf("%d providers", n)
	}
	_, err = count(c.Providers(ctx, client.ProviderQuery{IDs: []string{unknownID}}))
	is("no providers", err, nil)
	_, err = c.Provider(ctx, w.provider.ID)
	is("a provider", err, nil)
	_, err = c.Provider(ctx, unknownID)
	is("an unknown provider", err, client.ErrNotFound)

	id := w.connect("ada", "ada")
	_, err = c.Token(ctx, id)
	is("a token for nobody", err, client.ErrInvalid)
	_, err = c.For("grace").Token(ctx, id)
	is("another user's token", err, client.ErrNotFound)
	n, err = count(ada.Authorizations(ctx, client.AuthorizationQuery{ProviderID: w.provider.ID, Account: "ada", Status: models.AuthorizationActive}))
	if is("authorizations", err, nil); n != 1 {
		t.Errorf("%d authorizations", n)
	}
	n, err = count(c.For("grace").Authorizations(ctx, client.AuthorizationQuery{}))
	if is("another user's authorizations", err, nil); n != 0 {
		t.Errorf("%d authorizations of another user", n)
	}
	_, err = ada.Authorization(ctx, id)
	is("an authorization", err, nil)
	_, err = ada.Authorization(ctx, unknownID)
	is("an unknown authorization", err, client.ErrNotFound)

	first, err := ada.Token(ctx, id)
	if is("a token", err, nil); first.AccessToken == "" || first.ExpiresAt == nil {
		t.Errorf("the token is %+v", first)
	}
	again, err := ada.Token(ctx, id)
	if is("a token again", err, nil); again.AccessToken != first.AccessToken {
		t.Error("a fresh token was replaced")
	}
	checked, err := ada.CheckToken(ctx, id)
	if is("a check", err, nil); !checked.Valid {
		t.Error("a fresh token is not valid")
	}
	git, err := ada.GitToken(ctx, client.GitTokenQuery{Provider: w.provider.Slug})
	if is("a token for git", err, nil); git.AccessToken != first.AccessToken {
		t.Error("git gets another token")
	}
	_, err = c.For("grace").GitToken(ctx, client.GitTokenQuery{Provider: w.provider.ID})
	is("a token for git of somebody who has connected nothing", err, client.ErrConsentNeeded)
	exchanged, err := c.Exchange(ctx, client.ExchangeRequest{Subject: w.userToken("ada"), Audience: w.provider.Slug})
	if is("an exchange", err, nil); exchanged.AccessToken != first.AccessToken {
		t.Error("the exchange has another token")
	}
	for _, x := range []struct {
		what string
		client.ExchangeRequest
		want error
	}{
		{"for nobody connected", client.ExchangeRequest{Subject: w.userToken("grace"), Audience: w.provider.ID}, client.ErrConsentNeeded},
		{"of an unknown token", client.ExchangeRequest{Subject: "grd_x", Audience: w.provider.ID}, client.ErrInvalid},
		{"for nowhere", client.ExchangeRequest{Subject: w.userToken("ada"), Audience: "nowhere"}, client.ErrNotFound},
		{"with a scope", client.ExchangeRequest{Subject: w.userToken("ada"), Audience: w.provider.ID, Scopes: []string{"delete-everything"}}, client.ErrConsentNeeded},
	} {
		_, err = c.Exchange(ctx, x.ExchangeRequest)
		is("an exchange "+x.what, err, x.want)
	}

	w.refuse(id)
	checked, err = ada.CheckToken(ctx, id)
	if is("a check of a refused token", err, nil); checked.Valid {
		t.Error("a refused token is valid")
	}
	next, err := ada.Token(ctx, id)
	if is("the next token", err, nil); next.AccessToken == first.AccessToken {
		t.Error("a refused token is given out again")
	}

	_, err = c.CreateConnectLink(ctx, client.NewConnectLink{UserID: "grace", Slug: "nowhere", ReturnURL: appReturn})
	is("a link to nowhere", err, client.ErrNotFound)
	_, err = c.CreateConnectLink(ctx, client.NewConnectLink{UserID: "grace", Slug: w.provider.Slug})
	is("a link that returns nowhere", err, client.ErrInvalid)
	link, err := c.CreateConnectLink(ctx, client.NewConnectLink{UserID: "grace", Slug: w.provider.Slug, ReturnURL: appReturn})
	is("a link", err, nil)
	_, err = c.ConnectLink(ctx, link.ID)
	is("an open link", err, nil)
	_, err = c.ConnectLink(ctx, unknownID)
	is("an unknown link", err, client.ErrNotFound)
	back, err := url.Parse(w.follow(link.URL))
	if err != nil || back.Query().Get("link") != link.ID || back.Query().Get("tab") != "1" {
		t.Fatalf("the browser returns to %v, %v", back, err)
	}
	result := models.Secret(back.Query().Get("result"))
	_, err = c.ConnectLink(ctx, link.ID)
	is("a link that returned", err, nil)
	if _, err = c.ConfirmConnectLink(ctx, link.ID, "another", "grace"); err == nil {
		t.Error("a wrong result is confirmed")
	}
	for range 2 {
		done, err := c.ConfirmConnectLink(ctx, link.ID, result, "grace")
		is("confirming", err, nil)
		_, err = c.For("grace").Token(ctx, done.Authorization.ID)
		is("the token of what was connected", err, nil)
	}
	linked, err := c.ConnectLink(ctx, link.ID)
	if is("a link that connected", err, nil); linked.Status != models.LinkConnected {
		t.Errorf("the link is %+v", linked)
	}
	link, err = c.CreateConnectLink(ctx, client.NewConnectLink{UserID: "linus", ProviderID: w.provider.ID, ReturnURL: appReturn})
	is("another link", err, nil)
	back, _ = url.Parse(w.follow(link.URL))
	_, err = c.ConfirmConnectLink(ctx, link.ID, models.Secret(back.Query().Get("result")), "grace")
	is("confirming for another user", err, client.ErrForbidden)

	w.expire(id, next.AccessToken.Reveal())
	_, err = ada.Token(ctx, id)
	is("a token of what was withdrawn", err, client.ErrConsentNeeded)
	gone, err := ada.Authorization(ctx, id)
	if is("what was withdrawn", err, nil); gone.Status != models.AuthorizationExpired {
		t.Errorf("it is %s", gone.Status)
	}
	is("disconnecting", ada.Disconnect(ctx, id), nil)
	is("disconnecting again", ada.Disconnect(ctx, id), client.ErrNotFound)
}

// clienttest answers what the real grantd answers: the same story has the same answers, each of which the OpenAPI document
// allows.
func TestClienttestAnswersAsGrantdDoes(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, nil)
	real := &answers{t: t, h: h}
	serviceLife(t, realWorld(t, h), real)

	s := clienttest.Start()
	t.Cleanup(s.Close)
	fake := &answers{t: t, h: h}
	serviceLife(t, world{url: s.URL, service: models.Secret(s.Token), provider: s.Provider, refuse: s.Refuse, userToken: s.UserToken,
		connect: func(user, login string) string { return s.Connect(user, clienttest.Account{Login: login}) },
		expire:  func(id, _ string) { s.Expire(id) },
		follow: func(link string) string {
			back, err := s.Follow(link, clienttest.Account{Login: "grace"})
			if err != nil {
				t.Error(err)
			}
			return back
		},
	}, fake)
	if len(real.list) != len(fake.list) || len(real.list) < 40 {
		t.Fatalf("there are %d answers of the real one, and %d of clienttest", len(real.list), len(fake.list))
	}
	for n := range real.list {
		if real.list[n] != fake.list[n] {
			t.Errorf("grantd answers\n%s\nand clienttest\n%s", real.list[n], fake.list[n])
		}
	}
}

func realWorld(t *testing.T, h *brokertest.Instance) world {
	p := h.Provider(t, "test")
	people := map[string]brokertest.Person{"ada": h.User, "grace": h.Colleague}
	service := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-test", Role: models.RoleService, Name: "Test", Providers: []string{p.ID},
		ReturnOrigins: []string{"https://app.example.com"}})
	return world{
		url: h.URL, service: service.Token, provider: p,
		connect:   func(user, login string) string { return h.Consent(t, people[user], p, login).ID },
		userToken: func(user string) models.Secret { return people[user].Token },
		refuse: func(string) {
			h.IdP.ExpireAccessTokens()
			change(t, h, forgottenChecks)
		},
		expire: func(_, access string) {
			withdraw(t, h, access)
			change(t, h, tokensHaveDied)
		},
		follow: func(link string) string {
			_, to := surf(t, h).links(strings.TrimPrefix(link, h.URL), "grace")
			return to
		},
	}
}
