package console

import (
	"bytes"
	_ "embed"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// What pages do beyond what they do without scripts is one module of our own.
//
//go:embed live.js
var script []byte

// followJob sends what the page of a job shows, each time that it changes, until the job ends.
func (k *Console) followJob(c echo.Context, v broker.Visitor) error {
	k.frame.Guard(c)
	ctx := c.Request().Context()
	err := k.frame.FollowJob(c, v.Caller, id(c), func(j models.Job) ([]byte, error) {
		r, err := k.service.JobReport(ctx, v.Caller, j.ID)
		if err != nil {
			return nil, err
		}
		var page bytes.Buffer
		err = k.templates.ExecuteTemplate(&page, "job-now", job{JobReport: r, Bar: outcomeBar(r)})
		return page.Bytes(), err
	}, func() error { return k.service.StillSignedIn(ctx, v) })
	if err != nil {
		return k.frame.Fail(c, err, Path+"jobs")
	}
	return nil
}
