package broker

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// API tokens are made on the command line, by people with access to the database, and by
// admins over the API. What an admin makes never exceeds the API token that it is made
// with, and keeps the id of that one (A6).

const tokenPrefix = "grd_"

// NewAPIToken is what an API token is asked for with.
type NewAPIToken struct {
	OrgID, UserID string
	Role          models.Role
	Name          string        // for people; may be empty
	Life          time.Duration // 0 means that it does not expire, unless ExpiresAt is given
	ExpiresAt     *time.Time
	Providers     []string // ids or slugs of those that it is limited to; none for no limit, which a service must have
	ReturnOrigins []string // where connect links that are made with it may send people back to
}

// CreateAPIToken makes an API token and returns it in plain text, once. It is the
// command line's: anybody with access to the database may use it.
func (s *Service) CreateAPIToken(ctx context.Context, n NewAPIToken) (models.APIToken, models.Secret, error) {
	if err := n.Validate(); err != nil {
		return models.APIToken{}, "", err
	}
	return s.issue(ctx, newID(), n, func(*store.Store, *models.APIToken) (models.AuditEvent, error) { return models.AuditEvent{}, nil })
}

// MakeAPIToken makes an API token for an admin, with that admin's own or in a session of the pages: for the admin,
// or for a machine; of another role than user only where the operator allows it.
func (s *Service) MakeAPIToken(ctx context.Context, c models.Caller, n NewAPIToken) (models.APIToken, models.Secret, error) {
	return s.makeAPIToken(ctx, c, newID(), n)
}

// MakeAPITokenOnce is MakeAPIToken for a form. Sent again, the form makes nothing more: the API token that it made was
// shown then, and is not kept.
func (s *Service) MakeAPITokenOnce(ctx context.Context, c models.Caller, form string, n NewAPIToken) (models.APIToken, models.Secret, error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return models.APIToken{}, "", err
	}
	id, err := madeBy(c, form)
	if err != nil {
		return models.APIToken{}, "", err
	}
	_, err = s.store.APIToken(ctx, id)
	if store.IsNotFound(err) {
		var t models.APIToken
		var token models.Secret
		if t, token, err = s.makeAPIToken(ctx, c, id, n); !errors.Is(err, store.ErrDuplicate) {
			return t, token, err
		}
		err = nil
	}
	if err == nil {
		err = errTokenShown
	}
	return models.APIToken{}, "", err
}

var errTokenShown = models.Errorf(models.CodeConflict, "This form was sent before, and its API token was shown then. If nobody kept it, revoke it and make another.")

func (s *Service) makeAPIToken(ctx context.Context, c models.Caller, id string, n NewAPIToken) (models.APIToken, models.Secret, error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return models.APIToken{}, "", err
	}
	n.OrgID = c.OrgID
	if n.UserID == "" {
		n.UserID = c.UserID
	}
	if err := n.Validate(); err != nil {
		return models.APIToken{}, "", err
	}
	if err := s.mayMake(c, n); err != nil {
		return models.APIToken{}, "", err
	}
	return s.issue(ctx, id, n, func(tx *store.Store, t *models.APIToken) (models.AuditEvent, error) {
		e := models.AuditEvent{TokenID: c.TokenID, Actor: actorOn(*t, c)}
		return e, s.boundByMaker(ctx, tx, c, t)
	})
}

// TokenRoles are the roles of which admins may make API tokens.
func (s *Service) TokenRoles() []models.Role {
	if s.tokensByAdmins {
		return []models.Role{models.RoleUser, models.RoleService, models.RoleAdmin}
	}
	return []models.Role{models.RoleUser}
}

