package store

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"

	"github.com/grantd/grantd/models"
)

// InsertFlow keeps a new flow that lives for the given time. ErrDuplicate means
// that its owner used the same state for the same provider before.
func (s *Store) InsertFlow(ctx context.Context, f *models.Flow, life time.Duration) error {
	return s.Tx(ctx, func(tx *Store) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		f.CreatedAt, f.ExpiresAt = now, now.Add(life)
		if next := now.Add(f.PollInterval); f.PollInterval > 0 {
			f.NextPollAt = &next
		}
		err = taken(tx.db.Create(f).Error, models.Error{Message: "This state was used before."})
		if err == nil && s.observer.FlowBegun != nil {
			tx.committed(func() { s.observer.FlowBegun(f.Channel) })
		}
		return err
	})
}

// Flow returns the flow with this id.
func (s *Store) Flow(ctx context.Context, id string) (models.Flow, error) {
	var f models.Flow
	return f, found(s.db.WithContext(ctx).First(&f, "id = ?", id).Error, "Flow")
}

// FlowByState finds a flow the only way there is (A2). The second result says
// whether its time is over.
func (s *Store) FlowByState(ctx context.Context, c models.Caller, provider string, stateHash []byte) (models.Flow, bool, error) {
	f, now, err := s.FlowAndTime(ctx, c, provider, stateHash)
	return f, !now.Before(f.ExpiresAt), err
}

// FlowAndTime is FlowByState with the database's time instead of a judgement.
func (s *Store) FlowAndTime(ctx context.Context, c models.Caller, provider string, stateHash []byte) (models.Flow, time.Time, error) {
	var f models.Flow
	err := s.db.WithContext(ctx).First(&f, "org_id = ? AND user_id = ? AND provider_id = ? AND state_hash = ?",
		c.OrgID, c.UserID, provider, stateHash).Error
	if err != nil {
		return f, time.Time{}, found(err, "Flow")
	}
	now, err := s.Now(ctx)
	return f, now, err
}

// AnyFlowOfState reports whether a living flow of the provider has this state and
// was begun on the channel, by anybody. It reveals nothing else.
func (s *Store) AnyFlowOfState(ctx context.Context, provider string, channel models.Channel, stateHash []byte) (bool, error) {
	var n int64
	err := s.db.WithContext(ctx).Model(&models.Flow{}).
		Where("state_hash = ? AND provider_id = ? AND channel = ? AND expires_at > ?", stateHash, provider, channel, s.now()).Count(&n).Error
	return n > 0, err
}

// AmendRequest replaces what a living flow keeps to itself, unless somebody else
// did meanwhile.
func (s *Store) AmendRequest(ctx context.Context, f models.Flow, sealed []byte) (bool, error) {
	return changed(s.db.WithContext(ctx).Model(&models.Flow{}).
		Where("id = ? AND sealed = ? AND expires_at > ?", f.ID, f.Sealed, s.now()).Update("sealed", sealed))
}

func (s *Store) flow(ctx context.Context, id string, from ...models.FlowStatus) *gorm.DB {
	return s.db.WithContext(ctx).Model(&models.Flow{}).Where("id = ? AND status IN ?", id, from)
}

// ClaimFlow spends an open flow on one code, and reports whether it was open.
func (s *Store) ClaimFlow(ctx context.Context, id string, codeHash []byte) (bool, error) {
	return changed(s.flow(ctx, id, models.FlowOpen).Where("expires_at > ?", s.now()).
		Updates(map[string]any{"status": models.FlowClaimed, "code_hash": codeHash, "claimed_at": s.now()}))
}

// SaveExchange keeps what a claimed flow's code was exchanged for, however late:
// meanwhile the flow may have failed, or a device's be open for the next poll. A
// connect link's flow lives for another linkLife from then on, or until the token ends that the link was made with.
func (s *Store) SaveExchange(ctx context.Context, id string, sealedTokens []byte, linkLife time.Duration) (bool, error) {
	return changed(s.flow(ctx, id, models.FlowOpen, models.FlowClaimed, models.FlowFailed).
		Where("exchanged_at IS NULL AND (status <> ? OR channel = ?)", models.FlowOpen, models.ChannelDevice).
		Updates(map[string]any{"status": models.FlowExchanged, "sealed_tokens": sealedTokens, "exchanged_at": s.now(), "failure": "",
			"expires_at": gorm.Expr(`CASE WHEN channel <> ? OR user_revoked THEN expires_at
				ELSE COALESCE((SELECT token_ends_at FROM connect_links WHERE flow_id = flows.id AND token_ends_at < ?), ?) END`,
				models.ChannelLink, s.in(linkLife), s.in(linkLife))}))
}

// FinishFlow gives an exchanged flow's tokens their owner and forgets them here.
func (s *Store) FinishFlow(ctx context.Context, id, authorization string) (bool, error) {
	r := s.flow(ctx, id, models.FlowExchanged).
		Updates(map[string]any{"status": models.FlowDone, "authorization_id": authorization, "sealed_tokens": nil, "failure": ""})
	s.flowsEnded(models.FlowExchanged, "", r.RowsAffected)
	return changed(r)
}

