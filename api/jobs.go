package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grantd/grantd/broker"
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

type jobInput struct {
	ByID
	Wait string `query:"wait" example:"30s" doc:"How long to wait for a change of status or counters before answering, in seconds or as 30s; 1ms to 60s."`
}

// Resolve implements huma.Resolver: an answer that is waited for may come later
// than the server lets others take.
func (in *jobInput) Resolve(ctx huma.Context) []error {
	if in.Wait != "" {
		allowWrite(ctx, broker.MaxWait+writeTime)
	}
	return nil
}

func (s *Server) getJob(ctx context.Context, c models.Caller, in *jobInput) (*answer[models.Job], error) {
	j, err := s.jobNowOrLater(ctx, c, in)
	return &answer[models.Job]{job(j)}, err
}

func (s *Server) jobNowOrLater(ctx context.Context, c models.Caller, in *jobInput) (models.Job, error) {
	if in.Wait == "" {
		return s.service.Job(ctx, c, in.ID)
	}
	wait, err := seconds("wait", in.Wait)
	if err != nil {
		return models.Job{}, err
	}
	ctx, cancel := s.whileServing(ctx)
	defer cancel()
	return s.service.WaitJob(ctx, c, in.ID, wait)
}
