package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/store"
)

// What is sealed, and to whom. Every blob is bound to its owner by associated
// data of immutable values (K1): a row copied to another owner does not open.

// pair is a credential's plain text.
type pair struct {
	Access  string `json:"a"`
	Refresh string `json:"r,omitempty"`
}

func (p pair) tokens() providers.Tokens {
	return providers.Tokens{Access: models.Secret(p.Access), Refresh: models.Secret(p.Refresh)}
}

// grantedTokens is an authorization's pair with what was granted for it, beyond which no
// refresh may ask (RFC 6749 section 6).
func grantedTokens(l models.Linked, p pair) providers.Tokens {
	t := p.tokens()
	t.Scopes = l.Authorization.Scopes
	return t
}

func credentialOwner(a models.Authorization) secrets.Owner {
	return secrets.CredentialOwner(a.CredentialID, a.ID, a.OrgID, a.UserID, a.ProviderID)
}

func (s *Service) sealPair(a models.Authorization, p pair) ([]byte, error) {
	return s.sealJSON(credentialOwner(a), p)
}

func (s *Service) openPair(l *models.Linked) (pair, error) {
	plain, err := s.keys.Open(credentialOwner(l.Authorization), l.Credential.Sealed)
	if err != nil {
		s.metrics.Undecryptable()
		return pair{}, unopened(err)
	}
	if p, plainly := readPair(string(plain)); plainly {
		return p, nil
	}
	var p pair
	err = json.Unmarshal(plain, &p)
	return p, unopened(err)
}

// readPair reads what sealPair wrote, if the tokens have nothing that JSON escapes:
// hardly any has, and each that is given out is read. It reports whether that was so.
func readPair(plain string) (p pair, ok bool) {
	rest, ok := strings.CutPrefix(plain, `{"a":"`)
	if !ok || strings.IndexByte(rest, '\\') >= 0 {
		return pair{}, false
	}
	access, rest, _ := strings.Cut(rest, `"`)
	if rest == "}" {
		return pair{Access: access}, true
	}
	rest, begins := strings.CutPrefix(rest, `,"r":"`)
	refresh, rest, _ := strings.Cut(rest, `"`)
	if !begins || rest != "}" {
		return pair{}, false
	}
	return pair{access, refresh}, true
}

// request is what an open flow keeps to itself until the code is exchanged. The
// device code is the upstream's (RFC 8628), which nobody else gets to see.
type request struct {
	Verifier string `json:"v,omitempty"`
	Nonce    string `json:"n,omitempty"`
	Device   string `json:"d,omitempty"`
	// Of a consent that was begun in our pages:
	Session   []byte `json:"s,omitempty"` // the SHA-256 of the session's secret: it completes in no other
	Return    string `json:"u,omitempty"` // where the person goes afterwards
	Confirmed bool   `json:"c,omitempty"` // the person wants this account beside the one that is connected, or the app has confirmed it
	// Of a consent that a connect link was opened with, Session is of the link's own cookie:
	State  string     `json:"st,omitempty"` // as it is sent upstream, for a second press of the button
	Result []byte     `json:"rs,omitempty"` // the SHA-256 of what the app confirms with; none where it need not
	User   *consenter `json:"us,omitempty"` // who consented, once the person has returned
}

// exchanged is what a code was exchanged for, until it has an owner. The
// id_token is kept for as long as that takes, since only it carries the nonce.
type exchanged struct {
	pair
	ID               string        `json:"i,omitempty"`
	Scopes           []string      `json:"s,omitzero"` // none granted is not the same as not said
	Missing          []string      `json:"m,omitempty"`
	ScopesCut        bool          `json:"sc,omitempty"`
	ExpiresIn        time.Duration `json:"e,omitempty"`
	RefreshExpiresIn time.Duration `json:"re,omitempty"`
	// Theirs says that the token which lives longest was brought by its owner, who may
	// be using it elsewhere: it is not ours to revoke while it has no owner here.
	Theirs bool `json:"th,omitempty"`
	// SentAt is the database's time when the code was sent: lives count from then.
	SentAt time.Time `json:"t"`
}

func newExchanged(t providers.Tokens, sent time.Time) exchanged {
	return exchanged{
		pair: pair{t.Access.Reveal(), t.Refresh.Reveal()}, ID: t.ID.Reveal(), Scopes: t.Scopes, Missing: t.Missing,
		ScopesCut: slices.Contains(t.Flags, providers.FlagScopesCut), ExpiresIn: t.ExpiresIn, RefreshExpiresIn: t.RefreshExpiresIn, SentAt: sent,
	}
}

func (e exchanged) tokens() providers.Tokens {
	t := e.pair.tokens()
	t.ID, t.Scopes, t.ExpiresIn, t.RefreshExpiresIn = models.Secret(e.ID), e.Scopes, e.ExpiresIn, e.RefreshExpiresIn
	return t
}

// openExchanged opens what a flow's code was exchanged for. What was sealed before
// scopes were made fit for SQL is made so here (T3).
func (s *Service) openExchanged(f models.Flow) (exchanged, error) {
	var e exchanged
	if err := s.openJSON(flowOwner(f, "tokens"), f.SealedTokens, &e); err != nil {
		return exchanged{}, err
	}
	var cut bool
	e.Scopes, cut = providers.FitScopes(e.Scopes)
	e.ScopesCut = e.ScopesCut || cut
	return e, nil
}

func flowOwner(f models.Flow, part string) secrets.Owner {
	return secrets.FlowOwner(f.ID, part, f.OrgID, f.UserID, f.ProviderID)
}

func (s *Service) sealJSON(o secrets.Owner, v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return s.keys.Seal(o, plain)
}

// openJSON opens what sealJSON made.
func (s *Service) openJSON(o secrets.Owner, sealed []byte, v any) error {
	plain, err := s.keys.Open(o, sealed)
	if err == nil {
		err = json.Unmarshal(plain, v)
	}
	return unopened(err)
}

// unopened is about a row that does not open. That is our trouble, not the
// person's: 503 and an alert, never a change of status (K2).
func unopened(err error) error {
	if err == nil {
		return nil
	}
	return &models.Error{Code: models.CodeUnavailable, RetryAfter: tryKeyset, Err: err,
		Message: "A stored secret cannot be opened with this keyset. An operator must restore the right keyset."}
}

func undecryptable(err error) bool { return errors.Is(err, secrets.ErrUndecryptable) }

// unsealedClient is a provider as an OAuth client, without its secret. No scopes
// means the type's own.
func unsealedClient(p models.Provider) providers.Client {
	c := providers.Client{Owner: p.OrgID, Type: p.Type, ID: p.ClientID, Host: p.Metadata.Host, SkipConsent: p.SkipConsent, Config: p.Config}
	if len(p.Scopes) > 0 {
		c.Scopes = p.Scopes
	}
	return c
}

// clientSecret opens a provider's client secret, "" for a public client.
func (s *Service) clientSecret(ctx context.Context, in *store.Store, p models.Provider) (models.Secret, error) {
	config, err := in.ProviderSecret(ctx, p)
	if err != nil {
		return "", fmt.Errorf("loading the client secret of provider %s: %w", p.ID, err)
	}
	secret, _, err := s.openSecret(p, config)
	return secret, err
}