// mayMake says why an admin may not make such an API token.
func (s *Service) mayMake(c models.Caller, n NewAPIToken) error {
	switch {
	case n.UserID != c.UserID && !models.IsMachine(n.UserID):
		return models.Errorf(models.CodeForbidden, "Over the API an admin makes API tokens for itself, and for machines, whose names begin with app-. A token for somebody else is made on the command line.")
	case n.Role != models.RoleUser && !s.tokensByAdmins:
		return models.Errorf(models.CodeForbidden, "Over the API only tokens of the role user are made, unless the operator sets GRANTD_TOKENS_BY_ADMINS.")
	}
	return nil
}

// boundByMaker reads again what an API token is made with, an API token or a session of the pages, and keeps anybody from
// revoking or ending it until the transaction ends: one that was ended in the meantime makes nothing. What is made in a
// session that was begun with an API token is bound as if it were made with that one.
func (s *Service) boundByMaker(ctx context.Context, tx *store.Store, c models.Caller, t *models.APIToken) error {
	maker, session := c.TokenID, models.BrowserSession{}
	if id, in := strings.CutPrefix(c.TokenID, models.SessionOrigin); in {
		var err error
		session, err = tx.LockSession(ctx, id, s.sessions.idle())
		switch {
		case store.IsNotFound(err):
			return ErrSignedOut
		case err != nil:
			return err
		}
		maker = session.APITokenID
	}
	if maker == "" {
		return s.boundBySignIn(session, t)
	}
	return boundByToken(ctx, tx, maker, t)
}

// boundBySignIn is for what is made by somebody who signed in at the issuer. Their session ends within hours, and nothing
// else bounds the API token: it has an end of its own.
func (s *Service) boundBySignIn(session models.BrowserSession, t *models.APIToken) error {
	if session.Issuer != s.signIn.Name {
		return ErrSignedOut
	}
	if t.ExpiresAt == nil || t.ExpiresAt.After(t.CreatedAt.Add(longestOfSignIn)) {
		return models.Invalid(models.FieldError{Name: "expiresAt", Message: "must be at most 90 days from now, because this API token is made by somebody who signed in at the issuer"})
	}
	if len(t.ReturnOrigins) > 0 {
		return errReturnOrigins
	}
	t.MadeBy = session.Origin()
	return onlyUnlimitedAdmins(session.Caller())
}

var errReturnOrigins = models.Invalid(models.FieldError{Name: "returnOrigins", Message: "must be among those of the API token that this one is made with; other ones are given to API tokens on the command line"})

func boundByToken(ctx context.Context, tx *store.Store, id string, t *models.APIToken) error {
	maker, err := tx.LockAPIToken(ctx, id)
	switch {
	case store.IsNotFound(err):
		return models.Errorf(models.CodeForbidden, "API tokens are made with an API token, or by an admin who is signed in to the pages.")
	case err != nil:
		return err
	case !maker.Usable(t.CreatedAt):
		return errBadToken
	}
	t.MadeBy = maker.ID
	for _, o := range t.ReturnOrigins {
		if !slices.Contains(maker.ReturnOrigins, o) {
			return errReturnOrigins
		}
	}
	switch {
	case maker.ExpiresAt == nil:
	case t.ExpiresAt == nil:
		t.ExpiresAt = maker.ExpiresAt
	case t.ExpiresAt.After(*maker.ExpiresAt):
		return models.Invalid(models.FieldError{Name: "expiresAt", Message: "must not be later than the end of the API token that this one is made with, " + maker.ExpiresAt.UTC().Format(time.RFC3339)})
	}
	return onlyUnlimitedAdmins(maker.Caller())
}

