package broker

import (
	"cmp"
	"context"
	"slices"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// MyConnection is one account that a person has connected, as a page shows it to them.
type MyConnection struct {
	models.Authorization
	// Name is what the person knows the account by, and Detail its e-mail address where that says more.
	Name, Detail string
	// Default says that the person has several accounts at the provider, and that a request that names none of them gets this one.
	Default bool
	// Problem says why the connection does not work, "" when it does. Again says that connecting again may repair it, or
	// may grant what is missing.
	Problem string
	Again   bool
	// Services name those that may get tokens for the connection.
	Services []string
}

// MyConnections is a page of a person's connections.
type MyConnections struct {
	Connections []MyConnection
	Providers   []models.Provider // that can be connected
	More        string            // the cursor of the next page
}

// connectionsPerPage is how many connections a page shows.
const connectionsPerPage = 50

// MyConnections lists what the visitor has connected, admins too see their own only, and what can be connected. It asks
// no upstream.
func (s *Service) MyConnections(ctx context.Context, v Visitor, cursor string) (MyConnections, error) {
	page, err := s.Authorizations(ctx, v.Caller, AuthorizationQuery{UserID: v.Caller.UserID, Limit: connectionsPerPage, Cursor: cursor})
	if err != nil {
		return MyConnections{}, err
	}
	ps, err := s.store.UsableProviders(ctx, v.Caller.OrgID)
	if err != nil {
		return MyConnections{}, err
	}
	all := MyConnections{Providers: within(v.Caller, ps), More: page.Next}
	if len(page.Data) == 0 {
		return all, nil
	}
	services, err := s.servicesOf(ctx, v.Caller.OrgID)
	if err != nil {
		return MyConnections{}, err
	}
	defaults, err := s.defaultsAmong(ctx, v.Caller, page.Data)
	if err != nil {
		return MyConnections{}, err
	}
	for _, a := range page.Data {
		m := myConnection(a)
		m.Services, m.Default = namesFor(a.ProviderID, services), defaults[a.ID]
		all.Connections = append(all.Connections, m)
	}
	return all, nil
}

// servicesOf are the services of an organisation, by API tokens and by trusted issuers.
func (s *Service) servicesOf(ctx context.Context, org string) ([]models.APIToken, error) {
	services, err := s.store.Services(ctx, org)
	if err != nil {
		return nil, err
	}
	bearers, err := s.issuerServices(ctx, org)
	return append(services, bearers...), err
}

// defaultsAmong are the ids of the authorizations that a request gets which names no account, where there are several
// accounts at one provider. Most people have one everywhere, and then nothing is asked.
func (s *Service) defaultsAmong(ctx context.Context, c models.Caller, list []models.Authorization) (map[string]bool, error) {
	accounts, several := map[string]int{}, false
	for _, a := range list {
		accounts[a.ProviderID]++
		several = several || accounts[a.ProviderID] > 1
	}
	if !several {
		return nil, nil
	}
	rows, err := s.store.LatestLinks(ctx, c, "")
	defaults := map[string]bool{}
	for _, l := range rows {
		defaults[l.Authorization.ID] = accounts[l.Authorization.ProviderID] > 1
	}
	return defaults, err
}

// namesFor are what people know the services by that may use a provider.
func namesFor(provider string, services []models.APIToken) []string {
	var names []string
	for _, t := range services {
		if name := cmp.Or(t.Name, t.UserID); t.Caller().MayUse(provider) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// MyConnection is one of MyConnections. What is somebody else's is not found, also by an admin.
func (s *Service) MyConnection(ctx context.Context, v Visitor, id string) (MyConnection, error) {
	if !models.ValidID(id) {
		return MyConnection{}, errNoConnection
	}
	a, err := s.Authorization(ctx, v.Caller, id)
	if models.CodeOf(err) == models.CodeNotFound || err == nil && a.UserID != v.Caller.UserID {
		return MyConnection{}, errNoConnection
	}
	return myConnection(a), err
}

var errNoConnection = models.Errorf(models.CodeNotFound, "You have no such connection. It may have been disconnected already.")

func myConnection(a models.Authorization) MyConnection {
	m := MyConnection{Authorization: a, Name: accountName(a), Problem: cmp.Or(a.ReasonMessage, problems[a.Status])}
	if a.Email != m.Name {
		m.Detail = a.Email
	}
	if a.Provider != nil && a.Provider.Usable() {
		m.Again = a.Status == models.AuthorizationExpired || a.Status == models.AuthorizationInvalidProviderState || len(a.MissingScopes) > 0
	}
	return m
}

// Disconnected is the outcome of a connection that a person ended.
type Disconnected struct {
	Provider models.Provider
	// Problem says why the upstream has not revoked what was granted, "" once it has.
	Problem string
}

// DisconnectMine disconnects one of the visitor's own connections. To disconnect it a second time changes nothing.
func (s *Service) DisconnectMine(ctx context.Context, v Visitor, id string) error {
	_, err := s.MyConnection(ctx, v, id)
	if err == nil {
		err = s.Disconnect(ctx, v.Caller, id)
	}
	if models.CodeOf(err) != models.CodeNotFound {
		return err
	}
	_, err = s.DisconnectedAt(ctx, v, id)
	return err
}

// DisconnectedAt tells what has become of a connection that the visitor ended, until the record of it is deleted.
func (s *Service) DisconnectedAt(ctx context.Context, v Visitor, id string) (Disconnected, error) {
	if !models.ValidID(id) {
		return Disconnected{}, errNoConnection
	}
	a, p, err := s.store.Unlinked(ctx, v.Caller, id)
	switch {
	case store.IsNotFound(err):
		return Disconnected{}, errNoConnection
	case err != nil:
		return Disconnected{}, err
	}
	return Disconnected{Provider: p, Problem: whyNotRevoked(a)}, nil
}