// FailFlow ends a flow that is in one of the given states, with a reason that is
// a code.
func (s *Store) FailFlow(ctx context.Context, id, reason string, from ...models.FlowStatus) (bool, error) {
	r := s.flow(ctx, id, from...).
		Updates(map[string]any{"status": models.FlowFailed, "failure": reason, "sealed_tokens": nil})
	s.flowsEnded(from[0], reason, r.RowsAffected)
	return changed(r)
}

// RevokeFlowsOf ends what a user has under way, of whatever channel: consents that have not come back fail, and those whose
// code is being exchanged, or was, become no authorization: their time is over, so that a sweep revokes what they bring.
func (s *Store) RevokeFlowsOf(ctx context.Context, org, user string) error {
	under := func(status ...models.FlowStatus) *gorm.DB {
		return s.db.WithContext(ctx).Model(&models.Flow{}).Where("org_id = ? AND user_id = ? AND status IN ?", org, user, status)
	}
	open := under(models.FlowOpen).Updates(map[string]any{"user_revoked": true, "status": models.FlowFailed, "failure": models.FailureUserRevoked})
	s.flowsEnded(models.FlowOpen, models.FailureUserRevoked, open.RowsAffected)
	begun := under(models.FlowClaimed, models.FlowExchanged).Updates(map[string]any{"user_revoked": true, "expires_at": s.now()})
	return errors.Join(open.Error, begun.Error)
}

// LockFlow returns a flow that nobody changes until this transaction ends.
func (s *Store) LockFlow(ctx context.Context, id string) (models.Flow, error) {
	return lockRow[models.Flow](ctx, s, "flows", id, "Flow")
}

// ForgetFlow deletes a flow that is in the given state, so that the same state can be
// used again.
func (s *Store) ForgetFlow(ctx context.Context, id string, in models.FlowStatus) error {
	return s.db.WithContext(ctx).Where("id = ? AND status = ?", id, in).Delete(&models.Flow{}).Error
}

// DeliverFlow marks a finished flow's result as handed over, once.
func (s *Store) DeliverFlow(ctx context.Context, id string) (bool, error) {
	return changed(s.flow(ctx, id, models.FlowDone).Where("delivered_at IS NULL AND expires_at > ?", s.now()).
		Update("delivered_at", s.now()))
}

// LapseFlows fails the flows whose code was sent so long ago that no answer can
// come any more, and those never completed in their time. A device's code may be
// sent again: such a flow is open again until its time is over.
func (s *Store) LapseFlows(ctx context.Context, claimedFor time.Duration) error {
	stale := func(device string) *gorm.DB {
		return s.db.WithContext(ctx).Model(&models.Flow{}).
			Where("status = 'claimed' AND claimed_at <= ?", s.in(-claimedFor)).Where("channel "+device+" ?", models.ChannelDevice)
	}
	lost := stale("<>").Updates(map[string]any{"status": models.FlowFailed, "failure": "lost_response"})
	s.flowsEnded(models.FlowClaimed, "lost_response", lost.RowsAffected)
	reopened := stale("=").Update("status", models.FlowOpen)
	over := s.db.WithContext(ctx).Model(&models.Flow{}).
		Where("status = 'open' AND expires_at <= ?", s.now()).
		Updates(map[string]any{"status": models.FlowFailed,
			"failure": gorm.Expr("CASE WHEN poll_attempt = '' THEN 'expired' ELSE 'lost_response' END")})
	s.flowsEnded(models.FlowOpen, "expired", over.RowsAffected)
	return errors.Join(lost.Error, reopened.Error, over.Error)
}

// TrialsOf returns the trials of a provider whose tokens are neither kept nor revoked, and those that have not come back.
func (s *Store) TrialsOf(ctx context.Context, provider string) ([]models.Flow, error) {
	var all []models.Flow
	return all, s.db.WithContext(ctx).Where("provider_id = ? AND channel = ? AND status IN ?", provider, models.ChannelTrial,
		[]models.FlowStatus{models.FlowOpen, models.FlowExchanged}).Order("created_at, id").Find(&all).Error
}

// FlowsUnderWay counts a provider's flows whose code may be being spent now.
func (s *Store) FlowsUnderWay(ctx context.Context, provider string) (int64, error) {
	var n int64
	return n, s.db.WithContext(ctx).Model(&models.Flow{}).
		Where("provider_id = ? AND status = ?", provider, models.FlowClaimed).Count(&n).Error
}

// ForgetFlows deletes flows that ended longer ago than the retention.
func (s *Store) ForgetFlows(ctx context.Context, retention time.Duration, limit int) (int64, error) {
	return s.forget(ctx, "flows", "expires_at", " AND status IN ('done', 'failed')", retention, limit)
}
