package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/store"
)

// Webhooks are addresses that an organisation is told events at. They are for admins whose API token is not limited.

// NewWebhook is what a webhook is asked for with.
type NewWebhook struct {
	URL         string
	Description string
	Events      []string // the types that are sent; none for all
}

// WebhookPatch is what may be changed of a webhook; nil fields stay as they are.
type WebhookPatch struct {
	URL         *string
	Description *string
	Events      *[]string
	Status      *models.WebhookStatus
}

// MakeWebhook makes a webhook and returns the secret that its requests are signed with, once. It is sent a test event, and
// nothing else until it has accepted that.
func (s *Service) MakeWebhook(ctx context.Context, c models.Caller, n NewWebhook) (models.Webhook, models.Secret, error) {
	return s.makeWebhook(ctx, c, newID(), n)
}

// MakeWebhookOnce is MakeWebhook for a form. Sent again, the form makes nothing more: the secret was shown then, and is not
// shown again.
func (s *Service) MakeWebhookOnce(ctx context.Context, c models.Caller, form string, n NewWebhook) (models.Webhook, models.Secret, error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return models.Webhook{}, "", err
	}
	id, err := madeBy(c, form)
	if err != nil {
		return models.Webhook{}, "", err
	}
	_, err = s.store.Webhook(ctx, id)
	if store.IsNotFound(err) {
		h, secret, err := s.makeWebhook(ctx, c, id, n)
		if errors.Is(err, store.ErrDuplicate) {
			err = errSecretShown
		}
		return h, secret, err
	}
	if err == nil {
		err = errSecretShown
	}
	return models.Webhook{}, "", err
}

var errSecretShown = models.Errorf(models.CodeConflict, "This form was sent before, and the secret of its webhook was shown then. If nobody kept it, give the webhook a new one.")

func (s *Service) makeWebhook(ctx context.Context, c models.Caller, id string, n NewWebhook) (models.Webhook, models.Secret, error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return models.Webhook{}, "", err
	}
	h := models.Webhook{ID: id, OrgID: c.OrgID, URL: n.URL, Description: n.Description, Events: n.Events, Status: models.WebhookActive}
	if wrong := s.judgeWebhook(h); len(wrong) > 0 {
		return h, "", models.Invalid(wrong...)
	}
	keys := newWebhookKeys()
	if err := s.sealKeys(&h, keys); err != nil {
		return h, "", err
	}
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		made, err := tx.InsertWebhook(ctx, &h, maxWebhooks)
		if err != nil {
			return err
		}
		if !made {
			return models.Errorf(models.CodeConflict, "The organisation has %d webhooks, which is as many as there may be. Delete one that is not needed.", maxWebhooks)
		}
		if err := tx.Tell(ctx, testEvent(h)); err != nil {
			return err
		}
		return tx.Audit(ctx, event(c, models.ActionWebhookCreated).code(h.ID).done())
	})
	return h, keys.secret(), err
}

func testEvent(h models.Webhook) models.Event {
	return models.Event{OrgID: h.OrgID, Type: models.EventTest, WebhookID: h.ID}
}

// judgeWebhook returns what is wrong with a webhook.
func (s *Service) judgeWebhook(h models.Webhook) []models.FieldError {
	var wrong []models.FieldError
	bad := func(name, message string) { wrong = append(wrong, models.FieldError{Name: name, Message: message}) }
	if err := s.receivers.Check(h.URL); err != nil {
		bad("url", err.Error())
	}
	if utf8.RuneCountInString(h.Description) > 255 || !printable(h.Description) {
		bad("description", "must be at most 255 printable characters")
	}
	for i, e := range h.Events {
		switch {
		case !slices.Contains(models.EventTypes, models.EventType(e)):
			bad(fmt.Sprintf("events[%d]", i), "must be one of "+enumeration(models.EventTypes))
		case slices.Contains(h.Events[:i], e):
			bad(fmt.Sprintf("events[%d]", i), "is named twice")
		}
	}
	return wrong
}

