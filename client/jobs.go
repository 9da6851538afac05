package client

import (
	"context"
	"errors"
	"fmt"
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

// Job returns the job with this id or location. A location is made for the
// public URL; it is read here from the base URL all the same.
func (c *Client) Job(ctx context.Context, location string) (models.Job, error) {
	var j models.Job
	u, err := url.Parse(location)
	if err != nil || strings.Trim(u.Path, "/") == "" {
		return j, fmt.Errorf("%q is not the location of a job", location)
	}
	return j, c.call(ctx, http.MethodGet, at("jobs", path.Base(u.Path)), nil, nil, &j)
}

// WaitJob asks for a job every so often, tells onChange, unless that is nil,
// about each new state of it, and returns its last one. That the job ended in
// ERROR is no error here: its details say what happened.
func (c *Client) WaitJob(ctx context.Context, location string, every time.Duration, onChange func(models.Job)) (models.Job, error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last models.Job
	for {
		j, err := c.Job(ctx, location)
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
	}
}
