package api

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// Huma has server-sent events of its own, but it begins to answer before the
// handler is asked, so that there could be no 404; and its ids are numbers, which
// mean nothing to another replica.

const eventStream = "text/event-stream"

// The names of the events.
const (
	eventProgress = "progress"
	eventEnd      = "end"
)

// writeTime is how long one write to a client may take.
const writeTime = 15 * time.Second

type eventsInput struct {
	ByID
	LastEventID string `header:"Last-Event-ID" doc:"The id of the event that was received last."`
}

func (s *Server) watchJob(ctx context.Context, c models.Caller, in *eventsInput) (*huma.StreamResponse, error) {
	watch, err := s.service.WatchJob(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(out huma.Context) {
		defer watch.Close()
		e := humaecho.UnwrapV4(out)
		s.stream(e, watch, follower{seen: in.LastEventID, render: asJSON, still: func() error {
			_, err := s.identify(e.Request())
			return err
		}})
	}}, nil
}

// followJob sends an admin's browser the states of a job, as render makes them, until still is an error.
func (s *Server) followJob(e echo.Context, c models.Caller, id string, render func(models.Job) ([]byte, error), still func() error) error {
	watch, err := s.service.WatchJob(e.Request().Context(), c, id)
	if err != nil {
		return err
	}
	defer watch.Close()
	s.stream(e, watch, follower{render: render, still: still, pause: pagePause})
	return nil
}

// pagePause is how long a page shows one state of a job, before it is sent the next.
const pagePause = 500 * time.Millisecond

// follower is who is told the states of a job.
type follower struct {
	seen   string // the id of the event that it received last
	render func(models.Job) ([]byte, error)
	still  func() error  // an error once it may not be told any more: a stream does not outlive its token
	pause  time.Duration // between two events
}

// stream sends a job's states until it ends, the client leaves, its token ends or
// the server drains.
func (s *Server) stream(c echo.Context, watch *broker.JobWatch, f follower) {
	ctx, cancel := s.whileServing(c.Request().Context())
	defer cancel()
	e := openEvents(c, f)
	for {
		j, err := watch.Job()
		var now event
		if err == nil {
			now, err = eventOf(j, f.render)
		}
		if err != nil {
			_ = s.problem(ctx, err) // only for the log: the status has been sent
			return
		}
		if err := e.tell(now); err != nil || now.last {
			return
		}
		beat, stop := context.WithTimeout(ctx, s.beat)
		rest(beat, f.pause)
		watch.Changed(beat)
		stop()
		if err := f.still(); ctx.Err() != nil || err != nil {
			return
		}
	}
}

// rest waits, at most until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

// events is a stream of a job's states.
type events struct {
	follower
	out   *echo.Response
	flush *http.ResponseController
}

func openEvents(c echo.Context, f follower) *events {
	out := c.Response()
	out.Header().Set("Content-Type", eventStream)
	out.Header().Set("Cache-Control", noStore)
	out.Header().Set("X-Accel-Buffering", "no") // nginx would keep events until they fill its buffer
	out.WriteHeader(http.StatusOK)
	return &events{f, out, http.NewResponseController(out)}
}

// tell sends a state; in place of one that the client knows, only that the stream
// is alive.
func (e *events) tell(now event) error {
	if now.id == e.seen && !now.last {
		return e.write(": nothing new\n\n")
	}
	e.seen = now.id
	return e.write(now.text)
}

// event is a job's state as it is sent. Its id is a hash of the state.
type event struct {
	id, text string
	last     bool // the job has ended
}

func eventOf(j models.Job, render func(models.Job) ([]byte, error)) (event, error) {
	body, err := render(j)
	if err != nil {
		return event{}, err
	}
	hash := fnv.New64a()
	hash.Write(body)
	id, name := fmt.Sprintf("%016x", hash.Sum64()), eventProgress
	if j.Status.Final() {
		name = eventEnd
	}
	text := fmt.Sprintf("event: %s\nid: %s\ndata: %s\n\n", name, id, newLines.Replace(string(body)))
	return event{id, text, j.Status.Final()}, nil
}

// newLines keeps a text of several lines together: each line of an event has its name.
var newLines = strings.NewReplacer("\r\n", "\ndata: ", "\r", "\ndata: ", "\n", "\ndata: ")

func asJSON(j models.Job) ([]byte, error) { return json.Marshal(job(j)) }

func (e *events) write(text string) error {
	_ = e.flush.SetWriteDeadline(time.Now().Add(writeTime))
	if _, err := io.WriteString(e.out, text); err != nil {
		return err
	}
	return e.flush.Flush()
}

// allowWrite lets an answer be written until then, later than the server's own
// limit. Where there is no such limit there is none to move.
func allowWrite(ctx huma.Context, d time.Duration) {
	_ = http.NewResponseController(humaecho.UnwrapV4(ctx).Response()).SetWriteDeadline(time.Now().Add(d))
}

// documentEvents describes the stream as a list of its events, since OpenAPI 3.1
// has no words for streams.
func (s *Server) documentEvents() {
	text := func(about string, values ...any) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Description: about, Enum: values}
	}
	event := &huma.Schema{
		Type: huma.TypeObject,
		Properties: map[string]*huma.Schema{
			"event": text("progress, or end for the last.", eventProgress, eventEnd),
			"id":    text("For Last-Event-ID."),
			"data":  s.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[models.Job](), true, ""),
		},
		Required: []string{"event", "id", "data"},
	}
	s.huma.OpenAPI().Paths[root+"jobs/{id}/events/"].Get.Responses["200"].Content = map[string]*huma.MediaType{
		eventStream: {Schema: &huma.Schema{Type: huma.TypeArray, Description: "The events, in the text form of server-sent events.", Items: event}},
	}
}
