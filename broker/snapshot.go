package broker

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/grantd/grantd/metrics"
	"github.com/grantd/grantd/models"
)

// authorizationDetail begins the names of the details of a STATS job that count authorizations
// by status.
const authorizationDetail = "authorizations."

// MetricSources are what the metrics of this process ask when somebody scrapes; a worker is
// asked what the database and Redis know of all processes together.
func (s *Service) MetricSources(worker bool) metrics.Sources {
	sources := metrics.Sources{Reach: s.reach, Pool: s.store.PoolStats}
	if worker {
		sources.Snapshot = s.snapshot
	}
	return sources
}

func (s *Service) reach(ctx context.Context) map[metrics.Dependency]error {
	found := map[metrics.Dependency]error{}
	for _, p := range s.Ready(ctx) {
		found[metrics.Dependency(p.Name)] = p.Err
	}
	return found
}

func (s *Service) snapshot(ctx context.Context) (metrics.Snapshot, error) {
	var m metrics.Snapshot
	var errs [6]error
	var stats []models.Job
	m.Jobs, errs[0] = s.store.OpenJobs(ctx)
	m.Pauses, errs[1] = s.store.CountPauses(ctx)
	m.Troubled, errs[2] = s.store.CountTroubled(ctx)
	stats, m.CountedAge, errs[3] = s.store.LatestStats(ctx, statsLife)
	m.Queues, errs[4] = s.bell.QueueSizes(ctx)
	m.Deliveries, errs[5] = s.store.WaitingDeliveries(ctx)
	m.Connections = addUp(stats)
	return m, errors.Join(errs[:]...)
}

// addUp adds up what STATS jobs counted of each status.
func addUp(stats []models.Job) map[models.AuthorizationStatus]int64 {
	sum := map[models.AuthorizationStatus]int64{}
	for _, status := range models.AuthorizationStatuses {
		sum[status] = 0
	}
	for _, j := range stats {
		for _, d := range j.Details {
			status, counts := strings.CutPrefix(d.Name, authorizationDetail)
			text, _ := d.Value.(string)
			if n, err := strconv.ParseInt(text, 10, 64); counts && err == nil {
				sum[models.AuthorizationStatus(status)] += n
			}
		}
	}
	return sum
}
