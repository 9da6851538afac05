package broker

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// detailsCap bounds every list in a job's details; the full count stands beside.
const detailsCap = 100

// revocationDetails derives what a job that revokes shows: whose authorizations,
// the outcomes, how fast it goes and what it waits for.
func (s *Service) revocationDetails(ctx context.Context, j models.Job) (models.Details, error) {
	d := append(outcomeDetails(j), models.Detail{Name: "authorization_ids", Value: append([]string{}, j.SampleIDs...)})
	if !j.Status.Final() {
		running, err := s.runningDetails(ctx, j)
		if err != nil {
			return nil, err
		}
		d = append(d, running...)
	}
	if j.Failed == 0 {
		return d, nil
	}
	failed, err := s.store.JobItems(ctx, j.ID, store.ItemFilter{Outcomes: []string{string(models.OutcomeFailed)}, Limit: detailsCap})
	for _, item := range failed {
		d = append(d, models.Detail{Name: "failure", Value: fmt.Sprintf("%s: %s", item.AuthorizationID, item.Reason)})
	}
	return d, err
}

// outcomeDetails are the details of a job that revokes which are short whatever
// its size, and cost no query.
func outcomeDetails(j models.Job) models.Details {
	var d models.Details
	for _, named := range []struct {
		name  string
		value *string
	}{{"provider_id", j.ProviderID}, {"user_id", j.UserID}, {"resumes", j.Resumes}} {
		if named.value != nil {
			d = append(d, models.Detail{Name: named.name, Value: *named.value})
		}
	}
	d = append(d, models.Detail{Name: "total", Value: count(j.Total)})
	for _, o := range models.Outcomes {
		d = append(d, models.Detail{Name: string(o), Value: count(j.Count(o))})
	}
	for _, n := range []struct {
		name  string
		value int64
	}{{"kept", j.Kept}, {"spared_for_other_organisations", j.Spared}} {
		if n.value > 0 {
			d = append(d, models.Detail{Name: n.name, Value: count(n.value)})
		}
	}
	d = append(d, models.Detail{Name: "pending", Value: count(pending(j))})
	if j.Failure != "" {
		d = append(d, models.Detail{Name: "error", Value: j.Failure})
	}
	return d
}

// storedDetails are those of a job that keeps them itself, and why it ended.
func storedDetails(j models.Job) models.Job {
	if j.Failure != "" {
		j.Details = append(slices.Clone(j.Details), models.Detail{Name: "error", Value: j.Failure})
	}
	return j
}

func pending(j models.Job) int64 { return max(0, j.Total-j.Settled()) }

// runningDetails are the pace of a job, an estimate of its end, and until when it
// waits, for an upstream that asked for it or for its share of an upstream's budget.
func (s *Service) runningDetails(ctx context.Context, j models.Job) (models.Details, error) {
	var d models.Details
	now, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	ahead, err := s.outlook(ctx, j)
	if err != nil {
		return nil, err
	}
	if j.StartedAt != nil && j.Settled() > 0 {
		rate := float64(j.Settled()) / max(now.Sub(*j.StartedAt).Seconds(), 0.001)
		left := time.Duration(min(float64(pending(j))/rate, math.MaxInt32) * float64(time.Second))
		d = append(d, models.Detail{Name: "per_second", Value: strconv.FormatFloat(rate, 'f', 1, 64)},
			models.Detail{Name: "estimated_end", Value: now.Add(max(ahead.paused+left, ahead.least)).UTC().Format(time.RFC3339)})
	}
	if ahead.paused > 0 {
		d = append(d, models.Detail{Name: "paused_until", Value: now.Add(ahead.paused).UTC().Format(time.RFC3339)})
	}
	return d, nil
}

func count(n int64) string { return strconv.FormatInt(n, 10) }
