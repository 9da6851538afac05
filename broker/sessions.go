package broker

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Sessions of the pages live in SQL, like everything else that must outlive a process and be seen by all of them. Of the
// token in the cookie only the SHA-256 is kept, and nothing that a session keeps is a secret.

// SessionLife is how long sessions of the pages last: without use, and in all.
type SessionLife struct{ Idle, Whole, AdminIdle, AdminWhole time.Duration }

// DefaultSessionLife is what a running instance uses.
var DefaultSessionLife = SessionLife{Idle: 24 * time.Hour, Whole: 7 * 24 * time.Hour, AdminIdle: time.Hour, AdminWhole: 12 * time.Hour}

func (l SessionLife) withDefaults() SessionLife {
	return SessionLife{
		Idle: cmp.Or(l.Idle, DefaultSessionLife.Idle), Whole: cmp.Or(l.Whole, DefaultSessionLife.Whole),
		AdminIdle: cmp.Or(l.AdminIdle, DefaultSessionLife.AdminIdle), AdminWhole: cmp.Or(l.AdminWhole, DefaultSessionLife.AdminWhole),
	}
}

func (l SessionLife) idle() store.Idle { return store.Idle{User: l.Idle, Admin: l.AdminIdle} }

func (l SessionLife) whole(r models.Role) time.Duration {
	if r == models.RoleAdmin {
		return l.AdminWhole
	}
	return l.Whole
}

// SignedIn is somebody who has proved who they are: with an API token, or at the sign-in issuer.
type SignedIn struct {
	Caller models.Caller
	Issuer string // its name, "" for an API token
	Name   string // what the issuer calls the person, for display
}

// ErrSignedOut is the answer where nobody is signed in.
var ErrSignedOut = models.Errorf(models.CodeUnauthenticated, "Nobody is signed in here, or the session has ended. Sign in, and start again.")

// sessionsShown is how many sessions a list has at most.
const sessionsShown = 100

// BeginSession signs somebody in and returns what the cookie is to hold: a new secret each time, so that one that
// somebody knew before is worth nothing. The session that the browser had ends.
func (s *Service) BeginSession(ctx context.Context, in SignedIn, address string, former models.Secret) (models.Secret, error) {
	switch {
	case in.Caller.IsService():
		return "", errServiceSignIn
	case in.Issuer == "" && strings.HasPrefix(in.Caller.TokenID, issuerPrefix):
		return "", errBearerSignIn
	}
	token := randomText()
	b := models.BrowserSession{ID: newID(), TokenHash: hashOf(token), OrgID: in.Caller.OrgID, UserID: in.Caller.UserID, Role: in.Caller.Role,
		Issuer: in.Issuer, Name: in.Name, Address: address}
	if in.Issuer == "" {
		b.APITokenID = in.Caller.TokenID
	}
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		if err := endedByHash(ctx, tx, former); err != nil {
			return err
		}
		if err := tx.InsertSession(ctx, &b, s.sessions.whole(b.Role)); err != nil {
			return err
		}
		return tx.Audit(ctx, event(in.Caller, models.ActionSignedIn).code(b.ID).done())
	})
	if err != nil {
		return "", err
	}
	return models.Secret(token), nil
}

var errServiceSignIn = models.Errorf(models.CodeForbidden, "This API token belongs to a service, which cannot sign in here. Sign in with your own API token.")

// errBearerSignIn keeps a session from outliving the token that it was begun with.
var errBearerSignIn = models.Errorf(models.CodeForbidden, "A token of a trusted issuer begins no session. Sign in with an API token.")

// Session returns who is signed in with the cookie, and ErrSignedOut where nobody is. It is asked for at each request and
// cached nowhere: a session ends at once when it is ended anywhere, and with the API token or the issuer's setting that it
// was begun with.
func (s *Service) Session(ctx context.Context, token models.Secret) (Visitor, error) {
	if token == "" {
		return Visitor{}, ErrSignedOut
	}
	b, err := s.store.Session(ctx, hashOf(token.Reveal()), s.sessions.idle())
	switch {
	case store.IsNotFound(err):
		return Visitor{}, ErrSignedOut
	case err != nil:
		return Visitor{}, err
	}
	v := Visitor{Session: models.Secret(b.ID), Name: b.Name, SignedInAt: b.CreatedAt}
	v.Caller, err = s.signedIn(ctx, b)
	if models.CodeOf(err) == models.CodeUnauthenticated {
		if err := s.EndSession(ctx, token); err != nil {
			return Visitor{}, err
		}
		return Visitor{}, ErrSignedOut
	}
	return v, err
}

// signedIn tells who a session stands for, as long as that with which it was begun does.
func (s *Service) signedIn(ctx context.Context, b models.BrowserSession) (models.Caller, error) {
	c := b.Caller()
	switch {
	case b.APITokenID != "":
		token, err := s.callerOf(ctx, b.APITokenID)
		token.TokenID = b.Origin()
		return token, err
	case b.Issuer != s.signIn.Name:
		return c, errBadToken
	}
	return c, nil
}

