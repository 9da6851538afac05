package broker

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// The external-auth API sees what the OAuth Providers API keeps, through the eyes
// of one user: of each provider one link, which is the authorization that was
// consented to last.

// ExternalProvider is a provider as the external-auth API shows it.
type ExternalProvider struct {
	models.Provider
	providers.Abilities
	Device bool
	Icon   string
}

// ExternalLink is what a user has at a provider.
type ExternalLink struct {
	ProviderID           string
	CreatedAt, UpdatedAt time.Time
	HasRefreshToken      bool
	Expires              *time.Time // of the access token; nil when unknown or never
	Authenticated        bool
	Problem              string // why it is not, for a person
}

// ExternalAccount is a provider, and who the user is there, as the upstream says
// now.
type ExternalAccount struct {
	Provider      ExternalProvider
	Authenticated bool
	User          *models.Account // nil without a link, or when the link is no longer valid
	Installable   bool            // the upstream told where the app is installed
	Installations []models.Installation
}

// ExternalAuths lists the organisation's active providers and the caller's links.
// It asks no upstream: whether a link works is what is known about it, and a token
// that has expired but can be refreshed counts as working.
func (s *Service) ExternalAuths(ctx context.Context, c models.Caller) ([]ExternalProvider, []ExternalLink, error) {
	ps, err := s.store.UsableProviders(ctx, c.OrgID)
	if err != nil {
		return nil, nil, err
	}
	rows, err := s.store.LatestLinks(ctx, c, "")
	if err != nil {
		return nil, nil, err
	}
	shown, links := []ExternalProvider{}, []ExternalLink{}
	for _, p := range within(c, ps) {
		shown = append(shown, s.external(p))
	}
	for _, l := range rows {
		if !l.Provider.DeletionAsked() && c.MayUse(l.Provider.ID) {
			links = append(links, externalLink(l))
		}
	}
	return shown, links, nil
}

func (s *Service) external(p models.Provider) ExternalProvider {
	icon, _ := p.Config["icon"].(string)
	return ExternalProvider{Provider: p, Abilities: s.at(p).Abilities(), Device: s.allowsDevice(p) == nil, Icon: icon}
}

func externalLink(l models.Linked) ExternalLink {
	link := ExternalLink{
		ProviderID: l.Provider.ID, CreatedAt: l.Authorization.CreatedAt, UpdatedAt: l.Credential.SavedAt,
		HasRefreshToken: l.Credential.HasRefreshToken, Expires: l.Credential.ExpiresAt, Authenticated: l.Authenticated(),
	}
	if !link.Authenticated {
		link.Problem = problems[l.Status()]
	}
	return link
}

var problems = map[models.AuthorizationStatus]string{
	models.AuthorizationExpired:              "The authorization has expired or was withdrawn. Connect again.",
	models.AuthorizationInvalidOAuthClient:   "The provider refuses this OAuth client. An admin must correct its client secret.",
	models.AuthorizationInvalidProviderState: "The provider is not active, or no longer the client this was connected to.",
}

// namedProvider finds a provider of the caller's organisation by its id or, if
// nothing has that id, by its slug.
func (s *Service) namedProvider(ctx context.Context, c models.Caller, name string) (models.Provider, error) {
	p, err := s.store.Provider(ctx, name)
	if err == nil && (!maySeeProvider(c, p) || p.DeletionAsked()) {
		err = store.ErrNotFound
	}
	if store.IsNotFound(err) {
		p, err = s.store.ProviderBySlug(ctx, c.OrgID, name)
	}
	if store.IsNotFound(err) || err == nil && !c.MayUse(p.ID) {
		err = errNoExternal
	}
	return p, err
}

// errNoExternal is the answer for an unknown provider and for one without a link
// alike.
var errNoExternal = models.Errorf(models.CodeNotFound, "There is no external auth provider of this name for you, or nothing is connected to it.")

func (s *Service) activeProvider(ctx context.Context, c models.Caller, name string) (models.Provider, error) {
	p, err := s.namedProvider(ctx, c, name)
	if err == nil && !p.Usable() {
		err = errNoExternal
	}
	return p, err
}

// latestLink returns what the caller's link at a provider is, ErrNotFound when it
// has none.
func (s *Service) latestLink(ctx context.Context, c models.Caller, provider string) (models.Linked, error) {
	rows, err := s.store.LatestLinks(ctx, c, provider)
	if err != nil {
		return models.Linked{}, err
	}
	if len(rows) == 0 {
		return models.Linked{}, store.ErrNotFound
	}
	return rows[0], nil
}

// ExternalAuth asks the upstream about the caller's link at an active provider.
// Only an upstream that rejects the token, after a refresh, makes the link not
// authenticated; one that is throttled or down leaves it what it was.
func (s *Service) ExternalAuth(ctx context.Context, c models.Caller, name string) (ExternalAccount, error) {
	p, err := s.activeProvider(ctx, c, name)
	if err != nil {
		return ExternalAccount{}, err
	}
	a := ExternalAccount{Provider: s.external(p), Installations: []models.Installation{}}
	l, err := s.latestLink(ctx, c, p.ID)
	switch {
	case store.IsNotFound(err):
		return a, nil
	case err != nil:
		return a, err
	}
	user, err := s.UserInfo(ctx, c, l.Authorization.ID)
	switch models.CodeOf(err) {
	case "":
		a.Authenticated, a.User = true, accountOf(user)
		if a.Provider.InstallURL != "" {
			a.Installations, a.Installable = s.installations(ctx, c, l.Authorization.ID)
		}
	case models.CodeUpstream:
		if l, err = s.latestLink(ctx, c, p.ID); err == nil && l.Authenticated() {
			a.Authenticated, a.User = true, keptAccount(l.Authorization)
		}
	case models.CodeGone, models.CodeForbidden, models.CodeNotFound:
	default:
		return a, err
	}
	return a, nil
}

// accountOf shows a person by number where the upstream counts its accounts.
func accountOf(u models.User) *models.Account {
	return &models.Account{ID: number(u.Sub), Login: cmp.Or(u.NickName, u.Name), AvatarURL: u.Picture, ProfileURL: u.ProfileURL, Name: u.Name}
}

func keptAccount(a models.Authorization) *models.Account {
	return &models.Account{ID: number(a.Sub), Login: a.Login, AvatarURL: a.Picture}
}

// number is a sub that is a whole number as one, and 0 for any other.
func number(sub string) int64 {
	n, err := strconv.ParseInt(sub, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != sub {
		return 0
	}
	return n
}

// installations lists where an app is installed. Failing is no error: without the
// list the link works as well.
func (s *Service) installations(ctx context.Context, c models.Caller, id string) ([]models.Installation, bool) {
	ctx, cancel := context.WithTimeout(ctx, installationsWait)
	defer cancel()
	all, err := s.askInstallations(ctx, c, id)
	if err != nil {
		s.log.Debug("listing an app's installations failed", "authorization", id, "error", err)
	}
	if err != nil || all == nil {
		return []models.Installation{}, false
	}
	return all, true
}

func (s *Service) askInstallations(ctx context.Context, c models.Caller, id string) ([]models.Installation, error) {
	l, err := s.freshest(ctx, c, id, 0)
	if err != nil {
		return nil, err
	}
	at, p, err := s.opened(ctx, l)
	if err != nil {
		return nil, err
	}
	return at.Installations(ctx, models.Secret(p.Access))
}
