package commands

import (
	"context"
	"strconv"
	"time"
)

type statsCommand struct {
	Days  int  `default:"14" placeholder:"N" help:"Of how many days; 400 at most."`
	Count bool `help:"Count now, as a job, and show its details."`
	Watch bool `help:"With --count: follow the job to its end."`
}

// Run shows the statistics.
func (g statsCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	if g.Count {
		location, err := c.StartStats(ctx)
		if err != nil {
			return err
		}
		return s.follow(ctx, c, location, g.Watch)
	}
	days, err := c.Statistics(ctx, g.Days)
	if err != nil {
		return err
	}
	t := table{head: []string{"DAY", "ACTIVE", "EXPIRED", "OTHER", "MADE", "REFRESHED", "FAILED", "REVOKED", "FETCHED"}}
	n := func(i int64) string { return strconv.FormatInt(i, 10) }
	for _, d := range days {
		t.add(d.Day.UTC().Format(time.DateOnly), n(d.Active), n(d.Expired), n(d.InvalidOAuthClient+d.InvalidProviderState), n(d.Made), n(d.Refreshed), n(d.RefreshFailed), n(d.Revoked), n(d.Fetched))
	}
	return s.show(days, t)
}
