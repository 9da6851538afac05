package broker

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Events are numbered and delivered by workers, from the database alone: a worker that dies costs the lease on what it was
// sending, and an event that nobody announced is found within a second. Redis has no part in it.

// noteTold has this process look for events now.
func (s *Service) noteTold() {
	select {
	case s.told <- struct{}{}:
	default: // it will look already
	}
}

// tellExpiring tells of connections that will end soon.
func (s *Service) tellExpiring(ctx context.Context) error {
	return s.store.ClaimExpiring(ctx, sweepBatch)
}

// DeliverEvents numbers events and delivers them to webhooks until ctx ends, and returns when nothing is under way any more. As
// many processes as there are may do so at once.
func (s *Service) DeliverEvents(ctx context.Context) {
	c := &courier{Service: s, ended: make(chan struct{}, 1)}
	defer c.underWay.Wait()
	for ctx.Err() == nil {
		more, err := c.round(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("looking for events to deliver failed; it is tried again", "error", err)
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.told:
		case <-c.ended:
		case <-time.After(s.timing.Events):
		}
	}
}

// courier delivers in one process.
type courier struct {
	*Service
	mu       sync.Mutex
	sending  int
	underWay sync.WaitGroup
	ended    chan struct{} // a delivery, so that there is room for another
}

// round numbers what is new and takes up what is due, of each organisation a little, and reports whether there was anything.
func (c *courier) round(ctx context.Context) (bool, error) {
	orgs, err := c.store.Unnumbered(ctx, sweepBatch)
	if err != nil {
		return false, err
	}
	any := false
	for _, org := range orgs {
		n, err := c.store.NumberEvents(ctx, org, numberBatch)
		if err != nil {
			return any, err
		}
		any = any || n > 0
	}
	free := c.free()
	if free == 0 {
		return any, nil
	}
	due, err := c.store.DueReceivers(ctx, free)
	for _, of := range due {
		if free = c.free(); free == 0 || err != nil {
			break
		}
		var h models.Webhook
		var claimed []models.Delivery
		h, claimed, err = c.store.ClaimDeliveries(ctx, of, newID(), deliveryLease, store.InFlight{Webhook: webhookInFlight, Org: orgInFlight}, receiverAway, free)
		for _, d := range claimed {
			any = true
			c.begin(ctx, h, d)
		}
	}
	return any, err
}

func (c *courier) free() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maxDeliveries - c.sending
}

func (c *courier) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sending += n
}

func (c *courier) begin(ctx context.Context, h models.Webhook, d models.Delivery) {
	c.add(1)
	c.underWay.Go(func() {
		if err := c.deliver(context.WithoutCancel(ctx), h, d); err != nil {
			c.log.Warn("delivering an event failed; it is tried again when its lease is over", "webhook", h.ID, "delivery", d.ID, "error", err)
		}
		c.add(-1)
		select {
		case c.ended <- struct{}{}:
		default:
		}
	})
}

// deliver sends an event to a webhook once, and writes down what came of it.
func (s *Service) deliver(ctx context.Context, h models.Webhook, d models.Delivery) error {
	e, err := s.store.EventByID(ctx, d.EventID)
	if err != nil {
		return err
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return err
	}
	keys, err := s.keysOf(h, now)
	if err != nil {
		return err
	}
	body, err := json.Marshal(e.Body(d.Replayed))
	if err != nil {
		return err
	}
	began := time.Now()
	header := http.Header{}
	header.Set("webhook-id", e.ID)
	header.Set("webhook-timestamp", strconv.FormatInt(began.Unix(), 10))
	header.Set("webhook-signature", signature(keys, e.ID, began, body))
	call, cancel := context.WithTimeout(ctx, deliveryTime)
	defer cancel()
	status := s.receivers.Post(call, h.URL, header, body)
	s.metrics.DeliveryTried(status)
	return s.noteDelivery(ctx, h, d, tried(status, now, time.Since(began)))
}

// tried is an attempt that was answered with a status, 0 for none.
func tried(status int, at time.Time, took time.Duration) store.Tried {
	t := store.Tried{Attempt: models.Attempt{At: at, Seconds: math.Round(took.Seconds()*10) / 10, Result: models.NotDelivered}}
	if status != 0 {
		t.Attempt.Result = strconv.Itoa(status)
	}
	t.Accepted, t.Gone = status/100 == 2, status == http.StatusGone
	t.Away = status == 0 || status >= http.StatusInternalServerError || status == http.StatusTooManyRequests
	return t
}

func (s *Service) noteDelivery(ctx context.Context, h models.Webhook, d models.Delivery, t store.Tried) error {
	patience := store.Patience{
		Retry: s.jittered(deliveryWaits[min(d.Tries, len(deliveryWaits)-1)]), Pause: min(firstAway<<min(max(0, h.Failures+1-receiverAway), 10), longestAway),
		Away: receiverAway, Most: deliveryPatience, Kept: keptAttempts,
	}
	var off bool
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		var err error
		if h, off, err = tx.EndDelivery(ctx, d, t, patience); err != nil || !off {
			return err
		}
		return tx.Audit(ctx, ownEvent(h.OrgID, models.ActionWebhookOff).code(h.ID).done())
	})
	if err == nil && off {
		s.metrics.WebhookOff(h.OffReason)
		s.log.Error("a webhook was switched off: its address is gone, or has accepted nothing for three days. An admin can switch it on again; events wait for a week",
			"webhook", h.ID, "reason", cmp.Or(h.OffReason, "unknown"))
	}
	return err
}
