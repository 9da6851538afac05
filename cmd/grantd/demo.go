package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

type demoCommand struct{}

// Help is the longer text of `grantd demo --help`.
func (demoCommand) Help() string {
	return "Starts API, worker and a test authorization server on free loopback ports and a temporary folder, registers a " +
		"provider, lets three people consent, fetches and refreshes tokens, deletes the provider and watches everything " +
		"being revoked. Takes a few seconds, needs nothing, leaves nothing behind. The exit code is 0 only if every step succeeded. " +
		"Of the settings only those of the log count."
}

// Run plays the story.
func (demoCommand) Run(ctx context.Context, c console, cfg *Config) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	d := &demo{teller: teller{out: c.out}, people: map[string]*person{}}
	err := d.play(ctx, c, cfg)
	return errors.Join(err, d.end())
}

// embedded returns the settings of a grantd that lives in dir and needs nothing
// else, and logs as cfg says; by default only what is wrong, because the log
// shares the screen with the story.
func (c *Config) embedded(dir, testProvider string) *Config {
	own := &Config{
		Listen: "127.0.0.1:0", Data: dir, RedisURL: "memory:", TestProvider: testProvider,
		LogLevel: c.LogLevel, LogFormat: c.LogFormat,
	}
	if !c.given("log-level") {
		own.LogLevel = "warn"
	}
	own.complete(nil)
	return own
}

// demo is the story under way.
type demo struct {
	teller
	dir      string
	idp      *testServer
	in       *instance
	admin    *client.Client
	service  *client.Client // by a JWT of a trusted issuer
	people   map[string]*person
	provider models.Provider
	location string // of the job that deletes the provider
}

// person is one of the three who consent.
type person struct {
	name          string // as the test server knows them; $NAME is their API token
	grantd        *client.Client
	authorization string
	token         client.Token
}

// appCallback is where the story's web app would take people back. Nothing
// listens there: the story reads the address, as a web app reads its request.
const appCallback = "http://localhost:5173/oauth/callback"

// Tokens live an hour, but for the last person's, which shows the refresh.
const (
	longLife  = time.Hour
	shortLife = 2 * time.Second
)

// play tells the steps in turn and stops at the first that does not hold.
func (d *demo) play(ctx context.Context, c console, cfg *Config) error {
	steps := []struct {
		title string
		do    func(context.Context) error
	}{
		{"Start an API, a worker and a test authorization server, all inside this process.",
			func(ctx context.Context) error { return d.start(ctx, c, cfg) }},
		{"An admin registers the authorization server as a provider.", d.register},
		{"Ada consents: her app asks where to send her, she agrees, the app hands in the code.", d.adaConsents},
		{"Grace and Linus do the same. Linus's token will live for 2 seconds only.", d.othersConsent},
		{"A service fetches their tokens, by a JWT of its platform. The server knows Ada by hers.", d.fetch},
		{"Linus's token runs out, and 50 callers want it at once. It is refreshed once for all of them.", d.refresh},
		{"The admin deletes the provider. The answer names a job, and tokens stop at once.", d.delete},
		{"A worker revokes every grant at the authorization server; the job tells how far it is.", d.watch},
		{"Ask the authorization server itself what is left.", d.nothingLeft},
	}
	for i, s := range steps {
		d.step(i+1, s.title)
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("the demo failed at step %d (%s)\n%w", i+1, s.title, err)
		}
	}
	d.say("")
	d.say("Every step succeeded. To try it yourself: grantd dev")
	return nil
}

