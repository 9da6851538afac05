package commands

import (
	"testing"
	"time"

	"github.com/grantd/grantd/models"
)

func jobWith(status models.JobStatus, details ...string) models.Job {
	j := models.Job{Status: status}
	for i := 0; i < len(details); i += 2 {
		j.Details = append(j.Details, models.Detail{Name: details[i], Value: details[i+1]})
	}
	return j
}

func TestAJobsProgressIsShownInTheSpaceThereIs(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	running := jobWith(models.JobRunning, "total", "400", "pending", "300", "per_second", "25.0", "estimated_end", "2026-11-30T12:00:12Z")
	for _, c := range []struct {
		job     models.Job
		columns int
		want    string
	}{
		{running, 100, "[#######.......................]  25% RUNNING: 100 of 400, 25.0 per second, about 12s left"},
		{running, 80, "[#####...............]  25% RUNNING: 100 of 400, 25.0 per second, about 12s left"},
		{running, 40, "  25% RUNNING: 100 of 400, 25.0 per seco"},
		{jobWith(models.JobCompleted, "total", "400", "pending", "0", "estimated_end", "2026-11-30T12:00:12Z"), 60, "[##############################] 100% COMPLETED: 400 of 400"},
		{jobWith(models.JobPending, "total", "0"), 60, "PENDING"},
		{jobWith(models.JobRunning), 60, "RUNNING"},
		{jobWith(models.JobRunning, "total", "x", "pending", "y", "per_second", "\x1b[2J"), 60, "RUNNING"},
	} {
		got := progressOf(c.job).bar(c.columns, now)
		if len(c.want) > c.columns {
			c.want = c.want[:c.columns]
		}
		if got != c.want || len(got) > c.columns {
			t.Errorf("in %d columns:\n%q, want\n%q", c.columns, got, c.want)
		}
	}
	hostile := progressOf(jobWith(models.JobRunning, "total", "1", "pending", "1", "per_second", "\x1b[2J"))
	if got := hostile.line(now); got != `RUNNING: 0 of 1, \u001b[2J per second` {
		t.Errorf("a line is %q", got)
	}
}
