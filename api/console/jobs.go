package console

import (
	"fmt"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

func (k *Console) listJobs(c echo.Context, v broker.Visitor) error {
	q := broker.JobQuery{Limit: pageSize, Cursor: query(c, "cursor")}
	if status := query(c, "status"); status != "" {
		q.Statuses = []string{status}
	}
	page, err := k.service.Jobs(c.Request().Context(), v.Caller, q)
	return k.answer(c, err, "console-jobs", screen{"jobs", "Jobs", struct {
		broker.Page[models.Job]
		Status   string
		Statuses []models.JobStatus
	}{page, query(c, "status"), models.JobStatuses}})
}

// A page of a job that has not ended follows the job. Without scripts it loads itself again every few seconds, for a while:
// a page that somebody left open neither asks for ever nor keeps the session alive.
const (
	loadEvery = 5 // seconds
	loadTimes = 120
)

func (k *Console) showJob(c echo.Context, v broker.Visitor) error {
	r, err := k.service.JobReport(c.Request().Context(), v.Caller, id(c))
	shown := job{JobReport: r, Bar: outcomeBar(r)}
	if times, failed := strconv.Atoi(c.QueryParam("loads")); err == nil && !r.Status.Final() && c.QueryParam("still") == "" && (failed != nil || times < loadTimes) {
		shown.Again = fmt.Sprintf("%s?loads=%d", k.frame.At(Path+"jobs/"+r.ID), times+1)
	}
	return k.answer(c, err, "console-job", screen{"jobs", r.Name, shown})
}

// job is what the page of a job shows.
type job struct {
	broker.JobReport
	Bar   []part
	Again string // where the page loads itself again, "" where it does not
}

// Every is after how many seconds it does.
func (job) Every() int { return loadEvery }

func outcomeBar(r broker.JobReport) []part {
	if r.Outcomes == nil {
		return nil
	}
	var all []part
	for _, o := range r.Outcomes {
		all = append(all, part{Label: outcomes[o.Outcome], Class: outcomeClasses[o.Outcome], N: o.N})
	}
	return bar(append(all, part{Label: "Still to do", Class: "todo", N: r.Pending}))
}
