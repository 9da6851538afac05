package store

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
)

// Shown is a credential whose access token somebody shows: the present one, or the one before, which lives until then.
type Shown struct {
	AuthorizationID string
	PreviousUntil   *time.Time // nil for the present one
}

// ByAccessMAC finds the credentials of an access token that has one of these MACs, and is or was handed out and has not
// expired since. As many as may be: what keeps two authorizations from having the same token is the upstream. It is two
// statements, because a UNION has no types of columns on SQLite, which are what its times are read by.
func (s *Store) ByAccessMAC(ctx context.Context, macs [][]byte) ([]Shown, error) {
	var present, former []Shown
	err := s.db.WithContext(ctx).Raw("SELECT authorization_id FROM credentials WHERE access_mac IN ? LIMIT 100", macs).Scan(&present).Error
	if err == nil {
		err = s.db.WithContext(ctx).Raw("SELECT authorization_id, previous_until FROM credentials WHERE previous_mac IN ? AND previous_until > ? LIMIT 100", macs, s.now()).Scan(&former).Error
	}
	return append(present, former...), err
}

// SetAccessMAC notes what the access token of a sealed pair is found by, unless the pair is no longer that one.
func (s *Store) SetAccessMAC(ctx context.Context, credential string, sealed, mac []byte) error {
	return s.db.WithContext(ctx).Exec("UPDATE credentials SET access_mac = ? WHERE id = ? AND sealed = ?", mac, credential, sealed).Error
}

// WithoutAccessMAC returns credentials that were saved before their access token was found by anything.
func (s *Store) WithoutAccessMAC(ctx context.Context, limit int) ([]SealedCredential, error) {
	var all []SealedCredential
	return all, s.db.WithContext(ctx).Raw("SELECT "+s.columns("a", models.Authorization{})+`, c.sealed FROM credentials c JOIN authorizations a ON a.id = c.authorization_id
		WHERE c.access_mac IS NULL ORDER BY c.id LIMIT ?`, limit).Scan(&all).Error
}
