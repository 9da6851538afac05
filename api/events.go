package api

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"

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
		s.stream(out, watch, in.LastEventID)
	}}, nil
}

// stream sends a job's states until it ends, the client leaves, its token ends or
// the server drains.
func (s *Server) stream(out huma.Context, watch *broker.JobWatch, seen string) {
	r := humaecho.UnwrapV4(out).Request()
	ctx, cancel := s.whileServing(r.Context())
	defer cancel()
	e := openEvents(out, seen)
	for {
		j, err := watch.Job()
		if err != nil {
			_ = s.problem(ctx, err) // only for the log: the status has been sent
			return
		}
		if err := e.tell(job(j)); err != nil || j.Status.Final() {
			return
		}
		beat, stop := context.WithTimeout(ctx, s.beat)
		watch.Changed(beat)
		stop()
		if _, err := s.identify(r); ctx.Err() != nil || err != nil { // a stream does not outlive its token
			return
		}
	}
}

// events is a stream of a job's states.
type events struct {
	out   huma.Context
	flush *http.ResponseController
	last  string // the id of the state that the client knows
}

func openEvents(out huma.Context, seen string) *events {
	out.SetHeader("Content-Type", eventStream)
	out.SetHeader("Cache-Control", noStore)
	out.SetHeader("X-Accel-Buffering", "no") // nginx would keep events until they fill its buffer
	out.SetStatus(http.StatusOK)
	return &events{out, http.NewResponseController(humaecho.UnwrapV4(out).Response()), seen}
}

// tell sends a state; in place of one that the client knows, only that the stream
// is alive.
func (e *events) tell(j *models.Job) error {
	event, err := eventOf(j)
	if err != nil {
		return err
	}
	if event.id == e.last && !j.Status.Final() {
		return e.write(": nothing new\n\n")
	}
	e.last = event.id
	return e.write(event.text)
}

// event is a job's state as it is sent. Its id is a hash of the state.
type event struct{ id, text string }

func eventOf(j *models.Job) (event, error) {
	body, err := json.Marshal(j)
	if err != nil {
		return event{}, err
	}
	hash := fnv.New64a()
	hash.Write(body)
	id, name := fmt.Sprintf("%016x", hash.Sum64()), eventProgress
	if j.Status.Final() {
		name = eventEnd
	}
	return event{id, fmt.Sprintf("event: %s\nid: %s\ndata: %s\n\n", name, id, body)}, nil
}

func (e *events) write(text string) error {
	allowWrite(e.out, writeTime)
	if _, err := io.WriteString(e.out.BodyWriter(), text); err != nil {
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
