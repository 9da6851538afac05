package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/store"
)

type doctorCommand struct {
	Reach bool `help:"Call the public URL, and the server of every active provider, without any token or secret."`
}

// Help is the longer text of `grantd doctor --help`.
func (doctorCommand) Help() string {
	return "Give it the settings of the server, beside which it may run. It changes nothing. It ends with 0 when nothing is wrong."
}

const (
	// clockTolerance is how far the database's clock may be from this machine's.
	clockTolerance = 5 * time.Second
	// reachTimeout is how long each address may take that --reach calls.
	reachTimeout = 10 * time.Second
)

// severity is how bad a finding is.
type severity string

const (
	fine  severity = "ok"
	noted severity = "note"
	wrong severity = "WRONG"
)

// doctor asks one thing after the other and tells what it finds.
type doctor struct {
	cfg   *Config
	out   io.Writer
	reach bool
	wrong int

	store *store.Store // nil while it cannot be used
	keys  *secrets.Keyring
}

// Run examines everything, and fails if something is wrong.
func (d doctorCommand) Run(ctx context.Context, c console, cfg *Config) error {
	x := &doctor{cfg: cfg, out: c.out, reach: d.Reach}
	defer func() {
		if x.store != nil {
			_ = x.store.Close() // nothing was written
		}
	}()
	if x.settings() {
		x.database(ctx)
		x.keyset(ctx)
		x.redis(ctx)
		x.publicURL(ctx)
		x.upstreams(ctx)
	}
	if x.wrong > 0 {
		return fmt.Errorf("%d of what was examined is wrong", x.wrong)
	}
	return nil
}

// tell prints a finding, and what to do about it.
func (x *doctor) tell(s severity, what, finding, remedy string) {
	if s == wrong {
		x.wrong++
	}
	fmt.Fprintf(x.out, "%-6s%s: %s\n", s, what, finding)
	if remedy != "" {
		fmt.Fprintf(x.out, "      %s\n", remedy)
	}
}

// settings reports whether the settings can be used.
func (x *doctor) settings() bool {
	for _, problem := range x.cfg.unknown {
		x.tell(noted, "settings", problem, "")
	}
	if err := x.cfg.validate(x.cfg.needKeyset()); err != nil {
		x.tell(wrong, "settings", strings.ReplaceAll(err.Error(), "\n", "; "), "Correct them; `grantd help settings` explains each. Nothing else is examined before.")
		return false
	}
	x.tell(fine, "settings", "they can be used", "")
	if x.cfg.MetricsListen == "" {
		x.tell(noted, "metrics", "GRANTD_METRICS_LISTEN is not set, so that nobody can read metrics, and a worker cannot be probed", "Set it to an address that only Prometheus and the probes reach.")
	}
	if x.cfg.postgres() && x.cfg.TestProvider != "" {
		x.tell(wrong, "test provider", "GRANTD_TEST_PROVIDER is set: anyone may get tokens of the type test, without a password", "Unset it in production.")
	}
	return true
}

func (x *doctor) database(ctx context.Context) {
	err := x.cfg.mustExist()
	var st *store.Store
	if err == nil {
		st, err = x.cfg.openStore(ctx)
	}
	if err != nil {
		x.tell(wrong, "database", err.Error(), "Nothing works without it: correct GRANTD_DATABASE_URL, or bring the database back.")
		return
	}
	if err := st.CheckSchema(ctx); err != nil {
		x.tell(wrong, "database", errors.Join(err, st.Close()).Error(), "")
		return
	}
	x.store = st
	x.tell(fine, "database", redact(x.cfg.DatabaseURL)+" answers, and this grantd may run with its schema", "")
	before := time.Now()
	now, err := st.Now(ctx)
	if err != nil {
		x.tell(wrong, "clock", err.Error(), "")
		return
	}
	if off := now.Sub(before.Add(time.Since(before) / 2)); off.Abs() > clockTolerance {
		x.tell(wrong, "clock", fmt.Sprintf("the database's clock is %s away from this machine's", off.Round(time.Second)), "Tokens expire by the database's clock: keep both in step with the world, with NTP.")
		return
	}
	x.tell(fine, "clock", "the database's clock and this machine's agree", "")
}

