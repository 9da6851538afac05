package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/grantd/grantd/models"
)

// InsertConnectLink keeps a new connect link, which can be opened for the given time, or until the token ends that it is
// made with.
func (s *Store) InsertConnectLink(ctx context.Context, l *models.ConnectLink, life time.Duration) error {
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	l.CreatedAt, l.ExpiresAt = now, now.Add(life)
	if end := l.TokenEndsAt; end != nil && end.Before(l.ExpiresAt) {
		l.ExpiresAt = *end
	}
	return s.db.WithContext(ctx).Create(l).Error
}

// ConnectLink returns the link with this id, with its status, and its flow, which is nil where there is none.
func (s *Store) ConnectLink(ctx context.Context, id string) (models.ConnectLink, *models.Flow, error) {
	return s.connectLink(ctx, "id = ?", id)
}

// ConnectLinkByKey returns the link whose address ends with what has this SHA-256, like ConnectLink.
func (s *Store) ConnectLinkByKey(ctx context.Context, keyHash []byte) (models.ConnectLink, *models.Flow, error) {
	return s.connectLink(ctx, "key_hash = ?", keyHash)
}

// ConnectLinkOfState returns the link whose flow has this state at the provider, like ConnectLink. The state is our own
// random text, so that nobody chooses one that another link has.
func (s *Store) ConnectLinkOfState(ctx context.Context, provider string, stateHash []byte) (models.ConnectLink, *models.Flow, error) {
	return s.connectLink(ctx, "flow_id IN (SELECT id FROM flows WHERE provider_id = ? AND channel = ? AND state_hash = ?)", provider, models.ChannelLink, stateHash)
}

func (s *Store) connectLink(ctx context.Context, where string, args ...any) (models.ConnectLink, *models.Flow, error) {
	var l models.ConnectLink
	if err := s.db.WithContext(ctx).Where(where, args...).Take(&l).Error; err != nil {
		return l, nil, found(err, "Connect link")
	}
	var flow *models.Flow
	if l.FlowID != nil {
		f, err := s.Flow(ctx, *l.FlowID)
		if err != nil && !IsNotFound(err) {
			return l, nil, err
		}
		if err == nil {
			flow = &f
		}
	}
	now, err := s.Now(ctx)
	return l.At(now, flow), flow, err
}

// ConnectLinkFilter says which links to list. Empty fields do not filter.
type ConnectLinkFilter struct {
	UserID, ProviderID string
	MadeBy             string   // whose API token they were made with
	Within             []string // ids of the providers that the caller is limited to, nil for no limit
	Open               bool     // only those that may still connect
}

// stillOpen are the links whose status is open, begun or returned, as ConnectLink.At tells it.
const stillOpen = `ended = '' AND (
	(token_ends_at IS NULL OR token_ends_at > ?) AND (flow_id IS NULL AND expires_at > ?
		OR EXISTS (SELECT 1 FROM flows WHERE flows.id = flow_id AND flows.status IN ('open', 'exchanged') AND flows.expires_at > ?))
	OR EXISTS (SELECT 1 FROM flows WHERE flows.id = flow_id AND flows.status = 'claimed'))`

// ConnectLinks returns a page of an organisation's links, the newest first, each with its status.
func (s *Store) ConnectLinks(ctx context.Context, org string, f ConnectLinkFilter, after *Position, limit int) ([]models.ConnectLink, error) {
	q := s.db.WithContext(ctx).Where("org_id = ?", org)
	for _, is := range []struct{ column, value string }{{"user_id", f.UserID}, {"provider_id", f.ProviderID}, {"made_by", f.MadeBy}} {
		if is.value != "" {
			q = q.Where(is.column+" = ?", is.value)
		}
	}
	if f.Within != nil {
		q = q.Where("provider_id IN ?", f.Within)
	}
	if f.Open {
		q = q.Where(stillOpen, s.now(), s.now(), s.now())
	}
	links, err := page[models.ConnectLink](q, after, true, limit)
	if err != nil || len(links) == 0 {
		return links, err
	}
	return links, s.tellStatuses(ctx, links)
}