// issue keeps a new API token, once complete has filled in the rest of it. complete
// returns who the event names, of which the zero value is the command line.
func (s *Service) issue(ctx context.Context, id string, n NewAPIToken, complete func(*store.Store, *models.APIToken) (models.AuditEvent, error)) (models.APIToken, models.Secret, error) {
	limits, err := s.limitsOf(ctx, n)
	if err != nil {
		return models.APIToken{}, "", err
	}
	t := models.APIToken{ID: id, OrgID: n.OrgID, UserID: n.UserID, Role: n.Role, Name: n.Name, Providers: limits, ReturnOrigins: n.ReturnOrigins, ExpiresAt: n.ExpiresAt}
	token := tokenPrefix + t.ID + "_" + randomText()
	hash := sha256.Sum256([]byte(token))
	t.Hash = hash[:]
	err = s.store.Tx(ctx, func(tx *store.Store) error {
		if t.CreatedAt, err = tx.Now(ctx); err != nil {
			return err
		}
		if n.Life > 0 {
			end := t.CreatedAt.Add(n.Life)
			t.ExpiresAt = &end
		}
		if t.ExpiresAt != nil && !t.ExpiresAt.After(t.CreatedAt) {
			return models.Invalid(models.FieldError{Name: "expiresAt", Message: "must be in the future"})
		}
		by, err := complete(tx, &t)
		if err != nil {
			return err
		}
		if err := tx.InsertAPIToken(ctx, &t); err != nil {
			return err
		}
		return tx.Audit(ctx, tokenEvent(t, models.ActionTokenCreated, by))
	})
	if err != nil {
		return models.APIToken{}, "", err
	}
	return t, models.Secret(token), nil
}

var roles = []models.Role{models.RoleAdmin, models.RoleUser, models.RoleService}

// MaxLimits is how many providers an API token can be limited to, and how many return origins it can have.
const MaxLimits = 100

// limitsOf are the ids of the providers that an API token is to be limited to.
func (s *Service) limitsOf(ctx context.Context, n NewAPIToken) ([]string, error) {
	var ids []string
	for _, name := range n.Providers {
		p, err := s.namedProvider(ctx, models.Caller{OrgID: n.OrgID}, models.Storable(name))
		switch {
		case models.CodeOf(err) == models.CodeNotFound:
			return nil, models.Invalid(models.FieldError{Name: "providers", Message: fmt.Sprintf("%q is neither the id nor the slug of a provider of the organisation", fmt.Sprintf("%.64s", name))})
		case err != nil:
			return nil, err
		case !slices.Contains(ids, p.ID):
			ids = append(ids, p.ID)
		}
	}
	return ids, nil
}

// Validate reports each field that is wrong, by name.
func (n NewAPIToken) Validate() error {
	var wrong []models.FieldError
	bad := func(name, message string) { wrong = append(wrong, models.FieldError{Name: name, Message: message}) }
	for _, f := range []struct{ name, value string }{{"orgId", n.OrgID}, {"userId", n.UserID}} {
		if !models.ValidIdentity(f.value) {
			bad(f.name, "must be 1 to 128 of the characters A-Z a-z 0-9 . _ @ + -")
		}
	}
	if !slices.Contains(roles, n.Role) {
		bad("role", "must be admin, user or service")
	}
	if n.Role == models.RoleService && len(n.Providers) == 0 {
		bad("providers", "must name the providers that the service may use")
	}
	if len(n.Providers) > MaxLimits {
		bad("providers", fmt.Sprintf("must name at most %d providers", MaxLimits))
	}
	if len(n.ReturnOrigins) > MaxLimits {
		bad("returnOrigins", fmt.Sprintf("must be at most %d origins", MaxLimits))
	}
	for _, o := range n.ReturnOrigins {
		if problem := checkReturnOrigin(o); problem != "" {
			bad("returnOrigins", problem)
			break
		}
	}
	if len(n.Name) > 255 || strings.ContainsRune(n.Name, 0) || !printable(n.Name) {
		bad("name", "must be at most 255 bytes of printable characters")
	}
	if n.Life < 0 {
		bad("expiresAt", "must not be negative")
	}
	if wrong != nil {
		return models.Invalid(wrong...)
	}
	return nil
}

