package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/testidp"
)

const (
	upstreamURL = "http://idp.test:80"
	publicURL   = "http://grantd.test"
	callback    = "http://localhost:5173/callback"
	accessLife  = 5 * time.Minute
)

// client is one that the upstream knows.
var upstreamClients = []testidp.Client{{ID: "acme-client", Secret: "acme-secret"}, {ID: "acme-github", Secret: "github-secret"}, {ID: "globex-client", Secret: "globex-secret"}}

// image is what every play begins with: a migrated database with two organisations, their
// providers, and people who have consented.
type image struct {
	life   time.Duration // of access tokens
	keys   *secrets.Keyring
	places []place
	people []person
}

// place is a provider.
type place struct {
	name   string
	org    string
	typ    string
	client string
	id     string
	admin  models.Caller
}

// person is somebody who consented at a place.
type person struct {
	name          string
	place         int
	caller        models.Caller
	authorization string
	pair          tokens
}

// ofHub is the only person who consented at a provider of GitHub's type.
const ofHub = 2

// tokens is a credential's plain text, as the broker seals it.
type tokens struct {
	Access  string `json:"a"`
	Refresh string `json:"r"`
}

func caller(org, user string, role models.Role) models.Caller {
	return models.Caller{OrgID: org, UserID: user, Role: role, TokenID: "simulation"}
}

// newImage makes the image, in a bubble of its own so that its times are those of a play.
func newImage(t *testing.T, path string) *image {
	t.Helper()
	im := &image{life: accessLife}
	synctest.Test(t, func(t *testing.T) {
		if err := im.fill(context.Background(), "sqlite:"+path, firstPeople); err != nil {
			t.Fatal(err)
		}
	})
	return im
}

// firstPeople are those of a play in a bubble.
var firstPeople = []person{{name: "ada", place: 0}, {name: "grace", place: 0}, {name: "ada", place: 1}, {name: "edsger", place: 2}}

// fill fills an empty database.
func (im *image) fill(ctx context.Context, dbURL string, people []person) (err error) {
	if im.keys, err = secrets.Generate(); err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Options{URL: dbURL})
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.Migrate(ctx); err != nil {
		return err
	}
	idp := testidp.New(testidp.Options{AutoConsent: true, Issuer: upstreamURL, Clients: upstreamClients, AccessTTL: im.life})
	upstream, err := providers.New(providers.Options{TestHost: upstreamURL, Transport: direct{idp}})
	if err != nil {
		return err
	}
	s, err := broker.New(ctx, broker.Options{Store: db, Upstream: upstream, Keys: im.keys, PublicURL: publicURL, AnyRedirect: true,
		Random: rand.New(rand.NewPCG(0, 0)).Int64N, Bell: jobs.NewBellFor(func(context.Context, jobs.Task) error { return nil })})
	if err != nil {
		return err
	}
	im.places = []place{
		{name: "plain", org: "acme", typ: "test", client: "acme-client", admin: caller("acme", "root", models.RoleAdmin)},
		{name: "hub", org: "acme", typ: "github", client: "acme-github", admin: caller("acme", "root", models.RoleAdmin)},
		{name: "other", org: "globex", typ: "test", client: "globex-client", admin: caller("globex", "boss", models.RoleAdmin)},
	}
	for i := range im.places {
		p := &im.places[i]
		in := models.ProviderInput{Name: p.name, Type: p.typ, ClientID: p.client}
		for _, c := range upstreamClients {
			if c.ID == p.client {
				in.ClientSecret = models.Secret(c.Secret)
			}
		}
		if p.typ == "github" {
			in.Metadata.Host = upstreamURL
		}
		made, err := s.CreateProvider(ctx, p.admin, in)
		if err != nil {
			return fmt.Errorf("making the provider %s: %w", p.name, err)
		}
		p.id = made.ID
	}
	for _, who := range people {
		p := im.places[who.place]
		who.caller = caller(p.org, who.name, models.RoleUser)
		who.name += " at " + p.name
		done, err := consent(ctx, s, idp, p, who)
		if err != nil {
			return fmt.Errorf("the consent of %s: %w", who.name, err)
		}
		who.authorization = done.Authorization.ID
		l, err := db.Linked(ctx, who.authorization)
		if err != nil {
			return err
		}
		if who.pair, err = im.open(l.Authorization, l.Credential.Sealed); err != nil {
			return err
		}
		im.people = append(im.people, who)
	}
	return nil
}

// open reads a credential's tokens.
func (im *image) open(a models.Authorization, sealed []byte) (t tokens, err error) {
	plain, err := im.keys.Open(secrets.CredentialOwner(a.CredentialID, a.ID, a.OrgID, a.UserID, a.ProviderID), sealed)
	if err == nil {
		err = json.Unmarshal(plain, &t)
	}
	return t, err
}

// consent goes the whole way of one.
func consent(ctx context.Context, s *broker.Service, idp http.Handler, p place, who person) (broker.Completed, error) {
	answer, err := s.Authorize(ctx, who.caller, broker.AuthorizeRequest{ProviderID: p.id, RedirectURI: callback})
	if err != nil {
		return broker.Completed{}, err
	}
	back, err := approve(idp, answer.RedirectURL, who.caller.UserID)
	if err != nil {
		return broker.Completed{}, err
	}
	back.ProviderID = p.id
	return s.Complete(ctx, who.caller, back)
}

// approve is the person's browser at the upstream.
func approve(idp http.Handler, address, account string) (models.Callback, error) {
	target, err := url.Parse(address)
	if err != nil {
		return models.Callback{}, err
	}
	q := target.Query()
	q.Set("login_hint", account)
	q.Set("login", account) // GitHub's word for it
	target.RawQuery = q.Encode()
	answer := httptest.NewRecorder()
	idp.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, target.String(), nil))
	back, err := answer.Result().Location()
	if err != nil {
		return models.Callback{}, fmt.Errorf("the upstream answered %d without a redirect", answer.Code)
	}
	got := back.Query()
	return models.Callback{State: models.Secret(got.Get("state")), Code: models.Secret(got.Get("code")), Iss: got.Get("iss")}, nil
}

// direct answers requests without a network.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "192.0.2.1:1"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.Host = r.URL.Host
	d.handler.ServeHTTP(answer, in)
	resp := answer.Result()
	resp.Request = r
	return resp, nil
}