func (s *Service) sealKeys(h *models.Webhook, keys webhookKeys) (err error) {
	h.PublicKey = keys.public()
	h.Sealed, err = s.sealJSON(secrets.WebhookOwner(h.ID, h.OrgID), keys)
	return err
}

// Webhooks returns a page of the organisation's webhooks, the oldest first. limit 0 means 100.
func (s *Service) Webhooks(ctx context.Context, c models.Caller, limit int, cursor string) (Page[models.Webhook], error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return Page[models.Webhook]{}, err
	}
	limit, after, err := paging(limit, 100, cursor)
	if err != nil {
		return Page[models.Webhook]{}, err
	}
	rows, err := s.store.Webhooks(ctx, c.OrgID, after, limit+1)
	return cut(rows, limit, after, func(h models.Webhook) store.Position { return store.Position{CreatedAt: h.CreatedAt, ID: h.ID} }, asItIs), err
}

// Webhook returns a webhook of the organisation.
func (s *Service) Webhook(ctx context.Context, c models.Caller, id string) (models.Webhook, error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return models.Webhook{}, err
	}
	h, err := s.store.Webhook(ctx, id)
	if err == nil && h.OrgID != c.OrgID {
		return models.Webhook{}, store.NotFound("Webhook")
	}
	return h, err
}

// changeWebhook locks a webhook of the organisation, has it changed, and writes and audits that.
func (s *Service) changeWebhook(ctx context.Context, c models.Caller, id string, action models.Action, change func(*store.Store, *models.Webhook) error) (models.Webhook, error) {
	h, err := s.Webhook(ctx, c, id)
	if err != nil {
		return h, err
	}
	return h, s.store.Tx(ctx, func(tx *store.Store) error {
		if h, err = tx.LockWebhook(ctx, id); err != nil {
			return err
		}
		if err := change(tx, &h); err != nil {
			return err
		}
		if err := tx.SaveWebhook(ctx, &h); err != nil {
			return err
		}
		return tx.Audit(ctx, event(c, action).code(id).done())
	})
}

// ChangeWebhook changes a webhook. A new address is sent a test event, and nothing else until it has accepted that. What was
// waiting for one that is switched on again is tried at once.
func (s *Service) ChangeWebhook(ctx context.Context, c models.Caller, id string, p WebhookPatch) (models.Webhook, error) {
	return s.changeWebhook(ctx, c, id, models.ActionWebhookChanged, func(tx *store.Store, h *models.Webhook) error {
		before := *h
		set(&h.URL, p.URL)
		set(&h.Description, p.Description)
		set((*[]string)(&h.Events), p.Events)
		set(&h.Status, p.Status)
		wrong := s.judgeWebhook(*h)
		if h.Status != models.WebhookActive && h.Status != models.WebhookOff {
			wrong = append(wrong, models.FieldError{Name: "status", Message: "must be active or off"})
		}
		if len(wrong) > 0 {
			return models.Invalid(wrong...)
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		if h.Status == models.WebhookOff && before.Status != models.WebhookOff {
			h.OffReason, h.OffAt = models.OffByAdmin, &now
		}
		if h.URL != before.URL || h.Status == models.WebhookActive && before.Status != models.WebhookActive {
			if h.Status == models.WebhookActive {
				h.OffReason, h.OffAt = "", nil
			}
			h.FailingSince, h.Failures, h.NextAt = nil, 0, now
			if err := tx.RetryDeliveries(ctx, id); err != nil {
				return err
			}
		}
		if h.URL == before.URL {
			return nil
		}
		h.Confirmed = false
		return tx.Tell(ctx, testEvent(*h))
	})
}

// RotateWebhook gives a webhook new keys and returns its new secret, once. For a day requests are signed with the former ones
// too.
func (s *Service) RotateWebhook(ctx context.Context, c models.Caller, id string) (models.Webhook, models.Secret, error) {
	keys := newWebhookKeys()
	h, err := s.changeWebhook(ctx, c, id, models.ActionWebhookRotated, func(tx *store.Store, h *models.Webhook) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		until := now.Add(formerKeysLife)
		h.FormerSealed, h.FormerUntil = h.Sealed, &until
		return s.sealKeys(h, keys)
	})
	return h, keys.secret(), err
}

