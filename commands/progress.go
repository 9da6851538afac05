package commands

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

// How often a job is asked for at most.
const (
	paceOnTerminal = 300 * time.Millisecond
	paceElsewhere  = time.Second
)

// watch follows a job to its end and tells how far it has come: with a bar that moves on a terminal, and with a line for
// each change elsewhere. A job that ends with an error is an error.
func (s *Session) watch(ctx context.Context, c *client.Client, location string) (models.Job, error) {
	columns, moving := onTerminal(s.Err)
	pace := paceElsewhere
	if moving {
		pace = paceOnTerminal
	}
	j, err := c.WaitJob(ctx, location, pace, func(j models.Job) {
		if moving {
			fmt.Fprintf(s.Err, "\r\x1b[K%s", progressOf(j).bar(columns-1, time.Now()))
			return
		}
		fmt.Fprintln(s.Err, progressOf(j).line(time.Now()))
	})
	if moving {
		fmt.Fprintln(s.Err)
	}
	if err == nil && j.Status == models.JobError {
		err = failed(ExitFailure, "the job %s ended with an error: %s", j.ID, detail(j, "failure"))
	}
	return j, err
}

// follow prints where a job is, or follows it and prints how it ended.
func (s *Session) follow(ctx context.Context, c *client.Client, location string, watch bool) error {
	if !watch {
		j, err := c.Job(ctx, location)
		if err != nil {
			return err
		}
		return s.showJob(j)
	}
	j, failure := s.watch(ctx, c, location)
	if j.ID != "" {
		if err := s.showJob(j); err != nil {
			return err
		}
	}
	return failure
}

// progress is how far a job has come, as grantd tells it.
type progress struct {
	status      models.JobStatus
	done, total int64 // total is 0 where nothing is counted
	perSecond   string
	end         time.Time // estimated; zero where it is not
}

func progressOf(j models.Job) progress {
	p := progress{status: j.Status, perSecond: detail(j, "per_second")}
	p.total = number(j, "total")
	p.done = max(0, p.total-number(j, "pending"))
	if end, err := time.Parse(time.RFC3339, detail(j, "estimated_end")); err == nil {
		p.end = end
	}
	return p
}

// line is the progress as text.
func (p progress) line(now time.Time) string {
	if p.total == 0 {
		return string(p.status)
	}
	return fmt.Sprintf("%s: %d of %d%s", p.status, p.done, p.total, p.pace(now))
}

// bar is the progress in at most columns characters.
func (p progress) bar(columns int, now time.Time) string {
	if p.total == 0 {
		return p.line(now)
	}
	text := fmt.Sprintf(" %3d%% %s", 100*p.done/p.total, p.line(now))
	width := min(30, columns-len(text)-2)
	if width < 5 {
		return text[:min(len(text), columns)]
	}
	full := int(int64(width) * p.done / p.total)
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]" + text
}

func (p progress) pace(now time.Time) string {
	text := ""
	if p.perSecond != "" {
		text = ", " + Plain(p.perSecond, false) + " per second"
	}
	if p.status == models.JobRunning && p.end.After(now) {
		text += ", about " + p.end.Sub(now).Round(time.Second).String() + " left"
	}
	return text
}

// detail is a detail of a job that is one text, "" where there is none.
func detail(j models.Job, name string) string {
	for _, d := range j.Details {
		if text, ok := d.Value.(string); ok && d.Name == name {
			return text
		}
	}
	return ""
}

func number(j models.Job, name string) int64 {
	n, err := strconv.ParseInt(detail(j, name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
