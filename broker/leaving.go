package broker

import (
	"context"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// RevokeUser makes everything that a user granted within the organisation
// unusable at once, and has a job take it back upstream. What the user has under
// way ends too: connect links, consents, and device flows. However much it is, one row says
// so; the job unlinks it in batches.
func (s *Service) RevokeUser(ctx context.Context, c models.Caller, user string) (models.Job, error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return models.Job{}, err
	}
	if !models.ValidUser(user) {
		return models.Job{}, models.Invalid(models.FieldError{Name: "userId", Message: "must name the user whose authorizations are to be revoked"})
	}
	j := models.Job{ID: newID(), OrgID: c.OrgID, Type: models.JobRevokeUser, Name: "Revoke the authorizations of " + user,
		Status: models.JobPending, UserID: &user, CreatedBy: c.UserID}
	over, err := s.formerOver(ctx, store.UpgradeOfUserRevocations)
	if err != nil {
		return models.Job{}, err
	}
	err = s.store.Tx(ctx, func(tx *store.Store) error {
		if err := tx.InsertJob(ctx, &j, s.timing.Resweep); err != nil {
			return err
		}
		if err := s.endUnderWay(ctx, tx, c, user); err != nil {
			return err
		}
		revoke := tx.RevokeUser
		if !over {
			revoke = tx.UnlinkUser
		}
		if err := revoke(ctx, c.OrgID, user, j.ID); err != nil { // after what is under way has ended: nothing joins then
			return err
		}
		return tx.Audit(ctx, event(c, models.ActionJobCreated).job(j.ID).done())
	})
	if err != nil {
		return j, err
	}
	s.ringJob(ctx, store.Rung{ID: j.ID, Type: j.Type, Ring: j.Ring})
	return j, nil
}

// endUnderWay ends the consents of a user that have not become authorizations. Links come before their flows, and both
// before authorizations: linkHeld locks them in this order.
func (s *Service) endUnderWay(ctx context.Context, tx *store.Store, c models.Caller, user string) error {
	links, err := tx.EndConnectLinksOf(ctx, c.OrgID, user, models.LinkUserRevoked)
	if err != nil {
		return err
	}
	var events []models.AuditEvent
	for _, l := range links {
		events = append(events, linkEvent(l, c.TokenID, models.ActionConnectLinkEnded).code(string(models.LinkUserRevoked)).done())
	}
	if err := tx.Audit(ctx, events...); err != nil {
		return err
	}
	return tx.RevokeFlowsOf(ctx, c.OrgID, user)
}

// finishUser ends a REVOKE_USER job that has nothing left to do. Items that the
// deletion of their provider took over are counted there.
func (s *Service) finishUser(ctx context.Context, tx *store.Store, j models.Job) error {
	left, err := tx.TakesItems(ctx, j.ID) // first: what is taken meanwhile is pending then
	if err != nil || left {
		return err
	}
	pending, err := tx.AnyPending(ctx, itemsOf(j))
	if err != nil || pending {
		return err
	}
	if j, err = tx.Job(ctx, j.ID); err != nil || j.Status.Final() {
		return err
	}
	if err := tx.SetTotal(ctx, j.ID, j.Settled(), j.SampleIDs); err != nil {
		return err
	}
	kept, err := tx.DropSupersededOfUser(ctx, j.OrgID, *j.UserID)
	if err == nil {
		err = abandonSuperseded(ctx, tx, kept)
	}
	if err != nil {
		return err
	}
	status, why := models.JobCompleted, ""
	if j.Failed > 0 {
		status = models.JobError
		why = couldNotRevoke(j.Failed, j.Settled()) + repeatRevocation
	}
	_, err = tx.FinishJob(ctx, j.ID, status, why, nil)
	return err
}
