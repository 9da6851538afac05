package api

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

type followInput struct {
	Wait        string `query:"wait" example:"30s" doc:"How long to follow them, in seconds or as 30s; 1ms to 60s. Without, until the client leaves."`
	LastEventID string `header:"Last-Event-ID" doc:"The id of the event that was received last."`
}

func (s *Server) followEvents(ctx context.Context, c models.Caller, in *followInput) (*huma.StreamResponse, error) {
	var after *int64
	if in.LastEventID != "" {
		n, err := strconv.ParseInt(in.LastEventID, 10, 64)
		if err != nil || n < 0 {
			return nil, models.Invalid(models.FieldError{Name: "Last-Event-ID", Message: "must be the id of an event of this stream"})
		}
		after = &n
	}
	var wait time.Duration
	if in.Wait != "" {
		var err error
		if wait, err = seconds("wait", in.Wait); err != nil {
			return nil, err
		}
		if wait < time.Millisecond || wait > broker.MaxWait {
			return nil, models.Invalid(models.FieldError{Name: "wait", Message: "must be from 1ms to 60s"})
		}
	}
	feed, err := s.service.FollowEvents(ctx, c, after)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(out huma.Context) {
		defer feed.Close()
		s.sendEvents(humaecho.UnwrapV4(out), feed, wait)
	}}, nil
}

// sendEvents sends events until the client leaves, its token ends, the server drains or, unless it is 0, the wait is over. It begins with the id at which the
// stream begins, so that a client which is cut off before its first event misses nothing either.
func (s *Server) sendEvents(c echo.Context, feed *broker.EventFeed, wait time.Duration) {
	ctx, cancel := s.whileServing(c.Request().Context())
	defer cancel()
	if wait > 0 {
		var end context.CancelFunc
		ctx, end = context.WithTimeout(ctx, wait)
		defer end()
	}
	e := openEvents(c, follower{})
	if e.write(fmt.Sprintf("id: %d\n: following\n\n", feed.At())) != nil {
		return
	}
	for {
		beat, stop := context.WithTimeout(ctx, s.beat)
		events, err := feed.Next(beat)
		stop()
		if err != nil {
			_ = s.problem(ctx, err) // only for the log: the status has been sent
			return
		}
		if _, err := s.identify(c.Request()); ctx.Err() != nil || err != nil {
			return
		}
		text := ": nothing new\n\n"
		if len(events) > 0 {
			text = ""
		}
		for _, event := range events {
			one, err := eventText(event)
			if err != nil {
				_ = s.problem(ctx, err)
				return
			}
			text += one
		}
		if e.write(text) != nil {
			return
		}
	}
}

func eventText(e models.Event) (string, error) {
	body, err := json.Marshal(e.Body(false))
	return fmt.Sprintf("event: %s\nid: %d\ndata: %s\n\n", e.Type, *e.Number, body), err
}

// documentFollowing describes the stream as a list of its events, since OpenAPI 3.1 has no words for streams.
func (s *Server) documentFollowing() {
	event := &huma.Schema{
		Type: huma.TypeObject,
		Properties: map[string]*huma.Schema{
			"event": {Type: huma.TypeString, Description: "The type of the event. The first one has no type and no data: it tells where the stream begins."},
			"id":    {Type: huma.TypeString, Description: "For Last-Event-ID: the sequence of the event."},
			"data":  s.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[models.EventBody](), true, ""),
		},
		Required: []string{"id"},
	}
	s.huma.OpenAPI().Paths[root+"events/"].Get.Responses["200"].Content = map[string]*huma.MediaType{
		eventStream: {Schema: &huma.Schema{Type: huma.TypeArray, Description: "The events, in the text form of server-sent events.", Items: event}},
	}
}
