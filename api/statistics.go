package api

import (
	"context"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

type statisticsInput struct {
	Days int `query:"days" minimum:"1" maximum:"400" doc:"How many days, up to today; 90 without."`
}

// Days is the body of GET statistics/.
type Days struct {
	Data []models.Day `json:"data"`
}

func (s *Server) listStatistics(ctx context.Context, c models.Caller, in *statisticsInput) (*answer[Days], error) {
	days, err := s.service.Statistics(ctx, c, broker.StatisticsQuery{Days: in.Days})
	return &answer[Days]{&Days{days}}, err
}
