package processes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// Upstream is a test authorization server on real HTTP, in this process, so that
// faults and counters are at hand.
type Upstream struct {
	*testidp.Server
	URL string

	http *httptest.Server
}

// StartUpstream starts one at which everybody consents to brokertest.ClientID.
func StartUpstream() *Upstream {
	idp := testidp.New(testidp.Options{
		AutoConsent: true,
		Clients:     []testidp.Client{{ID: brokertest.ClientID, Secret: brokertest.ClientSecret}},
	})
	server := httptest.NewServer(idp)
	return &Upstream{Server: idp, URL: server.URL, http: server}
}

// Close ends it.
func (u *Upstream) Close() {
	u.Server.Close()
	u.http.Close()
}

// connections are kept by all clients together; the usual two for each host would
// have most consents open new ones.
var connections = &http.Transport{MaxIdleConnsPerHost: 64}

// NewClient returns a client of the grantd at base that sends each request once, and waits for an answer longer
// than any real one would: the machine of a test may be busy.
func NewClient(base string, token models.Secret) *client.Client {
	return client.New(base, token, &http.Client{Transport: connections, Timeout: 30 * time.Second}).Once()
}

// Provider registers the upstream's client as a provider.
func Provider(ctx context.Context, admin *client.Client) (models.Provider, error) {
	return admin.CreateProvider(ctx, models.ProviderInput{
		Name: "Test", Type: "test", ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret,
	})
}

// Consent has a person at the upstream consent, and returns the authorization
// that the client's caller has from then on.
func Consent(ctx context.Context, c *client.Client, provider, person string) (models.Authorization, error) {
	begun, err := c.Authorize(ctx, provider, client.AuthorizeRequest{RedirectURI: brokertest.Callback})
	if err != nil {
		return models.Authorization{}, fmt.Errorf("beginning the consent of %s: %w", person, err)
	}
	back, err := visit(ctx, begun.RedirectURL+"&login_hint="+url.QueryEscape(person))
	if err != nil {
		return models.Authorization{}, fmt.Errorf("%s visiting the upstream: %w", person, err)
	}
	done, err := c.Complete(ctx, client.ReturnTo(provider, back.Query()))
	for tries := 0; slow(err) && tries < 100; tries++ { // on a busy machine: ask again, as a client does
		time.Sleep(100 * time.Millisecond)
		done, err = c.Complete(ctx, client.ReturnTo(provider, back.Query()))
	}
	if err != nil {
		return models.Authorization{}, fmt.Errorf("completing the consent of %s: %w", person, err)
	}
	return done.Authorization, nil
}

// slow reports whether an answer says to ask for the same again.
func slow(err error) bool {
	e, ok := errors.AsType[*client.Error](err)
	return ok && e.Status == http.StatusBadGateway && e.Detail == "" && e.RetryAfter > 0
}

// Consents has n people consent, 16 at a time, and returns the ids of their
// authorizations.
func Consents(ctx context.Context, c *client.Client, provider string, n int) ([]string, error) {
	ids := make([]string, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range ids {
		group.Go(func() error {
			a, err := Consent(ctx, c, provider, fmt.Sprint("person-", i))
			ids[i] = a.ID
			return err
		})
	}
	return ids, group.Wait()
}

// visit opens an address as a browser does, and returns where it is sent back to.
func visit(ctx context.Context, address string) (*url.URL, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	answer, err := connections.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	back, err := answer.Location()
	if err != nil {
		return nil, fmt.Errorf("it answered %s and did not redirect back", answer.Status)
	}
	return back, nil
}

// Number returns a count out of a job's details.
func Number(job models.Job, name string) (int64, error) {
	for _, d := range job.Details {
		if text, ok := d.Value.(string); ok && d.Name == name {
			return strconv.ParseInt(text, 10, 64)
		}
	}
	return 0, fmt.Errorf("the job's details have no %s: %v", name, job.Details)
}
