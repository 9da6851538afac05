package store

import (
	"context"
	"slices"
	"time"

	"github.com/grantd/grantd/models"
)

// InsertWebhook keeps a new webhook, unless the organisation has as many as it may have.
func (s *Store) InsertWebhook(ctx context.Context, h *models.Webhook, most int) (bool, error) {
	if _, err := s.lockFeed(ctx, h.OrgID); err != nil {
		return false, err
	}
	var n int64
	if err := s.db.WithContext(ctx).Model(&models.Webhook{}).Where("org_id = ?", h.OrgID).Count(&n).Error; err != nil || n >= int64(most) {
		return false, err
	}
	now, err := s.Now(ctx)
	if err != nil {
		return false, err
	}
	h.CreatedAt, h.UpdatedAt, h.NextAt = now, now, now
	return true, s.db.WithContext(ctx).Create(h).Error
}

// Webhook returns the webhook with this id.
func (s *Store) Webhook(ctx context.Context, id string) (models.Webhook, error) {
	var h models.Webhook
	return h, found(s.db.WithContext(ctx).First(&h, "id = ?", id).Error, "Webhook")
}

// LockWebhook returns the webhook with this id; nobody changes it, delivers to it or queues for it until the transaction ends.
func (s *Store) LockWebhook(ctx context.Context, id string) (models.Webhook, error) {
	h, err := s.Webhook(ctx, id)
	if err != nil {
		return h, err
	}
	if _, err := s.lockFeed(ctx, h.OrgID); err != nil {
		return h, err
	}
	return s.Webhook(ctx, id)
}

// Webhooks returns a page of an organisation's webhooks, the oldest first.
func (s *Store) Webhooks(ctx context.Context, org string, after *Position, limit int) ([]models.Webhook, error) {
	return pageBy[models.Webhook](s.db.WithContext(ctx).Where("org_id = ?", org), "created_at", after, false, limit)
}

// SaveWebhook writes a webhook that is locked.
func (s *Store) SaveWebhook(ctx context.Context, h *models.Webhook) error {
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	h.UpdatedAt = now
	return s.db.WithContext(ctx).Save(h).Error
}

// DeleteWebhook deletes a webhook with all that waits for it, and reports whether it was there.
func (s *Store) DeleteWebhook(ctx context.Context, id string) (bool, error) {
	return changed(s.db.WithContext(ctx).Exec("DELETE FROM webhooks WHERE id = ?", id))
}

// RetryDeliveries has all that waits for a locked webhook tried now: of each subject the first.
func (s *Store) RetryDeliveries(ctx context.Context, webhook string) error {
	return s.db.WithContext(ctx).Exec(`UPDATE webhook_deliveries SET due_at = ? WHERE lease = '' AND position IN
		(SELECT min(position) FROM webhook_deliveries WHERE webhook_id = ? AND status = 'pending' GROUP BY subject)`, s.now(), webhook).Error
}

// Deliveries returns a page of what is or was on its way to a webhook, the newest first. status "" is for all.
func (s *Store) Deliveries(ctx context.Context, webhook string, status models.DeliveryStatus, after *Position, limit int) ([]models.Delivery, error) {
	q := s.db.WithContext(ctx).Where("webhook_id = ?", webhook)
	if status != "" {
		q = q.Where("status = ?", status)
	}
	return pageBy[models.Delivery](q, "created_at", after, true, limit)
}

// ReplayDelivery queues the event of a delivery once more. The webhook is locked. It is ErrNotFound where the event is kept no
// longer.
func (s *Store) ReplayDelivery(ctx context.Context, webhook, delivery string) (models.Delivery, error) {
	var d models.Delivery
	if err := s.db.WithContext(ctx).First(&d, "id = ? AND webhook_id = ?", delivery, webhook).Error; err != nil {
		return d, found(err, "Delivery")
	}
	var e models.Event
	if err := s.db.WithContext(ctx).First(&e, "event_id = ?", d.EventID).Error; err != nil {
		return d, found(err, "Event")
	}
	again := []models.Delivery{deliveryOf(e, webhook, true)}
	err := s.enqueue(ctx, again)
	return again[0], err
}

// Receiver is a webhook that has something due.
type Receiver struct{ ID, OrgID string }

// DueReceivers returns webhooks that have something due, at most limit: first those of the organisations that were served
// longest ago.
func (s *Store) DueReceivers(ctx context.Context, limit int) ([]Receiver, error) {
	var all []Receiver
	return all, s.db.WithContext(ctx).Raw(`SELECT w.id, w.org_id FROM webhooks w JOIN event_feeds f ON f.org_id = w.org_id WHERE w.status = 'active' AND w.next_at <= ?
		AND EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.due_at <= ? AND (w.confirmed OR d.event_type = ?))
		ORDER BY CASE WHEN f.served_at IS NULL THEN 0 ELSE 1 END, f.served_at, w.id LIMIT ?`, s.now(), s.now(), models.EventTest, limit).Scan(&all).Error
}

// InFlight bounds how many deliveries are under way at once.
type InFlight struct{ Webhook, Org int }

