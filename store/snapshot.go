package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/grantd/grantd/models"
)

// What metrics tell of all organisations together.

// PoolStats is how the connections to the database are used, less those that only the fetching
// of tokens uses.
type PoolStats struct {
	Max, Used, Idle int64
	// Waits and Waited count, since the start, how often there was no connection at once, and how
	// long callers waited for one.
	Waits  int64
	Waited time.Duration
}

// PoolStats tells how the connections are used.
func (s *Store) PoolStats() PoolStats {
	line := s.sql.Stats() // who waits for a connection does so there
	stats := PoolStats{Max: int64(line.MaxOpenConnections), Used: int64(line.InUse), Idle: int64(line.Idle), Waits: line.WaitCount, Waited: line.WaitDuration}
	if s.pool != nil { // which has the connections
		p := s.pool.Stat()
		stats.Max, stats.Used, stats.Idle = int64(p.MaxConns()), int64(p.AcquiredConns()), int64(p.IdleConns())
	}
	return stats
}

// OpenJobs is how many jobs of a type and status have not ended, and the age of the oldest.
type OpenJobs struct {
	Type   models.JobType
	Status models.JobStatus
	N      int64
	Oldest time.Duration
}

// OpenJobs counts the jobs that have not ended. Types and statuses without any are counted too.
func (s *Store) OpenJobs(ctx context.Context) ([]OpenJobs, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return nil, err
	}
	var all []OpenJobs
	for _, t := range models.JobTypes {
		for _, status := range []models.JobStatus{models.JobPending, models.JobRunning} {
			q := s.db.WithContext(ctx).Model(&models.Job{}).Where("status IN ('PENDING', 'RUNNING')").Where("type = ? AND status = ?", t, status)
			var oldest []time.Time
			if err := q.Session(&gorm.Session{}).Order("created_at").Limit(1).Pluck("created_at", &oldest).Error; err != nil {
				return nil, err
			}
			o := OpenJobs{Type: t, Status: status}
			if err := q.Session(&gorm.Session{}).Count(&o.N).Error; err != nil {
				return nil, err
			}
			if len(oldest) > 0 {
				o.Oldest = max(0, now.Sub(oldest[0]))
			}
			all = append(all, o)
		}
	}
	return all, nil
}

// CountPauses counts the pauses in force by class. Classes without any are counted too.
func (s *Store) CountPauses(ctx context.Context) (map[Class]int64, error) {
	var rows []struct {
		Class Class
		N     int64
	}
	err := s.db.WithContext(ctx).Model(&Pause{}).Select("class, count(*) AS n").Where("until > ?", s.now()).Group("class").Scan(&rows).Error
	counts := map[Class]int64{}
	for _, c := range Classes {
		counts[c] = 0
	}
	for _, r := range rows {
		counts[r.Class] = r.N
	}
	return counts, err
}

// CountTroubled counts the active providers with which something is wrong as a whole.
func (s *Store) CountTroubled(ctx context.Context) (map[models.Trouble]int64, error) {
	var rows []struct {
		Trouble models.Trouble
		N       int64
	}
	err := s.db.WithContext(ctx).Model(&models.Provider{}).Select("trouble, count(*) AS n").Where("status = ? AND "+inTrouble, models.ProviderActive).
		Group("trouble").Scan(&rows).Error
	counts := map[models.Trouble]int64{}
	for _, t := range models.Troubles {
		counts[t] = 0
	}
	for _, r := range rows {
		counts[r.Trouble] = r.N
	}
	return counts, err
}

// LatestStats returns the last STATS job of each organisation that finished within the given
// time, and how long ago the oldest of these did.
func (s *Store) LatestStats(ctx context.Context, within time.Duration) ([]models.Job, time.Duration, error) {
	var rows []models.Job
	err := s.db.WithContext(ctx).Select("id", "org_id", "details", "finished_at").
		Where("finished_at > ? AND type = ? AND status = ?", s.in(-within), models.JobStats, models.JobCompleted).
		Order("finished_at DESC, id DESC").Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return nil, 0, err
	}
	now, err := s.Now(ctx)
	var latest []models.Job
	var age time.Duration
	seen := map[string]bool{}
	for _, j := range rows {
		if !seen[j.OrgID] {
			seen[j.OrgID] = true
			latest = append(latest, j)
			age = max(age, now.Sub(*j.FinishedAt))
		}
	}
	return latest, age, err
}

// DeliveryWait says why a delivery to a webhook has not ended.
type DeliveryWait string

// Why a delivery waits.
const (
	WaitsDue         DeliveryWait = "due"         // nothing holds it up: a worker should send it now
	WaitsHeld        DeliveryWait = "held"        // it is being sent, is tried again later, or follows an earlier event of its connection
	WaitsUnconfirmed DeliveryWait = "unconfirmed" // the webhook's address has not accepted a test event yet
	WaitsOff         DeliveryWait = "off"         // the webhook is switched off
)

// DeliveryWaits lists every reason to wait.
var DeliveryWaits = []DeliveryWait{WaitsDue, WaitsHeld, WaitsUnconfirmed, WaitsOff}

// WaitingDeliveries is how many deliveries wait for the same reason, and how long the one that was queued first has: since
// nothing held it up where it is due, else since it was queued.
type WaitingDeliveries struct {
	Wait   DeliveryWait
	N      int64
	Oldest time.Duration
}

// WaitingDeliveries counts the deliveries to webhooks that have not ended. Reasons without any are counted too.
func (s *Store) WaitingDeliveries(ctx context.Context) ([]WaitingDeliveries, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Wait      DeliveryWait
		N         int64
		DueAt     *time.Time
		NextAt    time.Time
		CreatedAt time.Time
	}
	err = s.db.WithContext(ctx).Raw(`SELECT c.wait, c.n, d.due_at, w.next_at, d.created_at FROM
		(SELECT CASE WHEN w.status <> 'active' THEN 'off' WHEN NOT w.confirmed AND d.event_type <> ? THEN 'unconfirmed'
			WHEN d.due_at <= ? AND w.next_at <= ? THEN 'due' ELSE 'held' END AS wait, count(*) AS n, min(d.position) AS first
			FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id WHERE d.status = 'pending' GROUP BY 1) AS c
		JOIN webhook_deliveries d ON d.position = c.first JOIN webhooks w ON w.id = d.webhook_id`, models.EventTest, s.now(), s.now()).Scan(&rows).Error
	all := make([]WaitingDeliveries, len(DeliveryWaits))
	for i, wait := range DeliveryWaits {
		all[i].Wait = wait
		for _, r := range rows {
			if r.Wait != wait {
				continue
			}
			since := r.CreatedAt
			if wait == WaitsDue && r.DueAt != nil {
				since = *r.DueAt
				if r.NextAt.After(since) {
					since = r.NextAt
				}
			}
			all[i].N, all[i].Oldest = r.N, max(0, now.Sub(since))
		}
	}
	return all, err
}
