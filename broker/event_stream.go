package broker

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
)

// EventFeed follows the events of an organisation for one admin. It is used by one goroutine, and has to be closed.
type EventFeed struct {
	s      *Service
	org    string
	at     int64 // the number of the last event that was returned
	poller *poller[int64]
	leave  func()
	marked time.Time // when the organisation was noted as following last
}

// FollowEvents begins to follow the events of the caller's organisation, for admins: those after a number that an event had, or
// from now on where there is none. Events that are not kept any more are gone.
func (s *Service) FollowEvents(ctx context.Context, c models.Caller, after *int64) (*EventFeed, error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return nil, err
	}
	f := &EventFeed{s: s, org: c.OrgID, marked: time.Now()}
	last, err := s.store.Follow(ctx, f.org)
	if err != nil {
		return nil, err
	}
	f.at = last
	if after != nil {
		kept, err := s.store.KeptSince(ctx, f.org, *after)
		if err != nil {
			return nil, err
		}
		if !kept {
			return nil, &models.Error{Code: models.CodeGone, Detail: "events_gone",
				Message: "Events are kept for seven days, and those after this one are not all there any more. Read the present state with the other operations, and follow the events without Last-Event-ID."}
		}
		f.at = *after
	}
	if f.leave, err = s.beginWaiting(c); err != nil {
		return nil, err
	}
	f.poller, _ = s.feeds.join(f.org, func() *poller[int64] {
		return newPoller(func(ctx context.Context) (int64, error) { return s.store.LastNumber(ctx, f.org) },
			func(a, b int64) bool { return a == b }, func(_ context.Context, n int64) (int64, error) { return n, nil })
	})
	return f, nil
}

// At returns the number of the last event that was returned, or at which the feed began.
func (f *EventFeed) At() int64 { return f.at }

// Next returns the events that come next, in their order, as soon as there are any, and none when ctx ends before.
func (f *EventFeed) Next(ctx context.Context) ([]models.Event, error) {
	if time.Since(f.marked) > followAgain {
		if _, err := f.s.store.Follow(context.WithoutCancel(ctx), f.org); err != nil {
			return nil, err
		}
		f.marked = time.Now()
	}
	now, err := f.poller.await(ctx, func(now snapshot[int64]) bool { return now.err != nil || now.row > f.at })
	if err != nil {
		return nil, nil // ctx has ended
	}
	if now.err != nil {
		return nil, now.err
	}
	events, err := f.s.store.EventsAfter(context.WithoutCancel(ctx), f.org, f.at, numberBatch)
	if err != nil {
		return nil, err
	}
	if len(events) == 0 { // what is new is for one webhook
		f.at = now.row
		return nil, nil
	}
	f.at = *events[len(events)-1].Number
	return events, nil
}

// Close ends the feed.
func (f *EventFeed) Close() {
	f.s.feeds.leave(f.org, f.poller)
	f.leave()
}
