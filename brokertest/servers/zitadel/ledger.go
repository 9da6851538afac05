package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// ledger is the example storage, with a list of what it gave out: the storage itself can only be asked about a token
// that one knows.
type ledger struct {
	*storage.Storage
	mu     sync.Mutex
	issued []token
}

// token is one that was given out: an access token by its id, or a refresh token.
type token struct {
	id, client, person string
	refresh            bool
}

func newLedger() *ledger { return &ledger{Storage: storage.NewStorage(people{})} }

func (l *ledger) add(tokens ...token) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.issued = append(l.issued, tokens...)
}

func (l *ledger) CreateAccessToken(ctx context.Context, request op.TokenRequest) (string, time.Time, error) {
	id, until, err := l.Storage.CreateAccessToken(ctx, request)
	if err == nil {
		l.add(token{id: id, client: request.GetAudience()[0], person: request.GetSubject()})
	}
	return id, until, err
}

func (l *ledger) CreateAccessAndRefreshTokens(ctx context.Context, request op.TokenRequest, current string) (string, string, time.Time, error) {
	// The example storage forgets whose client a device is, and then refuses to revoke the device's tokens.
	if device, ok := request.(*op.DeviceAuthorizationState); ok {
		request = &storage.AuthRequest{ApplicationID: device.ClientID, UserID: device.Subject, Scopes: device.Scopes}
	}
	id, refresh, until, err := l.Storage.CreateAccessAndRefreshTokens(ctx, request, current)
	if err == nil {
		client, person := request.GetAudience()[0], request.GetSubject()
		l.add(token{id: id, client: client, person: person}, token{id: refresh, client: client, person: person, refresh: true})
	}
	return id, refresh, until, err
}

// GetClientByClientID lets every client use the device flow too. The example has a client for that alone, which cannot
// refresh.
func (l *ledger) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	client, err := l.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return withDevices{client}, nil
}

type withDevices struct{ op.Client }

func (c withDevices) GrantTypes() []oidc.GrantType {
	return append(slices.Clone(c.Client.GrantTypes()), oidc.GrantTypeDeviceCode)
}

// living counts what a client could still use, by asking the storage about each token as the server does.
func (l *ledger) living(ctx context.Context) (refresh, access int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.issued {
		switch {
		case t.refresh:
			if _, err := l.TokenRequestByRefreshToken(ctx, t.id); err == nil {
				refresh++
			}
		case l.SetIntrospectionFromToken(ctx, &oidc.IntrospectionResponse{}, t.id, t.person, t.client) == nil:
			access++
		}
	}
	return refresh, access
}

// expire takes the access tokens of a person away, which is what the server's answers are like once they have expired.
func (l *ledger) expire(ctx context.Context, person string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.issued {
		if !t.refresh && t.person == person {
			_ = l.RevokeToken(ctx, t.id, t.person, t.client) // an error only where it is gone already
		}
	}
}

// people has every name as an account: what is tested is what happens after the consent.
type people struct{}

func (people) GetUserByID(id string) *storage.User {
	return &storage.User{ID: id, Username: id, Password: "password", FirstName: id, LastName: "Test", Email: id + "@example.test", EmailVerified: true}
}

func (p people) GetUserByUsername(name string) *storage.User { return p.GetUserByID(name) }

func (people) ExampleClientID() string { return storage.ServiceUserID }