// TestWebhook has a test event sent to a webhook.
func (s *Service) TestWebhook(ctx context.Context, c models.Caller, id string) error {
	_, err := s.changeWebhook(ctx, c, id, models.ActionWebhookTested, func(tx *store.Store, h *models.Webhook) error {
		if h.Status != models.WebhookActive {
			return webhookOff
		}
		return tx.Tell(ctx, testEvent(*h))
	})
	return err
}

var webhookOff = models.Errorf(models.CodeConflict, "The webhook is off. Switch it on first.")

// DeleteWebhook deletes a webhook with all that waits for it.
func (s *Service) DeleteWebhook(ctx context.Context, c models.Caller, id string) error {
	if _, err := s.Webhook(ctx, c, id); err != nil {
		return err
	}
	return s.store.Tx(ctx, func(tx *store.Store) error {
		if _, err := tx.LockWebhook(ctx, id); err != nil {
			return err
		}
		if gone, err := tx.DeleteWebhook(ctx, id); err != nil || !gone {
			return err
		}
		return tx.Audit(ctx, event(c, models.ActionWebhookDeleted).code(id).done())
	})
}

// DeliveryQuery filters and pages the deliveries of a webhook.
type DeliveryQuery struct {
	Status string // "" for all
	Limit  int    // 0 means 100
	Cursor string
}

// Deliveries returns a page of what is or was on its way to a webhook, the newest first.
func (s *Service) Deliveries(ctx context.Context, c models.Caller, id string, q DeliveryQuery) (Page[models.Delivery], error) {
	if _, err := s.Webhook(ctx, c, id); err != nil {
		return Page[models.Delivery]{}, err
	}
	limit, after, err := paging(q.Limit, 100, q.Cursor)
	if err != nil {
		return Page[models.Delivery]{}, err
	}
	if q.Status != "" {
		if err := oneOf("status", models.DeliveryStatuses, q.Status); err != nil {
			return Page[models.Delivery]{}, err
		}
	}
	rows, err := s.store.Deliveries(ctx, id, models.DeliveryStatus(q.Status), after, limit+1)
	return cut(rows, limit, after, func(d models.Delivery) store.Position { return store.Position{CreatedAt: d.CreatedAt, ID: d.ID} }, asItIs), err
}

// Replay has the event of a delivery delivered once more, behind what waits for the same connection.
func (s *Service) Replay(ctx context.Context, c models.Caller, id, delivery string) (models.Delivery, error) {
	if _, err := s.Webhook(ctx, c, id); err != nil {
		return models.Delivery{}, err
	}
	if !models.ValidID(delivery) {
		return models.Delivery{}, store.NotFound("Delivery")
	}
	var again models.Delivery
	return again, s.store.Tx(ctx, func(tx *store.Store) error {
		h, err := tx.LockWebhook(ctx, id)
		if err != nil {
			return err
		}
		if h.Status != models.WebhookActive {
			return webhookOff
		}
		if again, err = tx.ReplayDelivery(ctx, id, delivery); err != nil {
			return err
		}
		return tx.Audit(ctx, event(c, models.ActionWebhookReplayed).code(id).done())
	})
}

// keysOf opens the keys that sign for a webhook at a time: its own, and the former ones while they last.
func (s *Service) keysOf(h models.Webhook, now time.Time) ([]webhookKeys, error) {
	owner := secrets.WebhookOwner(h.ID, h.OrgID)
	var own, former webhookKeys
	if err := s.openJSON(owner, h.Sealed, &own); err != nil {
		return nil, err
	}
	if h.FormerUntil == nil || !now.Before(*h.FormerUntil) {
		return []webhookKeys{own}, nil
	}
	err := s.openJSON(owner, h.FormerSealed, &former)
	return []webhookKeys{own, former}, err
}