// StillSignedIn is nil while the session lives that somebody came with: it is asked during answers that take long. It does
// not count as a use of the session, which ends as if nobody had it open.
func (s *Service) StillSignedIn(ctx context.Context, v Visitor) error {
	b, err := s.store.SessionNow(ctx, v.Session.Reveal(), s.sessions.idle())
	if err == nil {
		_, err = s.signedIn(ctx, b)
	}
	if store.IsNotFound(err) {
		err = ErrSignedOut
	}
	return err
}

// callerOf tells who an API token stands for, by its id.
func (s *Service) callerOf(ctx context.Context, tokenID string) (models.Caller, error) {
	t, err := s.store.APIToken(ctx, tokenID)
	switch {
	case store.IsNotFound(err):
		return models.Caller{}, errBadToken
	case err != nil:
		return models.Caller{}, err
	case !t.Usable(time.Now()):
		return models.Caller{}, errBadToken
	}
	return t.Caller(), nil
}

// EndSession ends the session of a cookie, if there is one.
func (s *Service) EndSession(ctx context.Context, token models.Secret) error {
	if token == "" {
		return nil
	}
	return s.store.Tx(ctx, func(tx *store.Store) error { return endedByHash(ctx, tx, token) })
}

func endedByHash(ctx context.Context, tx *store.Store, token models.Secret) error {
	if token == "" {
		return nil
	}
	ended, err := tx.EndSession(ctx, hashOf(token.Reveal()))
	if err != nil {
		return err
	}
	return tx.Audit(ctx, endEvents(ended, "")...)
}

// endEvents are about sessions that were ended: by the person, in the session by, or ("") by themselves.
func endEvents(ended []models.BrowserSession, by string) []models.AuditEvent {
	var events []models.AuditEvent
	for _, b := range ended {
		c := b.Caller()
		c.TokenID = cmp.Or(by, c.TokenID)
		events = append(events, event(c, models.ActionSignedOut).code(b.ID).done())
	}
	return events
}

// MySessions returns the living sessions of a person, those used last first.
func (s *Service) MySessions(ctx context.Context, v Visitor) ([]models.BrowserSession, error) {
	return s.store.Sessions(ctx, v.Caller.OrgID, v.Caller.UserID, s.sessions.idle(), sessionsShown)
}

// EndMySession ends one session of a person.
func (s *Service) EndMySession(ctx context.Context, v Visitor, id string) error {
	return s.endSessions(ctx, v.Caller.TokenID, oneSession(ctx, v.Caller.OrgID, v.Caller.UserID, id))
}

// oneSession ends a session that there must be: of one user, or ("") of anybody in the organisation.
func oneSession(ctx context.Context, org, user, id string) func(*store.Store) ([]models.BrowserSession, error) {
	return func(tx *store.Store) ([]models.BrowserSession, error) {
		ended, err := tx.EndOneSession(ctx, org, user, id)
		if err == nil && len(ended) == 0 {
			err = store.NotFound("Session")
		}
		return ended, err
	}
}

// EndMySessions signs a person out everywhere. Consents that they had begun in the pages are void.
func (s *Service) EndMySessions(ctx context.Context, v Visitor) error {
	return s.endSessions(ctx, v.Caller.TokenID, func(tx *store.Store) ([]models.BrowserSession, error) {
		return tx.EndSessions(ctx, v.Caller.OrgID, v.Caller.UserID)
	})
}

func (s *Service) endSessions(ctx context.Context, by string, end func(*store.Store) ([]models.BrowserSession, error)) error {
	return s.store.Tx(ctx, func(tx *store.Store) error {
		ended, err := end(tx)
		if err != nil {
			return err
		}
		return tx.Audit(ctx, endEvents(ended, by)...)
	})
}

// SessionsOf returns the living sessions of a user, or ("") of everybody, in one organisation or ("") in all. Like
// EndSessionsOf it is the command line's: anybody with access to the database may use it.
func (s *Service) SessionsOf(ctx context.Context, org, user string) ([]models.BrowserSession, error) {
	return s.store.Sessions(ctx, org, user, s.sessions.idle(), 1000)
}

// EndSessionsOf ends the sessions of a user, in one organisation or ("") in all, and returns how many there were. What the
// user had begun in the pages is void.
func (s *Service) EndSessionsOf(ctx context.Context, org, user string) (int, error) {
	if user == "" {
		return 0, models.Invalid(models.FieldError{Name: "user", Message: "must name the user whose sessions are to be ended"})
	}
	n := 0
	err := s.endSessions(ctx, "", func(tx *store.Store) ([]models.BrowserSession, error) {
		ended, err := tx.EndSessions(ctx, org, user)
		n = len(ended)
		return ended, err
	})
	return n, err
}
