package store

import "context"

// OpenConsents are how many consents are open.
type OpenConsents struct {
	Org, Caller, Person, Links int // Person: begun in the pages; Links: with connect links
}

// OpenConsents counts the open consents of an organisation, and of one user in it.
// A device's that is being polled is open too; imports are no consents.
func (s *Store) OpenConsents(ctx context.Context, org, user string) (OpenConsents, error) {
	var n OpenConsents
	err := scanRow(s.db.WithContext(ctx).Raw(`SELECT count(*),
		coalesce(sum(CASE WHEN user_id = ? THEN 1 ELSE 0 END), 0),
		coalesce(sum(CASE WHEN user_id = ? AND channel IN ('browser', 'trial') THEN 1 ELSE 0 END), 0),
		coalesce(sum(CASE WHEN user_id = ? AND channel = 'link' THEN 1 ELSE 0 END), 0)
		FROM flows WHERE org_id = ? AND status IN ('open', 'claimed') AND channel <> 'import' AND expires_at > ?`,
		user, user, user, org, s.now()), &n.Org, &n.Caller, &n.Person, &n.Links)
	return n, err
}
