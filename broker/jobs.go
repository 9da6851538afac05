package broker

import (
	"context"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Job returns a job of the caller's organisation, for admins: jobs list other
// users' ids (A6).
func (s *Service) Job(ctx context.Context, c models.Caller, id string) (models.Job, error) {
	j, err := s.visibleJob(ctx, c, id)
	if err != nil {
		return j, err
	}
	return s.withDetails(ctx, j)
}

// visibleJob returns the row of a job that the caller may see.
func (s *Service) visibleJob(ctx context.Context, c models.Caller, id string) (models.Job, error) {
	j, err := s.store.Job(ctx, id)
	if err == nil && !maySeeJob(c, j) {
		err = store.NotFound("Job")
	}
	return j, err
}

func maySeeJob(c models.Caller, j models.Job) bool {
	return j.OrgID == c.OrgID && c.IsAdmin() && (!c.IsLimited() || j.ProviderID != nil && c.MayUse(*j.ProviderID))
}

// withDetails completes a row with what is derived when it is read.
func (s *Service) withDetails(ctx context.Context, j models.Job) (models.Job, error) {
	var err error
	if j.Revokes() {
		j.Details, err = s.revocationDetails(ctx, j)
		return j, err
	}
	return storedDetails(j), nil
}
