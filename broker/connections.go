package broker

import (
	"cmp"
	"context"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Connection is what a page tells a person about a provider: what would be asked
// for, and who they are connected as.
type Connection struct {
	Provider models.Provider
	// Scopes are asked for in a consent; Granted is what was.
	Scopes, Granted []string
	// Account names who the person is connected as; "" for nobody.
	Account string
	// Problem says why the connection does not work, "" when it does.
	Problem string
}

// ConnectionAt describes the visitor's connection at an active provider, named by id or slug. It asks no upstream.
func (s *Service) ConnectionAt(ctx context.Context, v Visitor, name string) (Connection, error) {
	p, err := s.activeProvider(ctx, v.Caller, name)
	if err != nil {
		return Connection{}, err
	}
	l, err := s.latestLink(ctx, v.Caller, p.ID)
	if err != nil && !store.IsNotFound(err) {
		return Connection{}, err
	}
	return s.connection(p, l), nil
}

// connection describes a provider and its link, which is empty for none.
func (s *Service) connection(p models.Provider, l models.Linked) Connection {
	c := Connection{Provider: p, Scopes: s.at(p).askedScopes(p.Scopes)}
	if l.Authorization.ID == "" {
		return c
	}
	link := externalLink(l)
	c.Granted, c.Problem = l.Authorization.Scopes, link.Problem
	c.Account = accountName(l.Authorization)
	return c
}

// ScopeInWords says what a scope allows at a provider, to people; "" where its type does not know.
func (s *Service) ScopeInWords(p models.Provider, scope string) string {
	return s.at(p).ScopeInWords(scope)
}

// accountName is what a person knows an account by, as far as the upstream told.
func accountName(a models.Authorization) string { return cmp.Or(a.Login, a.Email, a.Sub) }