// end stops what runs and removes what was made.
func (d *demo) end() error {
	var errs []error
	if d.in != nil {
		errs = append(errs, d.in.stop())
	}
	if d.idp != nil {
		errs = append(errs, d.idp.stop())
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

func (d *demo) start(ctx context.Context, c console, cfg *Config) (err error) {
	if d.dir, err = os.MkdirTemp("", "grantd-demo-"); err != nil {
		return err
	}
	if d.idp, err = startTestServer(ctx, true, nil, "127.0.0.1:0"); err != nil {
		return err
	}
	own := cfg.embedded(filepath.Join(d.dir, "data"), d.idp.url)
	platform, err := newDemoIssuer(d.dir)
	if err != nil {
		return err
	}
	own.Issuers = platform.file
	if d.in, err = start(ctx, own, roles{api: true, worker: true}, own.logger(c.err)); err != nil {
		return err
	}
	d.say("     API=%s/api/v2/externalOAuth", d.in.url)
	d.say("     IDP=%s", d.idp.url)
	if d.admin, err = d.caller(ctx, "root", models.RoleAdmin); err != nil {
		return err
	}
	jwt, err := platform.bearer()
	if err != nil {
		return err
	}
	d.service = client.New(d.in.url, jwt, nil)
	d.say("     SERVICE=a JWT that the platform signed; GRANTD_ISSUERS says whose it is")
	for _, name := range []string{"ada", "grace", "linus"} {
		p := &person{name: name}
		if p.grantd, err = d.caller(ctx, name, models.RoleUser); err != nil {
			return err
		}
		d.people[name] = p
	}
	return nil
}

// caller makes an API token and a client that uses it.
func (d *demo) caller(ctx context.Context, user string, role models.Role) (*client.Client, error) {
	_, token, err := d.in.service.CreateAPIToken(ctx, broker.NewAPIToken{OrgID: "demo", UserID: user, Role: role, Life: time.Hour})
	if err != nil {
		return nil, err
	}
	name := strings.ToUpper(user)
	if role == models.RoleAdmin {
		name = "ADMIN"
	}
	d.say("     %s=$(grantd token create --org demo --user %s --role %s)", name, user, role)
	return client.New(d.in.url, token, nil), nil
}

func (d *demo) register(ctx context.Context) (err error) {
	d.curl("$API/providers/", "ADMIN", fmt.Sprintf(`{"name":"Demo","type":"test","clientId":%q,"clientSecret":"…"}`, d.idp.clientID))
	d.provider, err = d.admin.CreateProvider(ctx, models.ProviderInput{
		Name: "Demo", Type: "test", ClientID: d.idp.clientID, ClientSecret: models.Secret(d.idp.clientSecret),
	})
	if err != nil {
		return expected("a new provider", err)
	}
	d.result("provider %s is %s", d.provider.ID, d.provider.Status)
	return same("the provider's status", models.ProviderActive, d.provider.Status)
}

func (d *demo) adaConsents(ctx context.Context) error {
	d.idp.SetAccessTTL(longLife)
	return d.consent(ctx, d.people["ada"], true)
}

func (d *demo) othersConsent(ctx context.Context) error {
	if err := d.consent(ctx, d.people["grace"], false); err != nil {
		return err
	}
	d.idp.SetAccessTTL(shortLife)
	return d.consent(ctx, d.people["linus"], false)
}

// consent takes a person through it: to the authorization server with the
// address grantd gave out, and back with a code. aloud shows the calls.
func (d *demo) consent(ctx context.Context, p *person, aloud bool) error {
	show := d.teller
	if !aloud {
		show = teller{out: nowhere{}}
	}
	show.curl("$API/providers/"+d.provider.ID+"/authorize/", strings.ToUpper(p.name), "", "-X", "POST", "--url-query", "redirect_uri="+appCallback)
	begun, err := p.grantd.Authorize(ctx, d.provider.ID, client.AuthorizeRequest{RedirectURI: appCallback})
	if err != nil {
		return expected("an address to send "+p.name+" to", err)
	}
	show.result("%s", cut(begun.RedirectURL, 80))
	back, err := visit(ctx, begun.RedirectURL, p.name)
	if err != nil {
		return expected(p.name+" sent back with a code", err)
	}
	show.result("back at %s", cut(back.String(), 80))
	cb := client.ReturnTo(d.provider.ID, back.Query())
	show.curl("$API/providers/callback/", strings.ToUpper(p.name), fmt.Sprintf("{\n  \"providerId\": %q,\n  \"state\": %q,\n  \"code\": %q}", cb.ProviderID, cb.State.Reveal(), cb.Code.Reveal()))
	done, err := p.grantd.Complete(ctx, cb)
	if err != nil {
		return expected("an authorization for "+p.name, err)
	}
	p.authorization = done.Authorization.ID
	d.result("%s <%s> authorized: %s, %s", done.User.Name, done.User.Email, p.authorization, done.Authorization.Status)
	return same("the authorization's status", models.AuthorizationActive, done.Authorization.Status)
}

func (d *demo) fetch(ctx context.Context) (err error) {
	ada := d.people["ada"]
	d.curl("$API/authorizedProviders/"+ada.authorization+"/token/", "SERVICE", "", "-X", "POST", "--url-query", "userId=ada")
	for _, p := range d.people {
		if p.token, err = d.service.For(p.name).Token(ctx, p.authorization); err != nil {
			return expected("a token for "+p.name, err)
		}
		if p.token.ExpiresAt == nil {
			return expected("a token that expires", errors.New("one without a time"))
		}
	}
	d.result("a token that expires in %s", time.Until(*ada.token.ExpiresAt).Round(time.Second))
	d.say(`     curl $IDP/userinfo -H "Authorization: Bearer $TOKEN"`)
	who, err := d.idp.whose(ctx, ada.token.AccessToken)
	if err != nil {
		return expected("the authorization server to take Ada's token", err)
	}
	d.result("%s", who)
	return same("the owner of the token", "Ada Lovelace", who)
}

func (d *demo) curlToken(p *person) {
	d.curl("$API/authorizedProviders/"+p.authorization+"/token/", strings.ToUpper(p.name), "", "-X", "POST")
}

// refresh waits until Linus's token has died and has many callers ask for it.
// The first token was fetched while tokens still lived shortly, so that a slow
// machine, which refreshes it earlier, sees the same story.
func (d *demo) refresh(ctx context.Context) error {
	const callers = 50
	linus := d.people["linus"]
	before := d.idp.Stats().Calls[testidp.Refresh]
	d.idp.SetAccessTTL(longLife)
	if err := pause(ctx, time.Until(*linus.token.ExpiresAt)); err != nil {
		return err
	}
	d.curlToken(linus)
	tokens, err := atOnce(callers, func() (client.Token, error) { return linus.grantd.Token(ctx, linus.authorization) })
	if err != nil {
		return expected("a token for each caller", err)
	}
	for _, t := range tokens {
		if t.AccessToken == linus.token.AccessToken {
			return expected("a new token for each caller", errors.New("a caller got the one that ran out"))
		}
		if t.AccessToken != tokens[0].AccessToken {
			return expected("the same new token for each caller", errors.New("two callers got different ones"))
		}
	}
	refreshes := d.idp.Stats().Calls[testidp.Refresh] - before
	d.result("%d callers got the same new token; the authorization server saw %d refresh", callers, refreshes)
	return same("the refreshes that the authorization server saw", int64(1), refreshes)
}

func (d *demo) delete(ctx context.Context) (err error) {
	// Revocations that take their time, so that there is something to watch.
	d.idp.Inject(testidp.Fault{Endpoint: testidp.Revoke, Times: len(d.people), LatencyMS: 400})
	d.curl("$API/providers/"+d.provider.ID+"/", "ADMIN", "", "-X", "DELETE")
	if d.location, err = d.admin.DeleteProvider(ctx, d.provider.ID); err != nil {
		return expected("the location of a job", err)
	}
	d.result("%s", strings.Replace(d.location, d.in.url+"/api/v2/externalOAuth", "$API", 1))
	_, err = d.people["ada"].grantd.Token(ctx, d.people["ada"].authorization)
	var refused *client.Error
	if !errors.As(err, &refused) {
		return expected("no more tokens", fmt.Errorf("got one (error %v)", err))
	}
	d.result("a token now? %d: %s", refused.Status, refused.Message)
	return nil
}

func (d *demo) watch(ctx context.Context) error {
	d.curl(strings.Replace(d.location, d.in.url+"/api/v2/externalOAuth", "$API", 1), "ADMIN", "")
	var told string
	job, err := d.admin.WaitJob(ctx, d.location, 20*time.Millisecond, func(j models.Job) {
		if line := progress(j); line != told {
			told = line
			d.result("%s", line)
		}
	})
	if err != nil {
		return expected("the job to end", err)
	}
	if err := same("the job's status", models.JobCompleted, job.Status); err != nil {
		return err
	}
	return same("the revoked grants", fmt.Sprint(len(d.people)), detail(job, string(models.OutcomeRevoked)))
}

// progress is a job's state in one line: its status and the counts that are not
// nought.
func progress(j models.Job) string {
	line := string(j.Status)
	for _, name := range append([]string{"total", "pending"}, outcomeNames()...) {
		if n := detail(j, name); n != "" && n != "0" {
			line += fmt.Sprintf("  %s %s", name, n)
		}
	}
	return line
}

func outcomeNames() []string {
	var names []string
	for _, o := range models.Outcomes {
		names = append(names, string(o))
	}
	return names
}

// detail returns one of a job's details as text, "" where it has none of that
// name.
func detail(j models.Job, name string) string {
	for _, d := range j.Details {
		if d.Name == name {
			return fmt.Sprint(d.Value)
		}
	}
	return ""
}

func (d *demo) nothingLeft(ctx context.Context) error {
	d.say("     curl $IDP/_control/stats")
	stats, err := d.idp.counters(ctx)
	if err != nil {
		return expected("the authorization server's counters", err)
	}
	d.result("live grants %d, access tokens %d, refresh tokens %d; refresh tokens spent twice %d",
		stats.LiveGrants, stats.LiveAccessTokens, stats.LiveRefreshTokens, stats.RefreshReused)
	_, err = d.admin.Provider(ctx, d.provider.ID)
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		return expected("the provider to be gone", fmt.Errorf("asking for it gave %v", err))
	}
	return same("what is left at the authorization server", int64(0),
		stats.LiveGrants+stats.LiveAccessTokens+stats.LiveRefreshTokens+stats.RefreshReused+stats.CodesReused)
}
