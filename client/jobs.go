package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"path"
	"reflect"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
)

// accepted sends a request that is answered with a job's location.
func (c *Client) accepted(ctx context.Context, method, path string, query url.Values, in any) (string, error) {
	var answer struct {
		Location string `json:"location"`
	}
	if err := c.call(ctx, method, path, query, in, &answer); err != nil {
		return "", err
	}
	if answer.Location == "" {
		return "", errors.New("the answer names no job")
	}
	return answer.Location, nil
}

// StartStats begins counting the organisation's providers and authorizations,
// and returns the location of the job that does so.
func (c *Client) StartStats(ctx context.Context) (location string, err error) {
	return c.accepted(ctx, http.MethodPost, "jobs/", nil, map[string]models.JobType{"type": models.JobStats})
}

// JobQuery filters a list of jobs. Empty means all.
type JobQuery struct {
	Types      []models.JobType
	Statuses   []models.JobStatus
	ProviderID string
}

// Jobs goes through the organisation's jobs, the newest first. Their details
// leave out the lists that a single job shows.
func (c *Client) Jobs(ctx context.Context, q JobQuery) iter.Seq2[models.Job, error] {
	query := url.Values{"types": texts(q.Types), "status": texts(q.Statuses)}
	set(query, "providerId", q.ProviderID)
	return list[models.Job](ctx, c, "jobs/", query)
}

// JobItems goes through what the job with this id or location did about each
// authorization: all of it, or what ended with one of the outcomes. It is
// complete once the job has ended.
func (c *Client) JobItems(ctx context.Context, location string, outcomes ...models.Outcome) iter.Seq2[models.JobItem, error] {
	id, err := jobID(location)
	if err != nil {
		return func(yield func(models.JobItem, error) bool) { yield(models.JobItem{}, err) }
	}
	return list[models.JobItem](ctx, c, at("jobs", id, "items/"), url.Values{"outcome": texts(outcomes)})
}

func texts[T ~string](values []T) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = string(v)
	}
	return all
}

// Job returns the job with this id or location. A location is made for the
// public URL; it is read here from the base URL all the same.
func (c *Client) Job(ctx context.Context, location string) (models.Job, error) {
	return c.job(ctx, location, nil)
}

func (c *Client) job(ctx context.Context, location string, query url.Values) (models.Job, error) {
	var j models.Job
	id, err := jobID(location)
	if err != nil {
		return j, err
	}
	return j, c.call(ctx, http.MethodGet, at("jobs", id), query, nil, &j)
}

func jobID(location string) (string, error) {
	u, err := url.Parse(location)
	if err != nil || strings.Trim(u.Path, "/") == "" {
		return "", fmt.Errorf("%q is not the location of a job", location)
	}
	return path.Base(u.Path), nil
}

// WaitJob follows a job, tells onChange, unless that is nil, about each new state
// of it, and returns its last one. grantd answers when there is news; it is asked
// again no sooner than after pace. That the job ended in ERROR is no error here:
// its details say what happened.
func (c *Client) WaitJob(ctx context.Context, location string, pace time.Duration, onChange func(models.Job)) (models.Job, error) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	var last models.Job
	var query url.Values // the first state is wanted at once
	for {
		j, err := c.job(ctx, location, query)
		if err != nil {
			return last, err
		}
		if onChange != nil && !reflect.DeepEqual(j, last) {
			onChange(j)
		}
		if last = j; j.Status.Final() {
			return j, nil
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-tick.C:
		}
		query = url.Values{"wait": {c.patience().String()}}
	}
}

// patience is how long one request may wait for news: well within what the HTTP
// client, and any proxy on the way, take for a failure.
func (c *Client) patience() time.Duration {
	wait := 20 * time.Second
	if t := c.http.Timeout; t > 0 {
		wait = max(time.Millisecond, min(wait, t/2))
	}
	return wait
}
