package store

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/grantd/grantd/models"
)

// Idle is after how long without use a session of the pages ends, by the role of who is signed in.
type Idle struct{ User, Admin time.Duration }

// living are the sessions that are not over.
func (s *Store) living(ctx context.Context, idle Idle) *gorm.DB {
	return s.db.WithContext(ctx).Model(&models.BrowserSession{}).
		Where("expires_at > ?", s.now()).
		Where("last_used_at > CASE WHEN role = ? THEN ? ELSE ? END", models.RoleAdmin, s.in(-idle.Admin), s.in(-idle.User))
}

// InsertSession keeps a new session, which lives for the given time if it is used.
func (s *Store) InsertSession(ctx context.Context, b *models.BrowserSession, life time.Duration) error {
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	b.CreatedAt, b.LastUsedAt, b.ExpiresAt = now, now, now.Add(life)
	return s.db.WithContext(ctx).Create(b).Error
}

// Session returns the living session of a cookie, ErrNotFound where there is none. It notes the use, at most once a
// minute.
func (s *Store) Session(ctx context.Context, tokenHash []byte, idle Idle) (models.BrowserSession, error) {
	var row struct {
		models.BrowserSession
		Unnoted bool
	}
	err := s.living(ctx, idle).Select(s.columns("browser_sessions", models.BrowserSession{})+", last_used_at <= ? AS unnoted", s.in(-time.Minute)).
		Where("token_hash = ?", tokenHash).Take(&row).Error
	if err == nil && row.Unnoted {
		err = s.living(ctx, idle).Where("token_hash = ?", tokenHash).Update("last_used_at", s.now()).Error
	}
	return row.BrowserSession, found(err, "Session")
}

// SessionNow returns the living session of this id, ErrNotFound where there is none. It is no use of the session.
func (s *Store) SessionNow(ctx context.Context, id string, idle Idle) (models.BrowserSession, error) {
	var b models.BrowserSession
	return b, found(s.living(ctx, idle).Where("id = ?", id).Take(&b).Error, "Session")
}

// LockSession is SessionNow for one that nobody ends until this transaction does.
func (s *Store) LockSession(ctx context.Context, id string, idle Idle) (models.BrowserSession, error) {
	q := s.living(ctx, idle)
	if s.dialect.lock != "" {
		q = q.Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate})
	}
	var b models.BrowserSession
	return b, found(q.Where("id = ?", id).Take(&b).Error, "Session")
}

// Sessions returns living sessions, those that were used last first, at most limit: of one user where user is given, of
// one organisation where org is.
func (s *Store) Sessions(ctx context.Context, org, user string, idle Idle, limit int) ([]models.BrowserSession, error) {
	var all []models.BrowserSession
	err := of(s.living(ctx, idle), org, user).Order("last_used_at DESC, id").Limit(limit).Find(&all).Error
	return all, err
}

// SessionsPage returns a page of an organisation's living sessions, the newest first, of one user where user is given.
func (s *Store) SessionsPage(ctx context.Context, org, user string, idle Idle, after *Position, limit int) ([]models.BrowserSession, error) {
	return page[models.BrowserSession](of(s.living(ctx, idle).Where("org_id = ?", org), "", user), after, true, limit)
}

func of(q *gorm.DB, org, user string) *gorm.DB {
	if org != "" {
		q = q.Where("org_id = ?", org)
	}
	if user != "" {
		q = q.Where("user_id = ?", user)
	}
	return q
}

// EndSession deletes the session of a cookie, if there is one, and returns it.
func (s *Store) EndSession(ctx context.Context, tokenHash []byte) ([]models.BrowserSession, error) {
	return endSessions(s.db.WithContext(ctx).Where("token_hash = ?", tokenHash))
}

// EndOneSession deletes a session of an organisation, and of a user where one is given. It returns it where there was one.
func (s *Store) EndOneSession(ctx context.Context, org, user, id string) ([]models.BrowserSession, error) {
	return endSessions(of(s.db.WithContext(ctx).Where("id = ? AND org_id = ?", id, org), "", user))
}

// EndSessions deletes all sessions of a user, in one organisation or ("") in all, and returns them. What the user has
// open in the pages is void from then on.
func (s *Store) EndSessions(ctx context.Context, org, user string) ([]models.BrowserSession, error) {
	err := of(s.db.WithContext(ctx).Model(&models.Flow{}), org, user).
		Where("status = ? AND channel IN ?", models.FlowOpen, []models.Channel{models.ChannelBrowser, models.ChannelTrial, models.ChannelLink}).
		Updates(map[string]any{"status": models.FlowFailed, "failure": "signed_out"}).Error
	if err != nil {
		return nil, err
	}
	return endSessions(of(s.db.WithContext(ctx), org, user))
}

func endSessions(which *gorm.DB) ([]models.BrowserSession, error) {
	var ended []models.BrowserSession
	err := which.Clauses(returning(which, ended)).Delete(&ended).Error
	return ended, err
}

// ForgetSessions deletes at most limit sessions that are over for longer than the retention.
func (s *Store) ForgetSessions(ctx context.Context, retention time.Duration, limit int) (int64, error) {
	return s.forget(ctx, "browser_sessions", "expires_at", "", retention, limit)
}

// ForgetFormerSessions is ForgetSessions for those of the release before.
func (s *Store) ForgetFormerSessions(ctx context.Context, retention time.Duration, limit int) (int64, error) {
	return s.forget(ctx, "sessions", "expires_at", "", retention, limit)
}