func (x *doctor) keyset(ctx context.Context) {
	file, err := x.cfg.keyset(nil) // which is tried once
	if err != nil {
		x.tell(wrong, "keyset", err.Error(), "")
		return
	}
	sealed, err := file.Sealed()
	if err != nil {
		x.tell(wrong, "keyset", named("GRANTD_KEYSET", err).Error(), "For a new database make one with `grantd keys init`; for one in use put the file back from its backup.")
		return
	}
	began := time.Now()
	keys, err := file.Load(ctx)
	switch {
	case err != nil && sealed && file.KEK != nil:
		x.tell(wrong, "keyset", named("GRANTD_KEYSET", err).Error(), "No server can start before the key management service opens the keyset; those that run go on. docs/kms.md says what each message means.")
		return
	case err != nil:
		x.tell(wrong, "keyset", named("GRANTD_KEYSET", err).Error(), "")
		return
	case sealed:
		x.tell(fine, "keyset", fmt.Sprintf("%s opened it in %s", file.KEK, time.Since(began).Round(time.Millisecond)), "")
	}
	if x.store == nil {
		x.tell(noted, "keyset", "it can be read; whether it is this database's could not be examined", "")
		return
	}
	canary, err := x.store.Meta(ctx, "canary")
	switch {
	case err != nil:
		x.tell(wrong, "keyset", err.Error(), "")
	case canary == nil:
		x.keys = keys
		x.tell(noted, "keyset", "it can be read, and the database holds nothing yet that was sealed", "The first start of a server ties the two together.")
	case keys.CheckCanary(canary) != nil:
		x.tell(wrong, "keyset", "it is not the one that this database was filled with", "Point GRANTD_KEYSET at the right file. Do not make a new one: a database without its keyset is nothing.")
	default:
		x.keys = keys
		x.tell(fine, "keyset", "it opens what is sealed in the database", "")
	}
}

func (x *doctor) redis(ctx context.Context) {
	if x.cfg.RedisURL == "memory:" {
		x.tell(fine, "redis", "it is inside the process, which must be the only one", "")
		return
	}
	r, err := jobs.OpenRedis(x.cfg.RedisURL)
	if err == nil {
		defer r.Close()
		err = r.Ping(ctx)
	}
	if err != nil {
		x.tell(wrong, "redis", err.Error(), "Tokens are served without it, and jobs begin after seconds. Correct GRANTD_REDIS_URL, or bring Redis back.")
		return
	}
	x.tell(fine, "redis", redact(x.cfg.RedisURL)+" answers", "")
}

func (x *doctor) publicURL(ctx context.Context) {
	u, err := url.Parse(x.cfg.PublicURL)
	switch {
	case err != nil:
		x.tell(wrong, "public URL", "it cannot be read", "")
		return
	case u.Scheme != "https" && !loopback(hostPort(u)):
		x.tell(wrong, "public URL", x.cfg.PublicURL+" is not https, and not on this machine: tokens would travel in clear, and the pages do not work", "Put a proxy with TLS in front, and set GRANTD_PUBLIC_URL to its address.")
		return
	case !x.reach:
		x.tell(fine, "public URL", x.cfg.PublicURL+" looks right; --reach calls it", "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	status, err := get(ctx, x.cfg.PublicURL+"/healthz")
	if err != nil || status != http.StatusOK {
		x.tell(wrong, "public URL", fmt.Sprintf("%s/healthz does not answer 200 from here: %s", x.cfg.PublicURL, orStatus(err, status)), "Is a server running? Does the proxy pass the path on? A machine that may not call its own public address sees this too.")
		return
	}
	x.tell(fine, "public URL", x.cfg.PublicURL+" answers", "")
}

func (x *doctor) upstreams(ctx context.Context) {
	if !x.reach || x.store == nil || x.keys == nil {
		return
	}
	registry, err := providers.New(providers.Options{Allow: x.cfg.UpstreamAllow, TestHost: x.cfg.TestProvider})
	if err != nil {
		x.tell(wrong, "providers", err.Error(), "Correct GRANTD_UPSTREAM_ALLOW or GRANTD_TEST_PROVIDER.")
		return
	}
	all, err := broker.ReachUpstreams(ctx, x.store, registry, reachTimeout)
	if err != nil {
		x.tell(wrong, "providers", err.Error(), "")
		return
	}
	for _, r := range all {
		if r.Err != nil {
			x.tell(wrong, "provider "+r.ProviderID, fmt.Sprintf("its server does not answer: %v", r.Err), "Look at DNS, firewalls and GRANTD_UPSTREAM_ALLOW, which must list private addresses.")
			continue
		}
		x.tell(fine, "provider "+r.ProviderID, "its server answers", "")
	}
	if len(all) == 0 {
		x.tell(fine, "providers", "there are none that are active", "")
	}
}

// get asks for a page and returns its status.
func get(ctx context.Context, at string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func orStatus(err error, status int) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("HTTP %d", status)
}

// hostPort is the address of a URL, with a port in any case.
func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return u.Host + ":443"
}