// ClaimDeliveries gives the lease on at most limit deliveries of a webhook that are due, as long as no more than most are under
// way. A webhook whose receiver is away is sent one at a time.
func (s *Store) ClaimDeliveries(ctx context.Context, of Receiver, lease string, life time.Duration, most InFlight, away, limit int) (models.Webhook, []models.Delivery, error) {
	var h models.Webhook
	var claimed []models.Delivery
	err := s.Tx(ctx, func(tx *Store) error {
		var err error
		if h, err = tx.LockWebhook(ctx, of.ID); err != nil {
			return err
		}
		var ofWebhook, ofOrg int
		if err := scanRow(tx.db.Raw(`SELECT coalesce(sum(CASE WHEN d.webhook_id = ? THEN 1 ELSE 0 END), 0), count(*) FROM webhooks w JOIN webhook_deliveries d
			ON d.webhook_id = w.id AND d.due_at > ? AND d.lease <> '' WHERE w.org_id = ?`, of.ID, tx.now(), of.OrgID), &ofWebhook, &ofOrg); err != nil {
			return err
		}
		if h.Failures >= away {
			most.Webhook = 1
		}
		n := min(limit, most.Webhook-ofWebhook, most.Org-ofOrg)
		if n <= 0 || h.Status != models.WebhookActive {
			return nil
		}
		if err := tx.db.Exec("UPDATE event_feeds SET served_at = ? WHERE org_id = ?", tx.now(), of.OrgID).Error; err != nil {
			return err
		}
		return tx.db.Raw(`UPDATE webhook_deliveries SET lease = ?, due_at = ? WHERE position IN (SELECT position FROM webhook_deliveries WHERE webhook_id = ? AND due_at <= ?
			AND (? OR event_type = ?) ORDER BY due_at, position LIMIT ?) RETURNING `+namesOf(tx.db, models.Delivery{}),
			lease, tx.in(life), of.ID, tx.now(), h.Confirmed, models.EventTest, n).Scan(&claimed).Error
	})
	if IsNotFound(err) {
		return h, nil, nil // deleted meanwhile
	}
	return h, claimed, err
}

// EventByID returns an event of the outbox.
func (s *Store) EventByID(ctx context.Context, id string) (models.Event, error) {
	var e models.Event
	return e, found(s.db.WithContext(ctx).First(&e, "event_id = ?", id).Error, "Event")
}

// Tried is how an attempt to deliver ended.
type Tried struct {
	Attempt  models.Attempt
	Accepted bool
	Gone     bool // the receiver wants nothing more
	Away     bool // nobody answered, or with a failure of the server's own
}

// Patience says how long deliveries are tried.
type Patience struct {
	Retry time.Duration // when this delivery is tried again
	Pause time.Duration // for how long nothing is sent to the webhook, where the receiver is away
	Away  int           // attempts in a row after which it counts as away
	Most  time.Duration // how long one delivery is tried, and how long a webhook may accept nothing
	Kept  int           // attempts that are kept
}

// EndDelivery writes down how an attempt ended, if the lease on the delivery is still the one that it was claimed with, and
// returns the webhook. What is accepted, or has been tried for long enough, lets the next event of its subject go.
func (s *Store) EndDelivery(ctx context.Context, d models.Delivery, t Tried, p Patience) (h models.Webhook, off bool, err error) {
	err = s.Tx(ctx, func(tx *Store) error {
		off = false
		if h, err = tx.LockWebhook(ctx, d.WebhookID); err != nil {
			return err
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		attempts := append(slices.Clone(d.Attempts), t.Attempt)
		first := d.FirstTry
		if first == nil {
			first = &now
		}
		row := map[string]any{"lease": "", "tries": d.Tries + 1, "first_try": first, "attempts": attempts[max(0, len(attempts)-p.Kept):]}
		wasAway := h.Failures >= p.Away
		off = noteAttempt(&h, t, p, now)
		ended := models.DeliveryPending
		switch {
		case t.Accepted:
			ended = models.DeliveryDelivered
		case !off && now.Sub(*first) >= p.Most:
			ended = models.DeliveryFailed
		}
		row["status"], row["due_at"] = ended, nil
		if ended == models.DeliveryPending {
			row["due_at"] = tx.in(p.Retry)
		}
		mine, err := changed(tx.db.Model(&models.Delivery{}).Where("position = ? AND lease = ? AND status = 'pending'", d.Position, d.Lease).Updates(row))
		if err != nil || !mine {
			off = false
			return err
		}
		if t.Accepted && d.EventType == models.EventTest {
			h.Confirmed = true
		}
		if err := tx.db.Save(&h).Error; err != nil {
			return err
		}
		if t.Accepted && (wasAway || d.EventType == models.EventTest) {
			return tx.RetryDeliveries(ctx, h.ID)
		}
		if ended == models.DeliveryPending {
			return nil
		}
		return tx.db.Exec(`UPDATE webhook_deliveries SET due_at = ? WHERE lease = '' AND due_at IS NULL AND position =
			(SELECT min(position) FROM webhook_deliveries WHERE webhook_id = ? AND subject = ? AND status = 'pending')`, tx.now(), d.WebhookID, d.Subject).Error
	})
	if IsNotFound(err) {
		err = nil // deleted meanwhile
	}
	return h, off, err
}

// noteAttempt changes a webhook by how an attempt ended, and reports whether that switches it off.
func noteAttempt(h *models.Webhook, t Tried, p Patience, now time.Time) (off bool) {
	if t.Accepted {
		h.FailingSince, h.Failures, h.NextAt, h.LastDeliveredAt = nil, 0, now, &now
		return false
	}
	if h.FailingSince == nil {
		h.FailingSince = &now
	}
	if t.Away {
		if h.Failures++; h.Failures >= p.Away {
			h.NextAt = now.Add(p.Pause)
		}
	}
	if h.Status != models.WebhookActive {
		return false
	}
	switch {
	case t.Gone:
		h.OffReason = models.OffGone
	case now.Sub(*h.FailingSince) >= p.Most:
		h.OffReason = models.OffFailing
	default:
		return false
	}
	h.Status, h.OffAt = models.WebhookOff, &now
	return true
}
