package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/grantd/grantd/api/pages"
	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

type devCommand struct {
	AutoConsent bool `help:"Let the test authorization server agree for everybody without a page, so that curl alone gets through."`
}

// Help is the longer text of `grantd dev --help`.
func (devCommand) Help() string {
	return "Runs API, worker and a test authorization server whose consent page you can click, and prints tokens, a provider " +
		"and the calls to try. Every redirect_uri is admitted, so this is not for production.\n\n" +
		"What you make is kept in a temporary folder and removed at the end, unless GRANTD_DATA or GRANTD_DATABASE_URL is " +
		"set. The test authorization server forgets all grants at its end in any case: tokens of an earlier run cannot be " +
		"refreshed."
}

// Run serves until it is told to stop.
func (d devCommand) Run(ctx context.Context, c console, cfg *Config) (err error) {
	if err := cfg.validate(cfg.needKeyset()); err != nil {
		return err
	}
	kept := cfg.given("data") || cfg.given("database-url")
	if !kept {
		dir, err := os.MkdirTemp("", "grantd-dev-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		cfg.moveData(filepath.Join(dir, "data"))
	}
	idp, err := startTestServer(ctx, d.AutoConsent, http.HandlerFunc(devCallback), besideOf(cfg.Listen), "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, idp.stop()) }()
	cfg.TestProvider = idp.url

	log := cfg.logger(c.err)
	in, err := start(ctx, cfg, roles{api: true, worker: true, anyRedirect: true}, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.stop()) }()
	if err := introduce(ctx, c, cfg, in, idp, kept, d.AutoConsent); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-in.failed:
		return err
	}
}

// moveData moves the defaults that depend on the data folder along with it.
func (c *Config) moveData(dir string) {
	c.Data, c.DatabaseURL = dir, ""
	if !c.given("keyset") {
		c.Keyset = ""
	}
	c.complete(c.origin)
}

// besideOf is the loopback port above the API's. Being the same at each start,
// it lets a provider that was kept find its authorization server again: the
// address is part of what its secret is sealed to.
func besideOf(listen string) string {
	_, port, _ := net.SplitHostPort(listen)
	n, _ := strconv.Atoi(port)
	if n == 0 || n == 65535 {
		return "127.0.0.1:0"
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(n+1))
}

// introduce makes what a visitor needs and tells how to use it.
func introduce(ctx context.Context, c console, cfg *Config, in *instance, idp *testServer, kept, autoConsent bool) error {
	root, admin, err := devToken(ctx, in, "root", models.RoleAdmin)
	if err != nil {
		return err
	}
	_, user, err := devToken(ctx, in, "you", models.RoleUser)
	if err != nil {
		return err
	}
	provider, err := idp.provider(ctx, client.New(in.url, admin, nil))
	if err != nil {
		return fmt.Errorf("registering the test provider: %w", err)
	}
	place := "in a temporary folder, until this ends (set GRANTD_DATA to keep it)"
	if kept {
		place = "at " + redact(cfg.DatabaseURL)
	}
	t := teller{out: c.out}
	t.say(`grantd %s is running at %s, with its documentation at %s/docs
Everything is kept %s.

API=%s/api/v2/externalOAuth
ADMIN=%s
YOU=%s
PROVIDER=%s
`,
		currentVersion(), in.url, cfg.PublicURL, place, in.url, admin.Reveal(), user.Reveal(), provider)
	if once := in.onceAddress(cfg, root); once != "" {
		t.say("In a browser: open this address within a minute. It signs the browser in as the admin, once.\n     " + once)
	}
	t.say(`Choose "Your connections", then "Connect", and agree on the page of the test server.
To sign in later: %s/ with $ADMIN, or with $YOU as somebody who is no admin.

With curl:`, in.url)
	tellCurl(t, idp, autoConsent)
	t.say("\nAs the admin you may delete the provider and follow its job, also in the browser. Ctrl-C ends all of it.")
	return nil
}

