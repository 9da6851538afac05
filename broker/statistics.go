package broker

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// What is counted by the hour is kept by the day, for 13 months.

// StatisticsQuery says which days are asked for.
type StatisticsQuery struct {
	Days int // how many, up to today; 0 means 90
}

// Statistics returns what was counted of each day in the caller's organisation, the oldest first, for admins. Days are
// those of UTC.
func (s *Service) Statistics(ctx context.Context, c models.Caller, q StatisticsQuery) ([]models.Day, error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return nil, err
	}
	if q.Days == 0 {
		q.Days = 90
	}
	if q.Days < 1 || q.Days > maxStatisticsDays {
		return nil, models.Invalid(models.FieldError{Name: "days", Message: "must be between 1 and 400"})
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	return s.store.Statistics(ctx, c.OrgID, dayOf(now).AddDate(0, 0, 1-q.Days))
}

const maxStatisticsDays = 400

func dayOf(t time.Time) time.Time { return t.UTC().Truncate(wholeDay) }

// happenings are the audit events that are counted by the day.
var happenings = map[models.Action]models.Statistic{
	models.ActionAuthorizationMade: models.StatisticMade, models.ActionRefreshed: models.StatisticRefreshed,
	models.ActionRevoked: models.StatisticRevoked, models.ActionRefreshFailed: models.StatisticRefreshFailed,
}

// keepStatistics keeps what an organisation has now as today's. What happened is counted of today as far as it went, and
// shortly after midnight once more of the whole day before.
func (s *Service) keepStatistics(ctx context.Context, org string, byStatus []store.Count) error {
	now, err := s.store.Now(ctx)
	if err != nil {
		return err
	}
	today := dayOf(now)
	days := []time.Time{today}
	if now.Sub(today) < statisticsOverlap {
		days = append(days, today.AddDate(0, 0, -1))
	}
	for _, day := range days {
		actions, err := s.store.CountActionsBetween(ctx, org, day, day.AddDate(0, 0, 1))
		if err != nil {
			return err
		}
		counts := map[models.Statistic]int64{}
		for action, name := range happenings {
			counts[name] = actions[action]
		}
		if day.Equal(today) {
			for _, status := range models.AuthorizationStatuses {
				counts[models.Statistic(status)] = 0
			}
			for _, c := range byStatus {
				counts[models.Statistic(c.Status)] = c.N
			}
		}
		if err := s.store.SetStatistics(ctx, org, day, counts); err != nil {
			return err
		}
	}
	return nil
}

// countFetchedDays adds fetches to their organisations' days. It is a statistic: where it fails, the fetches themselves are
// counted all the same.
func (s *Service) countFetchedDays(ctx context.Context, rows []store.Fetches) {
	byDay := map[time.Time]map[string]int64{}
	for _, f := range rows {
		day := dayOf(f.Minute)
		if byDay[day] == nil {
			byDay[day] = map[string]int64{}
		}
		byDay[day][f.Caller.OrgID] += f.N
	}
	for day, byOrg := range byDay {
		if err := s.store.AddToStatistic(ctx, day, models.StatisticFetched, byOrg); err != nil {
			s.log.Warn("adding token fetches to the day's statistic failed; they are counted, and missing in the statistic", "day", day.Format(time.DateOnly), "error", err)
		}
	}
}
