package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"

	"github.com/grantd/grantd/broker"
)

type serveCommand struct {
	Migrate bool `help:"Bring the schema up to date first; with SQLite that happens anyway."`
}

// Help is the longer text of `grantd serve --help`.
func (serveCommand) Help() string {
	return "With nothing configured it keeps everything in ./grantd-data: a SQLite database, and the keyset that seals " +
		"its secrets. Make an API token with: grantd token create"
}

// Run serves until it is told to stop.
func (s serveCommand) Run(ctx context.Context, c console, cfg *Config) error {
	if err := cfg.validate(cfg.needKeyset()); err != nil {
		return err
	}
	return serve(ctx, c, cfg, roles{api: true, worker: true, migrate: s.Migrate})
}

type apiCommand struct {
	Migrate bool `help:"Bring the schema up to date first."`
}

// Run serves the API until it is told to stop.
func (a apiCommand) Run(ctx context.Context, c console, cfg *Config) error {
	if err := cfg.validate(cfg.needKeyset(), cfg.needShared("api")); err != nil {
		return err
	}
	return serve(ctx, c, cfg, roles{api: true, migrate: a.Migrate})
}

type workerCommand struct {
	Migrate bool `help:"Bring the schema up to date first."`
}

// Run works until it is told to stop.
func (w workerCommand) Run(ctx context.Context, c console, cfg *Config) error {
	if err := cfg.validate(cfg.needKeyset(), cfg.needShared("worker")); err != nil {
		return err
	}
	return serve(ctx, c, cfg, roles{worker: true, migrate: w.Migrate})
}

// serve runs an instance until ctx ends or the instance cannot go on.
func serve(ctx context.Context, c console, cfg *Config, r roles) error {
	log := cfg.logger(c.err)
	in, err := start(ctx, cfg, r, log)
	if err != nil {
		return err
	}
	cfg.warn(r, log)
	in.announce(ctx, cfg)
	debug.FreeOSMemory() // of what only the start needed
	select {
	case <-ctx.Done():
		log.Info("stopping: requests and token calls in progress are finished first; a second signal ends the process at once")
	case err = <-in.failed:
	}
	err = errors.Join(err, in.stop())
	log.Info("stopped")
	return err
}

// announce says where to find what was started, and what to do next on a new
// instance.
func (in *instance) announce(ctx context.Context, cfg *Config) {
	if in.url == "" {
		in.log.Info("the worker is running", "version", currentVersion())
		return
	}
	in.log.Info("grantd is listening", "url", in.url, "public", cfg.PublicURL, "docs", cfg.PublicURL+"/docs", "version", currentVersion())
	if tokens, err := in.service.APITokens(ctx); err == nil && len(tokens) == 0 {
		in.log.Info("there is no API token yet; make one with: grantd token create --org NAME --user NAME --role admin")
	}
}

// warn tells of settings that are allowed, and seldom meant.
func (c *Config) warn(r roles, log *slog.Logger) {
	for _, problem := range c.unknown {
		log.Warn(problem)
	}
	if !r.api {
		return
	}
	if c.postgres() && len(c.RedirectAllow) == 0 {
		log.Warn("GRANTD_REDIRECT_ALLOW is not set: a provider without redirectUris of its own lets consents return " +
			"to the public URL and to loopback only")
	}
	if c.postgres() && c.TestProvider != "" {
		log.Warn("GRANTD_TEST_PROVIDER is set: anyone may get tokens of type test, without a password")
	}
	if c.SigninIssuer != "" && c.SigninUsers == "shared" {
		log.Warn("GRANTD_SIGNIN_USERS is shared: a person to whom the issuer gives a name has access to everything of the user with that name, including connections made with API tokens", "claim", c.SigninUserClaim)
	}
	if !c.given("public-url") && !loopback(c.Listen) {
		log.Warn("GRANTD_PUBLIC_URL is not set: links to jobs and callbacks point at "+c.PublicURL, "listen", c.Listen)
	}
}

// warnOfIssuers tells of entries whose users are not told apart from those that the operator names.
func (c *Config) warnOfIssuers(log *slog.Logger, list []broker.TrustedIssuer) {
	for _, t := range list {
		if t.User.Shared {
			log.Warn("users is shared: who the issuer gives a name gets everything of the user of that name, API tokens' connections too", "issuersEntry", t.Name, "claim", t.User.Template)
		}
	}
}

// loopback reports whether addr is reached from this machine alone.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
