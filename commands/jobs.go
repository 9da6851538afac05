package commands

import (
	"context"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

type jobsCommand struct {
	List  jobsListCommand  `cmd:"" help:"List the organisation's jobs, the newest first."`
	Get   jobsGetCommand   `cmd:"" help:"Show a job."`
	Watch jobsWatchCommand `cmd:"" help:"Follow a job to its end; the exit code tells whether it ended well."`
}

type jobsListCommand struct {
	Type     []string `placeholder:"TYPE" help:"Only jobs of this type, such as DELETE_PROVIDER; may be repeated."`
	Status   []string `placeholder:"STATUS" help:"Only jobs that are PENDING, RUNNING, COMPLETED or ERROR; may be repeated."`
	Provider string   `placeholder:"SLUG" help:"Only jobs about this provider, by id or slug."`
	limited
}

// limited bounds lists.
type limited struct {
	Limit int `default:"100" placeholder:"N" help:"How many are listed at most; 0 for all."`
}

// full reports whether a list of n is as long as was asked for.
func (l limited) full(n int) bool { return l.Limit > 0 && n >= l.Limit }

// Run lists jobs.
func (l jobsListCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	q := client.JobQuery{Types: texts[models.JobType](l.Type), Statuses: texts[models.JobStatus](l.Status)}
	if q.ProviderID, err = providerID(ctx, c, l.Provider); err != nil {
		return err
	}
	all := []models.Job{}
	t := table{head: []string{"ID", "TYPE", "STATUS", "STARTED", "FINISHED", "NAME"}}
	for j, err := range c.Jobs(ctx, q) {
		if err != nil {
			return err
		}
		all = append(all, j)
		t.add(j.ID, string(j.Type), string(j.Status), at(j.StartedAt), at(j.FinishedAt), j.Name)
		if l.full(len(all)) {
			break
		}
	}
	return s.show(all, t)
}

// texts are values of a type that is a text.
func texts[T ~string](values []string) []T {
	all := make([]T, len(values))
	for i, v := range values {
		all[i] = T(v)
	}
	return all
}

type jobsGetCommand struct {
	ID    string `arg:"" help:"The job's id or location."`
	Watch bool   `help:"Follow the job to its end."`
}

// Run shows a job.
func (g jobsGetCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	return s.follow(ctx, c, g.ID, g.Watch)
}

type jobsWatchCommand struct {
	ID string `arg:"" help:"The job's id or location."`
}

// Run follows a job.
func (w jobsWatchCommand) Run(ctx context.Context, s *Session) error {
	return jobsGetCommand{ID: w.ID, Watch: true}.Run(ctx, s)
}

func (s *Session) showJob(j models.Job) error {
	t := table{rows: [][]string{{"id", j.ID}, {"type", string(j.Type)}, {"name", j.Name}, {"status", string(j.Status)}, {"started", at(j.StartedAt)}, {"finished", at(j.FinishedAt)}}}
	for _, d := range j.Details {
		if text, ok := d.Value.(string); ok {
			t.add(d.Name, text)
		}
	}
	return s.show(j, t)
}
