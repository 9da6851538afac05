package client

import (
	"context"
	"time"
)

// Tokens is where access tokens of upstreams come from: a [Client], which asks grantd, or a [Store], which also works while
// grantd is away for a moment.
type Tokens interface {
	// Token returns an access token of an authorization that can be used now.
	Token(ctx context.Context, authorization string) (Token, error)
}

// TokenSource is tokens of one authorization, as the type that a library wants. With *oauth2.Token as T it is an
// oauth2.TokenSource, without this package having to import golang.org/x/oauth2:
//
//	source := client.NewTokenSource(ctx, c, id, func(t client.Token) *oauth2.Token {
//		return &oauth2.Token{AccessToken: t.AccessToken.Reveal(), Expiry: t.Expiry()}
//	})
//	h := &http.Client{Transport: &oauth2.Transport{Source: source}}
//
// It asks each time and keeps nothing, so that a token that was revoked is not used again. oauth2.NewClient and
// oauth2.ReuseTokenSource keep a token until it expires. [Transport] needs neither.
type TokenSource[T any] struct {
	ctx           context.Context
	tokens        Tokens
	authorization string
	as            func(Token) T
}

// NewTokenSource returns a source of an authorization's tokens, each made into a T by as. ctx bounds every call, as the
// interface of such sources has no context of its own.
func NewTokenSource[T any](ctx context.Context, tokens Tokens, authorization string, as func(Token) T) TokenSource[T] {
	return TokenSource[T]{ctx, tokens, authorization, as}
}

// Token returns a token that can be used now.
func (s TokenSource[T]) Token() (T, error) {
	t, err := s.tokens.Token(s.ctx, s.authorization)
	if err != nil {
		var none T
		return none, err
	}
	return s.as(t), nil
}

// Expiry returns when the token expires, and the zero time where that is unknown.
func (t Token) Expiry() time.Time {
	if t.ExpiresAt == nil {
		return time.Time{}
	}
	return *t.ExpiresAt
}
