package api

import (
	"context"

	"github.com/grantd/grantd/models"
)

// Accepted is the body of a 202.
type Accepted struct {
	Location string `json:"location" format:"uri" doc:"Where to see how the job is doing."`
}

type accepted struct {
	Location string `header:"Location" doc:"The same as in the body."`
	Body     Accepted
}

// accept says where the job is, twice: some clients read the header, some the
// body.
func (s *Server) accept(j models.Job) *accepted {
	location := s.service.JobURL(j.ID)
	return &accepted{location, Accepted{location}}
}

// NewJob is the body of POST jobs/.
type NewJob struct {
	Type models.JobType `json:"type" enum:"STATS" doc:"The kind of job. Other kinds begin with what they are about."`
}

func (s *Server) startJob(ctx context.Context, c models.Caller, _ *struct{ Body NewJob }) (*accepted, error) {
	j, err := s.service.StartStats(ctx, c)
	return s.accept(j), err
}

func (s *Server) getJob(ctx context.Context, c models.Caller, in *ByID) (*answer[models.Job], error) {
	j, err := s.service.Job(ctx, c, in.ID)
	return &answer[models.Job]{job(j)}, err
}