// tellCurl says how to consent and to fetch a token with curl.
func tellCurl(t teller, idp *testServer, autoConsent bool) {
	first := "1. Begin a consent, and open the redirectUrl that comes back in a browser:"
	second := "2. Agree there. The page you come back to shows this call with your code in it:"
	if autoConsent {
		first = "1. Begin a consent, and follow the redirectUrl that comes back: curl -sL 'REDIRECTURL'"
		second = "2. The test server agrees by itself. What curl prints is this call with your code in it:"
	}
	t.say(first)
	t.curl("$API/providers/$PROVIDER/authorize/", "YOU", "", "-X", "POST", "--url-query", "redirect_uri="+idp.url+"/app/callback")
	t.say(second)
	t.curl("$API/providers/callback/", "YOU", `{"providerId":"'$PROVIDER'","state":"…","code":"…"}`)
	t.say("3. Fetch a token with the id of the authorizedProvider that came back, as often as you like:")
	t.curl("$API/authorizedProviders/…/token/", "YOU", "", "-X", "POST")
}

// devToken makes a token that outlives no working day, so that a data folder
// that is kept does not collect keys.
func devToken(ctx context.Context, in *instance, user string, role models.Role) (models.APIToken, models.Secret, error) {
	return in.service.CreateAPIToken(ctx, broker.NewAPIToken{
		OrgID: "dev", UserID: user, Role: role, Name: "grantd dev", Life: 24 * time.Hour,
	})
}

// onceLife is how long the printed address signs a browser in.
const onceLife = time.Minute

// onceAddress is an address that signs one browser in, "" if others could get hold of it, or if the data is not just for trying things out.
func (in *instance) onceAddress(cfg *Config, as models.APIToken) string {
	if !loopback(cfg.Listen) || cfg.given("public-url") || cfg.given("database-url") {
		return ""
	}
	return cfg.PublicURL + pages.OncePath + "?code=" + in.service.OfferOnce(as.Caller(), onceLife).Reveal()
}

// provider returns the id of the provider for this authorization server. One
// that was kept gets the secret of this run.
func (t *testServer) provider(ctx context.Context, admin *client.Client) (string, error) {
	secret := models.Secret(t.clientSecret)
	about := "The test server of grantd dev at " + t.url + ": no passwords, no real accounts." // tells one from those of other ports
	for p, err := range admin.Providers(ctx, client.ProviderQuery{Types: []string{"test"}}) {
		if err != nil {
			return "", err
		}
		if p.Description == about && p.Usable() {
			_, err := admin.ChangeProvider(ctx, p.ID, models.ProviderPatch{ClientSecret: &secret})
			return p.ID, err
		}
	}
	p, err := admin.CreateProvider(ctx, models.ProviderInput{Name: "Test provider", Description: about, Type: "test", ClientID: t.clientID, ClientSecret: secret})
	return p.ID, err
}

// harmless is what codes and states of grantd and of the test server look like.
var harmless = regexp.MustCompile(`^[A-Za-z0-9_-]{1,512}$`)

// devCallback is where dev's consents return to: a page that shows the call a
// web app would make now. It is plain text, so nothing in it can be a link or a
// script; and since it is there to be pasted into a shell, somebody who makes up the
// address of this page must not get a quotation mark into it.
func devCallback(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	query := r.URL.Query()
	t := teller{out: w}
	if !harmless.MatchString(query.Get("code")) || !harmless.MatchString(query.Get("state")) {
		t.say("The authorization server sent you back without a code and state to go on with. It said: %.200q", query.Get("error"))
		return
	}
	t.say("You agreed, and came back with a code. A web app would hand it in now:\n")
	t.curl("$API/providers/callback/", "YOU", fmt.Sprintf("{\n  \"providerId\": \"'$PROVIDER'\",\n  \"state\": %q,\n  \"code\": %q}",
		query.Get("state"), query.Get("code")))
}
