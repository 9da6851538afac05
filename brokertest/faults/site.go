package main

import (
	"errors"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

// site is a database, a Redis, an upstream, and any number of grantd processes
// on them.
type site struct {
	*processes.Grantd
	*scene
	token models.Secret // of an admin, who consents as well
}

// newSite takes the shared servers where a URL is "".
func newSite(s *scene, database, redis string) *site {
	s.Helper()
	if database == "" {
		database = services.Database(s)
	}
	if redis == "" {
		redis = services.RedisDatabase(s)
	}
	upstream := processes.StartUpstream()
	s.Cleanup(upstream.Close)
	x := &site{scene: s, Grantd: &processes.Grantd{
		Binary: s.binary, Upstream: upstream,
		DatabaseURL: database, RedisURL: redis, Keyset: filepath.Join(s.TempDir(), "keyset.json"),
	}}
	s.must(x.Prepare(s.ctx))
	var err error
	x.token, err = x.Token(s.ctx, "acme", "root", models.RoleAdmin)
	s.must(err)
	return x
}

// start starts a process, which is killed at the end unless the row did it.
func (x *site) start(args ...string) *processes.Process {
	x.Helper()
	return x.startAs(x.Grantd, args...)
}

// startAs starts a process with settings of its own.
func (x *site) startAs(g *processes.Grantd, args ...string) *processes.Process {
	x.Helper()
	p, err := g.Start(x.ctx, args...)
	x.must(err)
	x.Cleanup(func() {
		if err := p.Kill(); err != nil {
			x.Error(err)
		}
		if log := p.Log(); x.Failed() {
			x.Logf("the end of the log of grantd %s:\n%s", p.Name, log[max(0, len(log)-3000):])
		}
	})
	return p
}

func (x *site) client(p *processes.Process) *client.Client {
	return processes.NewClient(p.URL, x.token)
}

// provider registers the upstream's client as a provider of a type.
func (x *site) provider(c *client.Client, typ string) models.Provider {
	x.Helper()
	n := models.ProviderInput{Name: "A " + typ + " provider", Type: typ, ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret}
	if typ != "test" {
		n.Metadata.Host = x.Upstream.URL
	}
	p, err := c.CreateProvider(x.ctx, n)
	x.must(err)
	return p
}

// consent has somebody consent, and returns the id of the authorization.
func (x *site) consent(c *client.Client, provider, person string) string {
	x.Helper()
	a, err := processes.Consent(x.ctx, c, provider, person)
	x.must(err)
	return a.ID
}

// consents has n people consent.
func (x *site) consents(c *client.Client, provider string, n int) []string {
	x.Helper()
	ids, err := processes.Consents(x.ctx, c, provider, n)
	x.must(err)
	return ids
}

// exec changes something behind grantd's back.
func (x *site) exec(query string, args ...any) {
	x.Helper()
	conn, err := pgx.Connect(x.ctx, x.DatabaseURL)
	x.must(err)
	defer conn.Close(x.ctx)
	_, err = conn.Exec(x.ctx, query, args...)
	x.must(err)
}

// count asks SQL for a number.
func (x *site) count(query string, args ...any) int64 {
	x.Helper()
	n, err := x.tryCount(query, args...)
	x.must(err)
	return n
}

func (x *site) tryCount(query string, args ...any) (n int64, err error) {
	conn, err := pgx.Connect(x.ctx, x.DatabaseURL)
	if err != nil {
		return 0, err
	}
	defer conn.Close(x.ctx)
	return n, conn.QueryRow(x.ctx, query, args...).Scan(&n)
}

// expire ends the lives of access tokens, by our own record.
func (x *site) expire(ids ...string) {
	x.Helper()
	x.exec(`UPDATE credentials SET expires_at = now() - interval '1 second', refresh_after = now() - interval '1 minute'
		WHERE authorization_id = ANY($1)`, ids)
}

// due makes a refresh due of tokens that live for another while.
func (x *site) due(ids ...string) {
	x.Helper()
	x.exec(`UPDATE credentials SET expires_at = now() + interval '50 seconds', refresh_after = now() - interval '1 second'
		WHERE authorization_id = ANY($1)`, ids)
}

// ownRedis starts a Redis that the row may take away.
func ownRedis(s *scene) *services.Server {
	s.Helper()
	server, err := services.StartRedis(s.ctx)
	return own(s, server, err)
}

// ownPostgres starts a PostgreSQL that the row may take away.
func ownPostgres(s *scene) *services.Server {
	s.Helper()
	server, err := services.StartPostgres(s.ctx)
	return own(s, server, err)
}

func own(s *scene, server *services.Server, err error) *services.Server {
	s.Helper()
	if errors.Is(err, services.ErrMissing) {
		services.Skip(s, "it needs a server of its own: "+err.Error())
	}
	s.must(err)
	s.Cleanup(func() {
		if err := server.Close(); err != nil {
			s.Error(err)
		}
	})
	return server
}
