package broker

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// AgentQuery asks for the caller's token at one provider, named by its id or slug,
// or by the https URL of a git repository that its tokens are for.
type AgentQuery struct{ ID, Match string }

// AgentToken is a token as git takes it, or where to go to get one.
type AgentToken struct {
	URL                string // where the person connects; "" when there is a token
	Access             models.Secret
	Type               string
	Username, Password models.Secret // what git sends; the token may be either
	ExpiresAt          *time.Time
}

// AgentToken returns the caller's token, refreshed if need be. Where there is no
// link, or one that only a new consent can repair, it says where to connect.
func (s *Service) AgentToken(ctx context.Context, c models.Caller, q AgentQuery) (AgentToken, error) {
	p, err := s.asked(context.WithoutCancel(ctx), c, q)
	if err != nil {
		return AgentToken{}, err
	}
	l, err := s.latestLink(ctx, c, p.ID)
	if err == nil {
		var t Token
		if t, err = s.Token(ctx, c, l.Authorization.ID, 0); err == nil {
			return s.forGit(p, t), nil
		}
	}
	code := models.CodeOf(err)
	if store.IsNotFound(err) || code == models.CodeGone || code == models.CodeForbidden || code == models.CodeNotFound {
		return AgentToken{URL: s.ConnectURL(p.ID)}, nil
	}
	return AgentToken{}, err
}

// forGit puts a token where git looks for it.
func (s *Service) forGit(p models.Provider, t Token) AgentToken {
	answer := AgentToken{Access: t.Access, Type: p.Type, Username: t.Access, ExpiresAt: t.ExpiresAt}
	if typ, ok := s.at(p).Traits(); ok && typ.GitUser != "" {
		answer.Username, answer.Password = models.Secret(typ.GitUser), t.Access
	}
	return answer
}

// ConnectURL is where a person connects an account at a provider, in a browser.
func (s *Service) ConnectURL(provider string) string {
	return s.publicURL + "/external-auth/" + provider + "/callback"
}

// AwaitAgentToken is AgentToken for a client that listens: it answers when there
// is a token, and with 404 and "authorization_pending" when ctx ends before, or a
// minute is over. An answer without a token would look to such clients like one.
func (s *Service) AwaitAgentToken(ctx context.Context, c models.Caller, q AgentQuery) (AgentToken, error) {
	t, err := s.AgentToken(context.WithoutCancel(ctx), c, q)
	if err != nil || t.URL == "" {
		return t, err
	}
	leave, err := s.beginWaiting(c)
	if err != nil {
		return AgentToken{}, err
	}
	defer leave()
	p, err := s.asked(context.WithoutCancel(ctx), c, q)
	if err != nil {
		return AgentToken{}, err
	}
	patience, cancel := context.WithTimeout(ctx, agentWait)
	defer cancel()
	s.log.Debug("a client listens for a link", "user", c.UserID)
	id := c.OrgID + "/" + c.UserID + "/" + p.ID
	poller, seen := s.links.join(id, func() *poller[bool] { return newPoller(s.linkWorks(c, p.ID), equal, nil) })
	defer s.links.leave(id, poller)
	for {
		now, err := poller.await(patience, func(now snapshot[bool]) bool { return now.poll > seen && (now.row || now.err != nil) })
		if err != nil {
			return AgentToken{}, &models.Error{Code: models.CodeNotFound, Detail: "authorization_pending",
				Message: "Nothing is connected yet. Connect at " + t.URL + ", and ask again."}
		}
		seen = now.poll
		if t, err = s.AgentToken(context.WithoutCancel(ctx), c, q); err != nil || t.URL == "" {
			return t, err
		}
	}
}

func equal(a, b bool) bool { return a == b }

// linkWorks asks whether a user has a link at a provider that works, as far as is
// known without the upstream, for all who listen for it.
func (s *Service) linkWorks(c models.Caller, provider string) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		if _, err := s.activeProvider(ctx, c, provider); err != nil {
			return false, err
		}
		l, err := s.latestLink(ctx, c, provider)
		if store.IsNotFound(err) {
			return false, nil
		}
		return err == nil && l.Authenticated(), err
	}
}

// asked finds the one provider that is meant. Two that fit are a conflict: which
// of two tokens goes to a host is not for the order of a list to decide.
func (s *Service) asked(ctx context.Context, c models.Caller, q AgentQuery) (models.Provider, error) {
	switch {
	case (q.ID == "") == (q.Match == ""):
		return models.Provider{}, models.Errorf(models.CodeBadRequest, "Give either id or match.")
	case q.ID != "":
		return s.activeProvider(ctx, c, q.ID)
	}
	repository, err := providers.ParseGitURL(q.Match)
	if err != nil {
		return models.Provider{}, models.Errorf(models.CodeBadRequest, "match: %s", err)
	}
	all, err := s.store.UsableProviders(ctx, c.OrgID)
	if err != nil {
		return models.Provider{}, err
	}
	return s.theOne(within(c, all), repository)
}

func (s *Service) theOne(all []models.Provider, repository providers.GitURL) (models.Provider, error) {
	var fitting []models.Provider
	for _, p := range all {
		if s.at(p).Matches(repository) {
			fitting = append(fitting, p)
		}
	}
	switch len(fitting) {
	case 0:
		return models.Provider{}, models.Errorf(models.CodeNotFound, "No provider is set up for this git URL.")
	case 1:
		return fitting[0], nil
	}
	return models.Provider{}, models.Errorf(models.CodeConflict,
		"Several providers fit this git URL, %s and %s among them. Ask by id, or have an admin set config.match so that only one fits.", fitting[0].Slug, fitting[1].Slug)
}
