package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/grantd/grantd/api"
	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/metrics"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/traces"
	"github.com/grantd/grantd/worker"
)

// roles say what a process is.
type roles struct {
	api, worker bool
	migrate     bool // bring the schema up to date first, on PostgreSQL too
	anyRedirect bool // admit every redirect_uri; for development
}

// instance is a running grantd.
type instance struct {
	url     string // where it is reached, "" without an API
	service *broker.Service
	failed  chan error // says why it cannot go on, if ever

	log   *slog.Logger
	stops []stopper
}

// stopper ends one part. They are called in the reverse order of the starts, so
// that nothing is closed under what still uses it.
type stopper struct {
	part string
	stop func(context.Context) error
}

// stopTime bounds the end. It is more than a token call may take, because its
// answer, if lost, cannot be replaced (R2).
const stopTime = 45 * time.Second

// start makes a grantd of its parts. What had been started is stopped again when
// a later part fails.
func start(ctx context.Context, cfg *Config, r roles, log *slog.Logger) (_ *instance, err error) {
	in := &instance{log: log, failed: make(chan error, 3)}
	defer func() {
		if err != nil {
			err = errors.Join(err, in.stop())
		}
	}()

	// The ports come first: nothing is migrated or made for a process that
	// cannot run because another one does.
	var public, private net.Listener
	if r.api {
		if public, err = in.listen(ctx, "GRANTD_LISTEN", cfg.Listen); err != nil {
			return nil, err
		}
		cfg.knowPort(public.Addr())
	}
	if cfg.MetricsListen != "" {
		if private, err = in.listen(ctx, "GRANTD_METRICS_LISTEN", cfg.MetricsListen); err != nil {
			return nil, err
		}
	}

	tracer, err := traces.FromEnvironment(ctx, currentVersion(), untold(log))
	if err != nil {
		return nil, err
	}
	in.onStop("traces", tracer.Close)
	unlock, err := cfg.lockDatabase()
	if err != nil {
		return nil, err
	}
	in.onStop("the lock on the database", func(context.Context) error { return unlock() })
	st, err := cfg.openMigrated(ctx, r.migrate, tracer, log)
	if err != nil {
		return nil, err
	}
	in.onStop("database", func(context.Context) error { return st.Close() })
	if shared, err := st.SharedSessions(ctx); err != nil {
		return nil, err
	} else if shared {
		log.Warn("a connection pooler gives one PostgreSQL session to several connections; that is not supported, since locks of migrations " +
			"and settings of connections end up with others: use pool_mode = session, or connect directly")
	}
	keys, err := cfg.newKeyring(ctx, st, log)
	if err != nil {
		return nil, err
	}
	jobs.LogTo(log)
	redis, err := jobs.OpenRedis(cfg.RedisURL)
	if err != nil {
		return nil, err
	}
	in.onStop("redis", func(context.Context) error { return redis.Close() })
	bell := jobs.NewBell(redis)
	in.onStop("bell", func(context.Context) error { return bell.Close() })
	if err := bell.Ping(ctx); err != nil {
		log.Warn("Redis does not answer; until it does, tokens are served and jobs are accepted, and workers find their work in the database every 2 s",
			"redis", redact(cfg.RedisURL), "error", err)
	}
	pace := jobs.NewPace(redis)
	in.onStop("pace", func(context.Context) error { return pace.Close() })
	counted := metrics.New(currentVersion())
	upstream, err := providers.New(providers.Options{Allow: cfg.UpstreamAllow, TestHost: cfg.TestProvider, Observe: counted.UpstreamCalled, Traces: tracer})
	if err != nil {
		return nil, fmt.Errorf("GRANTD_UPSTREAM_ALLOW or GRANTD_TEST_PROVIDER: %w", err)
	}
	receivers, err := providers.NewReceivers(cfg.WebhookAllow, nil)
	if err != nil {
		return nil, fmt.Errorf("GRANTD_WEBHOOK_ALLOW: %w", err)
	}

	var issuers []broker.TrustedIssuer
	if r.api {
		if issuers, err = cfg.trustedIssuers(); err != nil {
			return nil, fmt.Errorf("GRANTD_ISSUERS: %w", err)
		}
		cfg.warnOfIssuers(log, issuers)
	}
	in.service, err = broker.New(ctx, broker.Options{
		Store: st, Upstream: upstream, Receivers: receivers, Keys: keys, Bell: bell, Pace: pace, Log: log, Metrics: counted,
		PublicURL: cfg.PublicURL, RedirectAllow: cfg.RedirectAllow, AnyRedirect: r.anyRedirect,
		Retention: broker.Retention{Flows: cfg.KeepFlows, Tombstones: cfg.KeepTombstones, Superseded: cfg.KeepSuperseded, Expired: cfg.KeepDead,
			Jobs: cfg.KeepJobs, Audit: cfg.KeepAudit, Statistics: cfg.KeepStatistics, Minutes: cfg.KeepMinutes},
		Concurrency: cfg.RevokeConcurrency, Refreshes: cfg.RefreshConcurrency, TokensByAdmins: cfg.TokensByAdmins, Limits: cfg.limits(), SignIn: cfg.signIn(), Issuers: issuers, Sessions: cfg.sessionLife(),
	})
	if err != nil {
		return nil, err
	}
	if r.api {
		in.flushFetches()
		in.followIssuers(cfg)
	}
	in.onStop("token calls", in.service.Wait)

	counted.Watch(in.service.MetricSources(r.worker))
	if r.worker {
		w, err := worker.New(worker.Options{Service: in.service, Redis: redis, Log: log, Metrics: counted, Traces: tracer})
		if err != nil {
			return nil, err
		}
		if err := w.Start(); err != nil {
			return nil, err
		}
		in.onStop("worker", func(context.Context) error { w.Shutdown(); return nil })
	}

	edge := api.New(api.Options{
		Service: in.service, PublicURL: cfg.PublicURL, Version: currentVersion(), Log: log, Metrics: counted, Traces: tracer,
		TrustedProxies: cfg.proxies(), BodyTime: cfg.LimitBodyTime, Brand: cfg.brand(),
	})
	if private != nil {
		in.serve(private, besides(edge))
	}
	if r.api {
		in.url = urlOf(public.Addr().String())
		in.serve(public, edge)
	}
	in.onStop("readiness", func(ctx context.Context) error { edge.Drain(); return pause(ctx, cfg.drainDelay(r)) })
	return in, nil
}