// tellStatuses gives links their statuses.
func (s *Store) tellStatuses(ctx context.Context, links []models.ConnectLink) error {
	var ids []string
	for _, l := range links {
		if l.FlowID != nil {
			ids = append(ids, *l.FlowID)
		}
	}
	flows := map[string]*models.Flow{}
	if len(ids) > 0 {
		var all []models.Flow
		if err := s.db.WithContext(ctx).Where("id IN ?", ids).Find(&all).Error; err != nil {
			return err
		}
		for i := range all {
			flows[all[i].ID] = &all[i]
		}
	}
	now, err := s.Now(ctx)
	for i, l := range links {
		var f *models.Flow
		if l.FlowID != nil {
			f = flows[*l.FlowID]
		}
		links[i] = l.At(now, f)
	}
	return err
}

// BeginConnectLink opens a link with a flow, and reports whether it could still be opened: once, and in its time.
func (s *Store) BeginConnectLink(ctx context.Context, id, flow string) (bool, error) {
	return changed(s.unended(ctx).Where("id = ? AND flow_id IS NULL AND expires_at > ?", id, s.now()).Update("flow_id", flow))
}

// EndConnectLink writes down how a link ended without a connection, and reports whether it had not ended before.
func (s *Store) EndConnectLink(ctx context.Context, id string, how models.LinkEnd) (bool, error) {
	return changed(s.unended(ctx).Where("id = ?", id).Update("ended", how))
}

// FinishConnectLink ends the link of a flow with a connection, unless it has ended before, or the token has that it was made
// with. replaces is the authorization that was the user's default until then, nil for none.
func (s *Store) FinishConnectLink(ctx context.Context, flow string, replaces *string) (bool, error) {
	return changed(s.unended(ctx).Where("flow_id = ? AND (token_ends_at IS NULL OR token_ends_at > ?)", flow, s.now()).Updates(map[string]any{"ended": models.LinkDone, "replaces": replaces}))
}

// EndConnectLinksOf ends the links of a user that have not ended, and returns them.
func (s *Store) EndConnectLinksOf(ctx context.Context, org, user string, how models.LinkEnd) ([]models.ConnectLink, error) {
	var ended []models.ConnectLink
	return ended, s.unended(ctx).Clauses(returning(s.db, ended)).Where("org_id = ? AND user_id = ?", org, user).Model(&ended).Update("ended", how).Error
}

func (s *Store) unended(ctx context.Context) *gorm.DB {
	return s.db.WithContext(ctx).Model(&models.ConnectLink{}).Where("ended = ''")
}

// OpenConnectLinks counts the links that nobody has opened yet: of an organisation, and of them those that were made by
// somebody for a user.
func (s *Store) OpenConnectLinks(ctx context.Context, org, madeBy, user string) (ofOrg, ofUser int, err error) {
	err = scanRow(s.db.WithContext(ctx).Raw(`SELECT count(*), coalesce(sum(CASE WHEN made_by = ? AND user_id = ? THEN 1 ELSE 0 END), 0)
		FROM connect_links WHERE org_id = ? AND flow_id IS NULL AND ended = '' AND expires_at > ?`, madeBy, user, org, s.now()), &ofOrg, &ofUser)
	return ofOrg, ofUser, err
}

// ForgetConnectLinks deletes at most limit links that are over for longer than the retention, if their flows are deleted
// too: until then these tell how the links ended.
func (s *Store) ForgetConnectLinks(ctx context.Context, retention time.Duration, limit int) (int64, error) {
	return s.forget(ctx, "connect_links", "expires_at", " AND (flow_id IS NULL OR NOT EXISTS (SELECT 1 FROM flows WHERE flows.id = flow_id))", retention, limit)
}
