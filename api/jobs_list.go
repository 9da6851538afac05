package api

import (
	"context"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// jobList's filters are declared here and read by values.
type jobList struct {
	Types      []string `query:"types,explode" doc:"Only these types, such as DELETE_PROVIDER; repeated or separated by commas."`
	Status     []string `query:"status,explode" doc:"Only those that are PENDING, RUNNING, COMPLETED or ERROR; repeated or separated by commas."`
	ProviderID string   `query:"providerId" doc:"Only those about this provider."`
	Paging
}

func (s *Server) listJobs(ctx context.Context, c models.Caller, in *jobList) (*answer[List[models.Job]], error) {
	page, err := s.service.Jobs(ctx, c, broker.JobQuery{
		Types: values(ctx, "types"), Statuses: values(ctx, "status"), ProviderID: storable(in.ProviderID),
		Limit: in.Limit, Cursor: storable(in.Cursor),
	})
	if err != nil {
		return nil, err
	}
	return list(ctx, s, page, job), nil
}

type jobItemList struct {
	ByID
	Outcome []string `query:"outcome,explode" doc:"Only these outcomes, such as failed; repeated or separated by commas."`
	Paging
}

func (s *Server) listJobItems(ctx context.Context, c models.Caller, in *jobItemList) (*answer[List[models.JobItem]], error) {
	page, err := s.service.JobItems(ctx, c, in.ID, broker.ItemQuery{
		Outcomes: values(ctx, "outcome"), Limit: in.Limit, Cursor: storable(in.Cursor),
	})
	if err != nil {
		return nil, err
	}
	return list(ctx, s, page, jobItem), nil
}
