package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/grantd/grantd/models"
)

// Tokens of a consent that found no owner are settled without one: mostly they are left
// to be revoked. A flow whose tokens cannot be settled, since they do not open, stays as
// it is with the reason as its failure, and goes to the back (T4).

// ClaimUnsettled returns up to limit flows past their time whose tokens have no owner, of
// each organisation some, and moves each back by next, so that replicas sweeping at once share
// them out and what fails lets the others pass.
func (s *Store) ClaimUnsettled(ctx context.Context, next time.Duration, limit int) ([]models.Flow, error) {
	return claimOfEach(ctx, s, unsettledFlows, limit, func(org string, limit int) (flows []models.Flow, err error) {
		return flows, s.db.WithContext(ctx).Raw(`UPDATE flows SET settle_at = ? WHERE `+s.dialect.rowsOf(unsettledFlows.of(""))+
			` RETURNING `+s.columns("flows", models.Flow{}), s.in(next), org, s.now(), limit).Scan(&flows).Error
	})
}

// UnsettledOf returns up to limit of a provider's flows whose tokens have no owner,
// whatever their time, except those that were tried and failed.
func (s *Store) UnsettledOf(ctx context.Context, provider string, limit int) ([]models.Flow, error) {
	var flows []models.Flow
	return flows, s.unsettledOf(ctx, provider).Where("failure = ''").Limit(limit).Find(&flows).Error
}

func (s *Store) unsettledOf(ctx context.Context, provider string) *gorm.DB {
	return s.db.WithContext(ctx).Model(&models.Flow{}).Where("provider_id = ? AND status = ?", provider, models.FlowExchanged)
}

// NoteUnsettled writes down why the tokens of a flow could not be settled, a code, and
// when to try again.
func (s *Store) NoteUnsettled(ctx context.Context, id, reason string, after time.Duration) error {
	return s.flow(ctx, id, models.FlowExchanged).Updates(map[string]any{
		"failure": reason, "settle_at": s.in(after), "settle_failures": gorm.Expr("settle_failures + 1")}).Error
}

// CountUnsettled counts a provider's flows whose tokens have no owner: those that were
// not tried yet, and those that were tried and failed.
func (s *Store) CountUnsettled(ctx context.Context, provider string) (untried, failed int64, err error) {
	err = scanRow(s.unsettledOf(ctx, provider).Select("COALESCE(SUM(CASE WHEN failure = '' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN failure = '' THEN 0 ELSE 1 END), 0)"),
		&untried, &failed)
	return untried, failed, err
}

// RetryUnsettled lets what failed be tried again.
func (s *Store) RetryUnsettled(ctx context.Context, provider string) error {
	return s.unsettledOf(ctx, provider).Where("failure <> ''").Update("failure", "").Error
}

// AbandonUnsettled gives up on the tokens of a provider's flows, without opening them,
// and returns of how many.
func (s *Store) AbandonUnsettled(ctx context.Context, provider string) (int64, error) {
	r := s.unsettledOf(ctx, provider).Updates(abandoned)
	return r.RowsAffected, r.Error
}

var abandoned = map[string]any{"status": models.FlowFailed, "failure": models.OutcomeAbandoned, "sealed_tokens": nil}

// AbandonedFlow is a flow whose tokens were given up on.
type AbandonedFlow struct{ ID, OrgID, ProviderID string }

// AbandonOldUnsettled gives up on tokens that could not be settled for longer than the
// retention of single revocations.
func (s *Store) AbandonOldUnsettled(ctx context.Context, retention time.Duration, limit int) ([]AbandonedFlow, error) {
	var flows []AbandonedFlow
	return flows, s.db.WithContext(ctx).Raw(`UPDATE flows SET status = ?, failure = ?, sealed_tokens = NULL WHERE `+s.dialect.rowsOf(
		`flows WHERE status = 'exchanged' AND failure <> '' AND exchanged_at <= ? ORDER BY exchanged_at LIMIT ?`)+`
		RETURNING id, org_id, provider_id`, models.FlowFailed, models.OutcomeAbandoned, s.in(-retention), limit).Scan(&flows).Error
}
