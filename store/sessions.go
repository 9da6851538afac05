package store

import (
	"context"
	"time"
)

// Session returns what a living session keeps, ErrNotFound when there is none.
func (s *Store) Session(ctx context.Context, tokenHash []byte) ([]byte, error) {
	var data [][]byte
	err := s.db.WithContext(ctx).Table("sessions").
		Where("token_hash = ? AND expires_at > ?", tokenHash, s.now()).Pluck("data", &data).Error
	if err == nil && len(data) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return data[0], nil
}

// SaveSession keeps a session for the given time, in place of what it kept
// before.
func (s *Store) SaveSession(ctx context.Context, tokenHash, data []byte, life time.Duration) error {
	// The time comes first because gorm takes bytes behind a parenthesis for a list.
	return s.db.WithContext(ctx).Exec(`INSERT INTO sessions (expires_at, token_hash, data) VALUES (?, ?, ?)
		ON CONFLICT (token_hash) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at`,
		s.in(life), tokenHash, data).Error
}

// EndSession deletes a session.
func (s *Store) EndSession(ctx context.Context, tokenHash []byte) error {
	return s.db.WithContext(ctx).Exec("DELETE FROM sessions WHERE token_hash = ?", tokenHash).Error
}

// ForgetSessions deletes at most limit sessions that are over for longer than the retention.
func (s *Store) ForgetSessions(ctx context.Context, retention time.Duration, limit int) (int64, error) {
	return s.forget(ctx, "sessions", "expires_at", "", retention, limit)
}