// tokenEvent is about an API token: the event names whose it is, and in its code which
// it is. by has what it was made or ended with, and who did that; on the command line
// that is nobody.
func tokenEvent(t models.APIToken, action models.Action, by models.AuditEvent) models.AuditEvent {
	e := event(t.Caller(), action).code(t.ID).done()
	if by.TokenID != "" {
		e.TokenID, e.Actor = by.TokenID, by.Actor
	}
	return e
}

// actorOn is who does something to an API token, "" for whose it is.
func actorOn(t models.APIToken, c models.Caller) string {
	if t.UserID == c.UserID {
		return ""
	}
	return c.UserID
}

// APITokens returns every API token, without the tokens themselves.
func (s *Service) APITokens(ctx context.Context) ([]models.APIToken, error) {
	return s.store.APITokens(ctx)
}

// APITokenQuery filters and pages a list of API tokens. Empty fields do not filter.
type APITokenQuery struct {
	UserID string
	MadeBy string // the API token that they were made with
	Limit  int    // 0 means 100
	Cursor string
}

// APITokensOf returns a page of the organisation's API tokens, the newest first, for admins.
func (s *Service) APITokensOf(ctx context.Context, c models.Caller, q APITokenQuery) (Page[models.APIToken], error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return Page[models.APIToken]{}, err
	}
	limit, after, err := paging(q.Limit, 100, q.Cursor)
	if err != nil {
		return Page[models.APIToken]{}, err
	}
	rows, err := s.store.APITokensPage(ctx, c.OrgID, q.UserID, q.MadeBy, after, limit+1)
	return cut(rows, limit, after,
		func(t models.APIToken) store.Position { return store.Position{CreatedAt: t.CreatedAt, ID: t.ID} },
		asItIs), err
}

// APITokenOf returns an API token of the organisation, for admins.
func (s *Service) APITokenOf(ctx context.Context, c models.Caller, id string) (models.APIToken, error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return models.APIToken{}, err
	}
	t, err := s.store.APIToken(ctx, id)
	if err == nil && t.OrgID != c.OrgID {
		return models.APIToken{}, store.NotFound("API token")
	}
	return t, err
}

// EndAPIToken revokes an API token of the organisation, for admins, and with it those
// that were made with it, and with those. One that is revoked already stays so.
func (s *Service) EndAPIToken(ctx context.Context, c models.Caller, id string, withMade bool) error {
	if _, err := s.APITokenOf(ctx, c, id); err != nil {
		return err
	}
	_, err := s.endTokens(ctx, id, withMade, func(t models.APIToken) models.AuditEvent {
		return models.AuditEvent{TokenID: c.TokenID, Actor: actorOn(t, c)}
	})
	return err
}

// RevokeAPIToken ends an API token, and withMade all that were made with it, and with
// those. It returns how many had not ended before, and an error for none. It is the
// command line's.
func (s *Service) RevokeAPIToken(ctx context.Context, id string, withMade bool) (int, error) {
	n, err := s.endTokens(ctx, id, withMade, func(models.APIToken) models.AuditEvent { return models.AuditEvent{} })
	if err == nil && n == 0 {
		err = models.Errorf(models.CodeNotFound, "There is no valid API token with the id %q.", fmt.Sprintf("%.64s", id))
	}
	return n, err
}

// endTokens ends API tokens: at once in this process, within ten seconds in the others
// (H1). by tells who ends one.
func (s *Service) endTokens(ctx context.Context, id string, withMade bool, by func(models.APIToken) models.AuditEvent) (int, error) {
	var ended []models.APIToken
	err := s.store.Tx(ctx, func(tx *store.Store) (err error) {
		if ended, err = tx.RevokeAPITokens(ctx, id, withMade); err != nil {
			return err
		}
		var events []models.AuditEvent
		for _, t := range ended {
			events = append(events, tokenEvent(t, models.ActionTokenEnded, by(t)))
		}
		return tx.Audit(ctx, events...)
	})
	if err != nil {
		return 0, err
	}
	for _, t := range ended {
		s.callers.drop(t.ID)
	}
	return len(ended), nil
}
