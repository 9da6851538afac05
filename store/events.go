package store

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/grantd/grantd/models"
)

// FeedLife is how long events are kept to be delivered or read, and how long they are written for an organisation that
// followed its stream once and has no webhook.
const FeedLife = 7 * 24 * time.Hour

// Tell writes events into the outbox, in their order; within a transaction they stand or fall with the change. Nothing is
// written for an organisation that has no webhook and has not followed its events lately.
func (s *Store) Tell(ctx context.Context, events ...models.Event) error {
	for len(events) > 0 {
		n := 1
		for n < len(events) && events[n].OrgID == events[0].OrgID {
			n++
		}
		if err := s.tellOrg(ctx, events[:n]); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// tellOrg writes events of one organisation, in one statement.
func (s *Store) tellOrg(ctx context.Context, events []models.Event) error {
	const row = "(CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), ?)"
	rows := make([]string, len(events))
	var args []any
	for i, e := range events {
		e.ID = uuid.Must(uuid.NewV7()).String()
		e.Subject = cmp.Or(e.WebhookID, e.AuthorizationID, e.ProviderID, e.JobID)
		rows[i] = row
		args = append(args, e.ID, e.OrgID, e.WebhookID, e.Type, e.Subject, e.ProviderID, e.AuthorizationID, e.UserID, e.JobID, e.Code, s.now())
	}
	org := events[0].OrgID
	r := s.db.WithContext(ctx).Exec(`INSERT INTO outbox (event_id, org_id, webhook_id, type, subject, provider_id, authorization_id, user_id, job_id, code, at)
		SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11 FROM (VALUES `+strings.Join(rows, ", ")+`) AS told
		WHERE EXISTS (SELECT 1 FROM webhooks WHERE org_id = ? AND (off_at IS NULL OR off_at > ?))
		OR EXISTS (SELECT 1 FROM event_feeds WHERE org_id = ? AND followed_until > ?)`,
		append(args, org, s.in(-FeedLife), org, s.now())...)
	if f := s.observer.Told; f != nil && r.RowsAffected > 0 {
		s.committed(f)
	}
	return r.Error
}

// Unnumbered returns organisations that have events without a number, at most limit.
func (s *Store) Unnumbered(ctx context.Context, limit int) ([]string, error) {
	var orgs []string
	return orgs, s.db.WithContext(ctx).Raw("SELECT DISTINCT org_id FROM outbox WHERE number IS NULL LIMIT ?", limit).Scan(&orgs).Error
}

// NumberEvents gives the next numbers to at most limit committed events of an organisation, and queues them for the webhooks
// that they are for. It returns how many there were. The row of the organisation's feed is locked meanwhile, so that numbers
// are given by one process at a time, and whoever sees a number sees all those before it.
func (s *Store) NumberEvents(ctx context.Context, org string, limit int) (int, error) {
	var events []models.Event
	err := s.Tx(ctx, func(tx *Store) error {
		last, err := tx.lockFeed(ctx, org)
		if err != nil {
			return err
		}
		err = tx.db.Raw(`UPDATE outbox SET number = CAST(? AS BIGINT) + v.n FROM (SELECT position AS p, row_number() OVER (ORDER BY position) AS n FROM
			(SELECT position FROM outbox WHERE org_id = ? AND number IS NULL ORDER BY position LIMIT ?) AS next) AS v WHERE outbox.position = v.p RETURNING `+namesOf(tx.db, models.Event{}),
			last, org, limit).Scan(&events).Error
		if err != nil || len(events) == 0 {
			return err
		}
		slices.SortFunc(events, func(a, b models.Event) int { return cmp.Compare(*a.Number, *b.Number) })
		if err := tx.db.Exec("UPDATE event_feeds SET last_number = ? WHERE org_id = ?", *events[len(events)-1].Number, org).Error; err != nil {
			return err
		}
		return tx.queue(ctx, org, events)
	})
	return len(events), err
}

// lockFeed makes the row of an organisation's feed where there is none, locks it until the transaction ends, and returns the
// last number that was given.
func (s *Store) lockFeed(ctx context.Context, org string) (int64, error) {
	if err := s.db.WithContext(ctx).Exec("INSERT INTO event_feeds (org_id) VALUES (?) ON CONFLICT (org_id) DO NOTHING", org).Error; err != nil {
		return 0, err
	}
	var last int64
	return last, scanRow(s.db.WithContext(ctx).Raw("SELECT last_number FROM event_feeds WHERE org_id = ?"+s.dialect.lock, org), &last)
}

// queue makes the deliveries of events that were numbered just now, for those of the organisation's webhooks that want them.
func (s *Store) queue(ctx context.Context, org string, events []models.Event) error {
	var hooks []models.Webhook
	err := s.db.WithContext(ctx).Where("org_id = ? AND (off_at IS NULL OR off_at > ?)", org, s.in(-FeedLife)).Order("created_at, id").Find(&hooks).Error
	if err != nil || len(hooks) == 0 {
		return err
	}
	var rows []models.Delivery
	for _, e := range events {
		for _, h := range hooks {
			if e.WebhookID == h.ID || e.WebhookID == "" && (len(h.Events) == 0 || slices.Contains(h.Events, string(e.Type))) {
				rows = append(rows, deliveryOf(e, h.ID, false))
			}
		}
	}
	return s.enqueue(ctx, rows)
}

func deliveryOf(e models.Event, webhook string, replayed bool) models.Delivery {
	return models.Delivery{ID: uuid.Must(uuid.NewV7()).String(), WebhookID: webhook, EventID: e.ID, EventType: e.Type, Subject: e.Subject, Number: *e.Number,
		Replayed: replayed, Status: models.DeliveryPending}
}

// waits names what is delivered one after the other.
type waits struct{ WebhookID, Subject string }

// enqueue puts deliveries behind those of the same subject. The row of the organisation's feed is locked.
func (s *Store) enqueue(ctx context.Context, rows []models.Delivery) error {
	if len(rows) == 0 {
		return nil
	}
	var hooks, subjects []string
	for _, d := range rows {
		hooks, subjects = append(hooks, d.WebhookID), append(subjects, d.Subject)
	}
	var before []waits
	err := s.db.WithContext(ctx).Raw("SELECT DISTINCT webhook_id, subject FROM webhook_deliveries WHERE status = 'pending' AND webhook_id IN "+s.dialect.list+
		" AND subject IN "+s.dialect.list, listed(hooks), listed(subjects)).Scan(&before).Error
	if err != nil {
		return err
	}
	taken := map[waits]bool{}
	for _, b := range before {
		taken[b] = true
	}
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	for i := range rows {
		rows[i].CreatedAt = now
		if of := (waits{rows[i].WebhookID, rows[i].Subject}); !taken[of] {
			taken[of], rows[i].DueAt = true, &now
		}
	}
	return s.db.WithContext(ctx).CreateInBatches(rows, 100).Error
}

// ClaimExpiring finds connections of which it is time to tell that they will end unless the person consents again, and tells
// it, at most limit.
func (s *Store) ClaimExpiring(ctx context.Context, limit int) error {
	return s.Tx(ctx, func(tx *Store) error {
		var ids []string
		err := tx.db.Raw("UPDATE credentials SET expiring_at = NULL WHERE "+tx.dialect.rowsOf("credentials WHERE expiring_at IS NOT NULL AND expiring_at <= ? ORDER BY expiring_at LIMIT ?")+
			" RETURNING authorization_id", tx.now(), limit).Scan(&ids).Error
		if err != nil {
			return err
		}
		for _, id := range ids {
			l, err := tx.Linked(ctx, id)
			if IsNotFound(err) || err == nil && (l.Authorization.UnlinkedAt != nil || l.Status() == models.AuthorizationExpired) {
				continue
			}
			if err != nil {
				return err
			}
			if err := tx.Tell(ctx, l.Event(models.EventConnectionExpiring, "")); err != nil {
				return err
			}
		}
		return nil
	})
}

// Follow has events of an organisation written for a week from now on, whether or not it has webhooks, and returns the number
// of the last event.
func (s *Store) Follow(ctx context.Context, org string) (int64, error) {
	err := s.db.WithContext(ctx).Exec(`INSERT INTO event_feeds (org_id, followed_until) VALUES (?, ?) ON CONFLICT (org_id) DO UPDATE SET followed_until = excluded.followed_until
		WHERE event_feeds.followed_until IS NULL OR event_feeds.followed_until < ?`, org, s.in(FeedLife), s.in(FeedLife-time.Hour)).Error
	if err != nil {
		return 0, err
	}
	return s.LastNumber(ctx, org)
}

// LastNumber returns the number of an organisation's last event, 0 for none.
func (s *Store) LastNumber(ctx context.Context, org string) (int64, error) {
	var last []int64
	err := s.db.WithContext(ctx).Table("event_feeds").Where("org_id = ?", org).Pluck("last_number", &last).Error
	if err != nil || len(last) == 0 {
		return 0, err
	}
	return last[0], nil
}

// KeptSince reports whether all events of an organisation that came after a number are still there.
func (s *Store) KeptSince(ctx context.Context, org string, number int64) (bool, error) {
	last, err := s.LastNumber(ctx, org)
	if err != nil || number >= last {
		return number == last, err
	}
	var there bool // the next one, and with it all that came later
	return there, scanRow(s.db.WithContext(ctx).Raw("SELECT EXISTS (SELECT 1 FROM outbox WHERE org_id = ? AND number = ? AND at > ?)", org, number+1, s.in(-FeedLife)), &there)
}

// EventsAfter returns the events of an organisation after a number, in their order, at most limit, without those that are
// for one webhook.
func (s *Store) EventsAfter(ctx context.Context, org string, number int64, limit int) ([]models.Event, error) {
	var events []models.Event
	return events, s.db.WithContext(ctx).Where("org_id = ? AND number > ? AND webhook_id = ''", org, number).Order("number").Limit(limit).Find(&events).Error
}

// ForgetOutbox deletes at most limit events that are older than the retention, unless they wait to be delivered.
func (s *Store) ForgetOutbox(ctx context.Context, retention time.Duration, limit int) (int64, error) {
	return s.forget(ctx, "outbox", "at", " AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.event_id = outbox.event_id AND d.status = 'pending')", retention, limit)
}

// ForgetDeliveries deletes at most limit deliveries that have ended and are older than the retention.
func (s *Store) ForgetDeliveries(ctx context.Context, retention time.Duration, limit int) (int64, error) {
	return s.forget(ctx, "webhook_deliveries", "created_at", " AND status <> 'pending'", retention, limit)
}

// ForgetWaiting deletes at most limit deliveries that have waited for longer than the retention for webhooks that are off.
func (s *Store) ForgetWaiting(ctx context.Context, retention time.Duration, limit int) (int64, error) {
	r := s.db.WithContext(ctx).Exec("DELETE FROM webhook_deliveries WHERE position IN (SELECT d.position FROM webhooks w JOIN webhook_deliveries d ON d.webhook_id = w.id "+
		"AND d.status = 'pending' AND d.created_at <= ? WHERE w.status = 'off' LIMIT ?)", s.in(-retention), limit)
	return r.RowsAffected, r.Error
}
