package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/grantd/grantd/models"
)

type statistic struct {
	OrgID string
	Day   time.Time
	Name  string
	N     int64
}

// TableName is where gorm keeps it.
func (statistic) TableName() string { return "statistics" }

var statisticKey = []clause.Column{{Name: "org_id"}, {Name: "day"}, {Name: "name"}}

// SetStatistics writes what was counted of an organisation's day, in place of what was counted of it before.
func (s *Store) SetStatistics(ctx context.Context, org string, day time.Time, counts map[models.Statistic]int64) error {
	rows := make([]statistic, 0, len(counts))
	for _, name := range slices.Sorted(maps.Keys(counts)) { // in one order, as all who write them
		rows = append(rows, statistic{org, day.UTC(), string(name), counts[name]})
	}
	return s.db.WithContext(ctx).Clauses(clause.OnConflict{Columns: statisticKey, DoUpdates: clause.AssignmentColumns([]string{"n"})}).Create(&rows).Error
}

// AddToStatistic adds to a statistic of several organisations' day.
func (s *Store) AddToStatistic(ctx context.Context, day time.Time, name models.Statistic, byOrg map[string]int64) error {
	rows := make([]statistic, 0, len(byOrg))
	for _, org := range slices.Sorted(maps.Keys(byOrg)) { // in one order, as all who write them
		rows = append(rows, statistic{org, day.UTC(), string(name), byOrg[org]})
	}
	return s.db.WithContext(ctx).Clauses(clause.OnConflict{Columns: statisticKey,
		DoUpdates: clause.Assignments(map[string]any{"n": gorm.Expr("statistics.n + excluded.n")})}).Create(&rows).Error
}

// Statistics returns what was counted of an organisation's days from one day on, the oldest first. Days of which nothing was
// counted are left out.
func (s *Store) Statistics(ctx context.Context, org string, from time.Time) ([]models.Day, error) {
	var rows []statistic
	if err := s.db.WithContext(ctx).Where("org_id = ? AND day >= ?", org, from.UTC()).Order("day, name").Find(&rows).Error; err != nil {
		return nil, err
	}
	days := []models.Day{}
	for _, r := range rows {
		if n := len(days); n == 0 || !days[n-1].Day.Equal(r.Day) {
			days = append(days, models.Day{Day: r.Day.UTC()})
		}
		if to := days[len(days)-1].Of(models.Statistic(r.Name)); to != nil {
			*to = r.N
		}
	}
	return days, nil
}

// ForgetStatistics deletes at most limit statistics of days longer ago than the retention.
func (s *Store) ForgetStatistics(ctx context.Context, retention time.Duration, limit int) (int64, error) {
	return s.forget(ctx, "statistics", "day", "", retention, limit)
}

// CountActionsBetween counts an organisation's events of a time, by action; to is not in it.
func (s *Store) CountActionsBetween(ctx context.Context, org string, from, to time.Time) (map[models.Action]int64, error) {
	return counted[models.Action](s.db.WithContext(ctx).Raw(`SELECT action AS name, count(*) AS n FROM audit_events
		WHERE org_id = ? AND at >= ? AND at < ? GROUP BY action`, org, from.UTC(), to.UTC()))
}
