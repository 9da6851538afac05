package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"github.com/grantd/grantd/models"
)

// WatchJob goes through the states of a job as grantd streams them (server-sent events),
// until the job ends, ctx ends, or the connection does: the last is an error. The HTTP
// client's Timeout bounds the whole stream; [Client.WaitJob] has no such bound.
func (c *Client) WatchJob(ctx context.Context, location string) iter.Seq2[models.Job, error] {
	return func(yield func(models.Job, error) bool) {
		id, err := jobID(location)
		if err != nil {
			yield(models.Job{}, err)
			return
		}
		answer, err := c.send(ctx, http.MethodGet, at("jobs", id, "events/"), nil, nil)
		if err != nil {
			yield(models.Job{}, err)
			return
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
			yield(models.Job{}, refused(answer, body))
			return
		}
		readJobs(answer.Body, yield)
	}
}

// readJobs reads a stream of events that each carry a job.
func readJobs(stream io.Reader, yield func(models.Job, error) bool) {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var j models.Job
		if err := json.Unmarshal([]byte(data), &j); err != nil {
			yield(models.Job{}, fmt.Errorf("the event is not what grantd sends: %w", err))
			return
		}
		if !yield(j, nil) || j.Status.Final() {
			return
		}
	}
	err := lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	yield(models.Job{}, fmt.Errorf("the stream ended before the job did: %w", err))
}

// Events goes through the events of the organisation as grantd streams them, for admins: those after the event with a sequence,
// or those from now on where it is nil. It goes on until ctx ends, or the connection does, which is an error: call it again with
// the sequence of the last event. Where events after that one are not kept any more, the error has the status 410. The HTTP
// client's Timeout bounds the whole stream.
func (c *Client) Events(ctx context.Context, after *int64) iter.Seq2[models.EventBody, error] {
	return func(yield func(models.EventBody, error) bool) {
		last := ""
		if after != nil {
			last = strconv.FormatInt(*after, 10)
		}
		answer, err := c.repeat(ctx, func() (*http.Request, error) {
			request, err := c.request(ctx, http.MethodGet, "events/", nil, nil)
			if err == nil && last != "" {
				request.Header.Set("Last-Event-ID", last)
			}
			return request, err
		})
		if err != nil {
			yield(models.EventBody{}, err)
			return
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
			yield(models.EventBody{}, refused(answer, body))
			return
		}
		readEvents(answer.Body, yield)
	}
}

// readEvents reads a stream of events.
func readEvents(stream io.Reader, yield func(models.EventBody, error) bool) {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e models.EventBody
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			yield(e, fmt.Errorf("the event is not what grantd sends: %w", err))
			return
		}
		if !yield(e, nil) {
			return
		}
	}
	err := lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	yield(models.EventBody{}, fmt.Errorf("the stream of events ended: %w", err))
}
