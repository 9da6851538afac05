package client

import (
	"context"

	"golang.org/x/oauth2"
)

// TokenSource returns an [oauth2.TokenSource] of an authorization, for what takes one:
//
//	h := &http.Client{Transport: &oauth2.Transport{Source: c.TokenSource(ctx, id)}}
//
// It asks grantd each time and keeps nothing, so that a token that was revoked is not used
// again. oauth2.NewClient and oauth2.ReuseTokenSource keep a token until it expires. ctx
// bounds every call, as the interface has no context of its own.
func (c *Client) TokenSource(ctx context.Context, authorization string) oauth2.TokenSource {
	return tokenSource{ctx, c, authorization}
}

type tokenSource struct {
	ctx           context.Context
	client        *Client
	authorization string
}

// Token implements oauth2.TokenSource.
func (s tokenSource) Token() (*oauth2.Token, error) {
	t, err := s.client.Token(s.ctx, s.authorization)
	if err != nil {
		return nil, err
	}
	token := &oauth2.Token{AccessToken: t.AccessToken.Reveal(), TokenType: "Bearer"}
	if t.ExpiresAt != nil {
		token.Expiry = *t.ExpiresAt
	}
	return token, nil
}
