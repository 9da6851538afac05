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
	open := func() (*http.Response, error) {
		id, err := jobID(location)
		if err != nil {
			return nil, err
		}
		return c.send(ctx, http.MethodGet, at("jobs", id, "events/"), nil, nil)
	}
	return stream("job", open, func(j models.Job) bool { return j.Status.Final() })
}

// Events goes through the events of the organisation as grantd streams them, for admins: those after the event with a sequence,
// or those from now on where it is nil. It goes on until ctx ends, or the connection does, which is an error: call it again with
// the sequence of the last event. Where events after that one are not kept any more, the error has the status 410. The HTTP
// client's Timeout bounds the whole stream.
func (c *Client) Events(ctx context.Context, after *int64) iter.Seq2[models.EventBody, error] {
	open := func() (*http.Response, error) {
		return c.repeat(ctx, func() (*http.Request, error) {
			request, err := c.request(ctx, http.MethodGet, "events/", nil, nil)
			if err == nil && after != nil {
				request.Header.Set("Last-Event-ID", strconv.FormatInt(*after, 10))
			}
			return request, err
		})
	}
	return stream("organisation", open, func(models.EventBody) bool { return false })
}

// stream opens a stream of server-sent events of something, and reads from each a value, up to the last one. That it ends
// before is an error.
func stream[T any](of string, open func() (*http.Response, error), last func(T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		answer, err := open()
		if err != nil {
			yield(none, err)
			return
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
			yield(none, refused(answer, body))
			return
		}
		lines := bufio.NewScanner(answer.Body)
		lines.Buffer(nil, maxAnswer)
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var v T
			if err := json.Unmarshal([]byte(data), &v); err != nil {
				yield(none, fmt.Errorf("the event is not what grantd sends: %w", err))
				return
			}
			if !yield(v, nil) || last(v) {
				return
			}
		}
		err = lines.Err()
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		yield(none, fmt.Errorf("the stream of the %s ended: %w", of, err))
	}
}
