package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// StartStats asks for a count of what the organisation has.
func (s *Service) StartStats(ctx context.Context, c models.Caller) (models.Job, error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return models.Job{}, err
	}
	return s.newStats(ctx, c, nil)
}

func (s *Service) newStats(ctx context.Context, c models.Caller, once *string) (models.Job, error) {
	j := models.Job{ID: newID(), OrgID: c.OrgID, Type: models.JobStats, Name: "Count providers and authorizations",
		Status: models.JobPending, DedupeKey: once, CreatedBy: c.UserID}
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		if err := tx.InsertJob(ctx, &j, s.timing.Resweep); err != nil {
			return err
		}
		return tx.Audit(ctx, event(c, models.ActionJobCreated).job(j.ID).done())
	})
	if err != nil {
		return j, err
	}
	s.ringJob(ctx, store.Rung{ID: j.ID, Type: j.Type, Ring: j.Ring})
	return j, nil
}

// RunStats counts what an organisation has and what happened in the last day.
func (s *Service) RunStats(ctx context.Context, id string) error {
	j, err := s.store.Job(ctx, id)
	if store.IsNotFound(err) || err == nil && j.Status.Final() {
		return nil
	}
	if err != nil {
		return err
	}
	// The same job may be enqueued twice: where enqueueing timed out, it took place all the same.
	mine, err := s.store.StartJobAlone(ctx, id, statsTime)
	if err != nil || !mine {
		return err
	}
	details, byStatus, err := s.count(ctx, j.OrgID)
	if err == nil {
		err = s.keepStatistics(ctx, j.OrgID, byStatus)
	}
	if err != nil {
		return err
	}
	_, err = s.store.FinishJob(ctx, id, models.JobCompleted, "", details)
	return err
}

func (s *Service) count(ctx context.Context, org string) (models.Details, []store.Count, error) {
	byProvider, err := s.store.CountProviders(ctx, org)
	if err != nil {
		return nil, nil, err
	}
	byStatus, err := s.store.CountAuthorizations(ctx, org)
	if err != nil {
		return nil, nil, err
	}
	actions, err := s.store.CountActions(ctx, org, statsWindow)
	if err != nil {
		return nil, nil, err
	}
	d := models.Details{}
	for _, c := range byProvider {
		d = append(d, models.Detail{Name: "providers." + c.Name + "." + c.Status, Value: count(c.N)})
	}
	for _, c := range byStatus {
		d = append(d, models.Detail{Name: authorizationDetail + c.Status, Value: count(c.N)})
	}
	for _, day := range []struct {
		name   string
		action models.Action
	}{
		{"last_day.made", models.ActionAuthorizationMade}, {"last_day.refreshed", models.ActionRefreshed},
		{"last_day.revoked", models.ActionRevoked}, {"last_day.refresh_failed", models.ActionRefreshFailed},
	} {
		d = append(d, models.Detail{Name: day.name, Value: count(actions[day.action])})
	}
	return d, byStatus, nil
}

// hourly remembers the last hour in which this process asked for hourly work, to
// spare the question. That it is done once whatever the number of processes is
// the unique key's doing (O1).
type hourly struct {
	mu   sync.Mutex
	hour int64
}

func (h *hourly) begins(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	hour := now.Unix() / 3600
	fresh := hour != h.hour
	h.hour = hour
	return fresh
}

// again has the hour's work done once more: it failed in part.
func (h *hourly) again() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hour = 0
}

// hourlyStats has every organisation counted once an hour.
func (s *Service) hourlyStats(ctx context.Context) (err error) {
	now, err := s.store.Now(ctx)
	if err != nil || !s.swept.begins(now) {
		return err
	}
	defer func() {
		if err != nil {
			s.swept.again()
		}
	}()
	orgs, err := s.store.Organisations(ctx)
	if err != nil {
		return err
	}
	hour := now.UTC().Format("2006-01-02T15")
	for _, org := range orgs {
		key := string(models.JobStats) + ":" + org + ":" + hour
		if _, failed := s.newStats(ctx, models.Caller{OrgID: org}, &key); !errors.Is(failed, store.ErrDuplicate) {
			err = errors.Join(err, failed) // the others' are asked for all the same
		}
	}
	return err
}
