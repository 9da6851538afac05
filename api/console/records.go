package console

import (
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// What happened, and how much there is.

// auditQuery is what the filter of the page asks for.
func auditQuery(c echo.Context) broker.AuditQuery {
	q := broker.AuditQuery{UserID: query(c, "userId"), Actor: query(c, "actor"), ProviderID: query(c, "providerId"), JobID: query(c, "jobId"),
		AuthorizationID: query(c, "authorizationId"), From: day(query(c, "from"))}
	if to := day(query(c, "to")); !to.IsZero() {
		q.To = to.AddDate(0, 0, 1) // the day itself counts
	}
	if action := query(c, "action"); action != "" {
		q.Actions = []string{action}
	}
	return q
}

// exportAudit sends what the page shows, all of it, as a file.
func (k *Console) exportAudit(c echo.Context, v broker.Visitor) error {
	k.frame.Guard(c)
	ctx := c.Request().Context()
	err := k.frame.ExportAudit(c, v.Caller, auditQuery(c), func() error { return k.service.StillSignedIn(ctx, v) })
	if err != nil {
		return k.frame.Fail(c, err, Path+"audit")
	}
	return nil
}

func (k *Console) listAudit(c echo.Context, v broker.Visitor) error {
	q := auditQuery(c)
	q.Limit, q.Cursor = pageSize, query(c, "cursor")
	page, err := k.service.AuditTrail(c.Request().Context(), v.Caller, q)
	return k.answer(c, err, "console-audit", screen{"audit", "Audit", struct {
		broker.Page[models.AuditEvent]
		Query            broker.AuditQuery
		Action, From, To string
		Actions          []models.Action
	}{page, q, query(c, "action"), query(c, "from"), query(c, "to"), models.Actions}})
}

// day is a date as browsers send it, zero for none. Days are those of UTC, as all times are.
func day(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// figures are one group of a statistic.
type figures struct {
	ID, Title, Of string
	Parts         []part
}

func (k *Console) statistics(c echo.Context, v broker.Visitor) error {
	page, err := k.service.Jobs(c.Request().Context(), v.Caller, broker.JobQuery{Types: []string{string(models.JobStats)}, Statuses: []string{string(models.JobCompleted)}, Limit: 1})
	var last *models.Job
	if len(page.Data) > 0 {
		last = &page.Data[0]
	}
	days := period(c)
	var counted []models.Day
	if err == nil {
		counted, err = k.service.Statistics(c.Request().Context(), v.Caller, broker.StatisticsQuery{Days: days})
	}
	return k.answer(c, err, "console-statistics", screen{"statistics", "Statistics", struct {
		Last    *models.Job
		Groups  []figures
		Plots   []plot
		Periods []choice
		Period  string
	}{last, groups(last), plots(counted, days), periods, strconv.Itoa(days)}})
}

// groups sorts the details of a statistic by what they count.
func groups(j *models.Job) []figures {
	if j == nil {
		return nil
	}
	all := []figures{{ID: "connections-counted", Title: "Connections", Of: "State"}, {ID: "providers-counted", Title: "Providers", Of: "Type and status"}, {ID: "last-day", Title: "The day before", Of: "What happened"}}
	kinds := []string{"good", "fair", "other", "warn", "bad", "todo"}
	for _, d := range j.Details {
		kind, rest, _ := strings.Cut(d.Name, ".")
		n, ok := broker.CountOf(d)
		if !ok {
			continue
		}
		switch kind {
		case "authorizations":
			status := models.AuthorizationStatus(rest)
			all[0].Parts = append(all[0].Parts, part{Label: word(connectionStatuses, status), Class: connectionClasses[status], N: n})
		case "providers":
			all[1].Parts = append(all[1].Parts, part{Label: strings.ReplaceAll(rest, ".", ", "), Class: kinds[len(all[1].Parts)%len(kinds)], N: n})
		case "last_day":
			all[2].Parts = append(all[2].Parts, part{Label: word(happened, rest), Class: kinds[len(all[2].Parts)%len(kinds)], N: n})
		}
	}
	for i := range all {
		all[i].Parts = bar(all[i].Parts)
	}
	return all
}

var happened = map[string]string{"made": "Connected", "refreshed": "Tokens refreshed", "revoked": "Revoked", "refresh_failed": "Refreshes that failed"}

// takeCount has everything counted now, and leads to the job.
func (k *Console) takeCount(c echo.Context, v broker.Visitor) error {
	j, err := k.service.StartStats(c.Request().Context(), v.Caller)
	if err != nil {
		return k.frame.Fail(c, err, Path+"statistics")
	}
	return k.frame.GoTo(c, Path+"jobs/"+j.ID)
}
