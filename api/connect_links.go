package api

import (
	"context"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// NewConnectLink is the body of POST connectLinks/.
type NewConnectLink struct {
	UserID     string   `json:"userId" doc:"The person whose connection it is to become. Take it from the session that the person has with you."`
	ProviderID string   `json:"providerId,omitempty" doc:"The provider. Exactly one of providerId and slug is given."`
	Slug       string   `json:"slug,omitempty" doc:"The provider, by its short name."`
	ReturnURL  string   `json:"returnUrl,omitempty" doc:"Where the browser returns to: of an origin among the returnOrigins of the API token, or one that the operator allows. The parameters link, and result or error, are added to it. It may be left out where nothing is to be confirmed."`
	Scopes     []string `json:"scopes,omitempty" maxItems:"256" doc:"What to ask for, among the scopes that the provider is set to; without, all of them."`
	ExpiresIn  *int64   `json:"expiresIn,omitempty" doc:"For how many seconds the link can be opened: 1 to 3600; without, 600."`
	Confirm    *bool    `json:"confirm,omitempty" doc:"Whether the connection waits for confirm/. Without, it does unless signIn is true."`
	SignIn     bool     `json:"signIn,omitempty" doc:"Whether the person has to be signed in to grantd's pages as userId."`
	Popup      bool     `json:"popup,omitempty" doc:"Whether the link is opened in a window of its own, which posts its message to the one that opened it."`
}

// MadeConnectLink is a connect link that was made just now.
type MadeConnectLink struct {
	ID        string    `json:"id"`
	URL       string    `json:"url" format:"uri" doc:"Where to send the person. It works in the one browser that it is opened in first, and is in this answer alone."`
	ExpiresAt time.Time `json:"expiresAt" doc:"Until when it can be opened."`
}

func (s *Server) createConnectLink(ctx context.Context, c models.Caller, in *struct{ Body NewConnectLink }) (*private[MadeConnectLink], error) {
	b := in.Body
	n := broker.NewConnectLink{
		UserID: b.UserID, ProviderID: b.ProviderID, Slug: storable(b.Slug), ReturnURL: b.ReturnURL, Scopes: b.Scopes,
		Confirm: b.Confirm, SignIn: b.SignIn, Popup: b.Popup,
	}
	if b.ExpiresIn != nil {
		n.Life = lifeOf(*b.ExpiresIn)
	}
	l, address, err := s.service.MakeConnectLink(ctx, c, n)
	return privately(&MadeConnectLink{l.ID, address, l.ExpiresAt.UTC()}), err
}

// lifeOf is a number of seconds, or a time that is too short or too long for a link.
func lifeOf(n int64) time.Duration {
	const limit = 1 << 31
	if n <= 0 {
		return -1
	}
	return time.Duration(min(n, limit)) * time.Second
}

type connectLinkList struct {
	UserID     string `query:"userId" doc:"Only those for this user."`
	ProviderID string `query:"providerId" doc:"Only those of this provider."`
	Open       bool   `query:"open" doc:"Only those that may still connect: their status is open, begun or returned."`
	Paging
}

func (s *Server) listConnectLinks(ctx context.Context, c models.Caller, in *connectLinkList) (*answer[List[models.ConnectLink]], error) {
	page, err := s.service.ConnectLinks(ctx, c, broker.ConnectLinkQuery{UserID: storable(in.UserID), ProviderID: storable(in.ProviderID),
		Open: in.Open, Limit: in.Limit, Cursor: storable(in.Cursor)})
	if err != nil {
		return nil, err
	}
	return list(ctx, s, page, connectLink), nil
}

func (s *Server) getConnectLink(ctx context.Context, c models.Caller, in *ByID) (*answer[models.ConnectLink], error) {
	l, err := s.service.ConnectLink(ctx, c, in.ID)
	return &answer[models.ConnectLink]{connectLink(l)}, err
}

func (s *Server) withdrawConnectLink(ctx context.Context, c models.Caller, in *ByID) (*struct{}, error) {
	return nil, s.service.WithdrawConnectLink(ctx, c, in.ID)
}

// Confirmation is the body of POST connectLinks/{id}/confirm/.
type Confirmation struct {
	Result models.Secret `json:"result" doc:"The result that the browser returned with."`
	UserID string        `json:"userId" doc:"The person of the session that the browser has with you. Never take it from the link."`
}

type confirmInput struct {
	ByID
	Body Confirmation
}

// Confirmed is a connection that was confirmed.
type Confirmed struct {
	Authorization *models.Authorization `json:"authorizedProvider"`
	Replaces      *string               `json:"replaces" doc:"The id of the authorization, of another account, that was the user's default at the provider until now. It stays connected until you delete it. null for none."`
}

func (s *Server) confirmConnectLink(ctx context.Context, c models.Caller, in *confirmInput) (*private[Confirmed], error) {
	done, err := s.service.ConfirmConnectLink(ctx, c, in.ID, in.Body.Result, in.Body.UserID)
	return privately(&Confirmed{authorization(done.Authorization), done.Replaces}), err
}