// untold logs that traces cannot be sent, once a minute.
func untold(log *slog.Logger) func(error) {
	var next atomic.Int64
	return func(err error) {
		now := time.Now()
		if due := next.Load(); now.UnixNano() >= due && next.CompareAndSwap(due, now.Add(time.Minute).UnixNano()) {
			log.Warn("traces cannot be sent; they are dropped, and nothing else is affected", "error", err)
		}
	}
}

// knowPort completes a public URL that was waiting for the port the system
// chose.
func (c *Config) knowPort(addr net.Addr) {
	if _, port, _ := net.SplitHostPort(c.Listen); port == "0" && !c.given("public-url") {
		c.PublicURL = urlOf(addr.String())
	}
}

func (c *Config) proxies() []netip.Prefix {
	var all []netip.Prefix
	for _, entry := range c.TrustedProxies {
		if p, err := parseProxy(entry); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// drainDelay is how long the API goes on accepting while it says that it is not
// ready; a worker has nobody to turn away.
func (c *Config) drainDelay(r roles) time.Duration {
	if !r.api {
		return 0
	}
	return c.DrainDelay
}

// besides serves what looks after a process and is not for its clients.
func besides(edge *api.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", edge.MetricsHandler())
	for _, path := range []string{"/healthz", "/readyz"} {
		mux.Handle(path, edge)
	}
	return mux
}

func (in *instance) onStop(part string, stop func(context.Context) error) {
	in.stops = append(in.stops, stopper{part, stop})
}

// listen opens a port. An error names the setting, because most often another
// process has the port and another one must be chosen.
func (in *instance) listen(ctx context.Context, setting, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	in.onStop(setting, func(context.Context) error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil // its server closed it
	})
	return l, nil
}

// serve answers requests on l until the instance stops.
func (in *instance) serve(l net.Listener, h http.Handler) {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(in.log.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			in.failed <- fmt.Errorf("serving on %s: %w", l.Addr(), err)
		}
	}()
	in.onStop("requests", s.Shutdown)
}

// flushFetches writes the counted token fetches every second, and once more at
// the end, when the last request has been answered (H2).
func (in *instance) flushFetches() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := in.service.FlushFetches(ctx); err != nil && ctx.Err() == nil {
					in.log.Warn("writing the counts of token fetches failed; they are kept and tried again", "error", err)
				}
			}
		}
	}()
	in.onStop("counted fetches", func(ctx context.Context) error {
		cancel()
		<-done
		return in.service.FlushFetches(ctx)
	})
}

// stop ends the instance in order: it stops being ready, requests finish, tasks
// finish, token calls in flight are waited for, what was counted is written,
// connections close. A part that fails or takes too long does not keep the
// others from their end.
func (in *instance) stop() error {
	deadline := time.Now().Add(stopTime)
	var errs []error
	for _, s := range slices.Backward(in.stops) {
		if err := s.stopBy(deadline); err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", s.part, err))
		}
	}
	in.stops = nil
	return errors.Join(errs...)
}

// stopBy gives a part until deadline, and a moment in any case: what was counted
// is written also after a request that did not end.
func (s stopper) stopBy(deadline time.Time) error {
	if least := time.Now().Add(2 * time.Second); deadline.Before(least) {
		deadline = least
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	return s.stop(ctx)
}

// pause waits, or returns early when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
