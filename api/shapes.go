package api

import (
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grantd/grantd/models"
)

// ByID is the input of what needs nothing else. It is exported because Huma
// passes over embedded fields that are not.
type ByID struct {
	ID string `path:"id" doc:"The id, as it was given out." example:"01936f2e-7c1a-7d4e-9b3f-5a6c8d2e1f04"`
}

// answer is an output with a body and nothing else.
type answer[T any] struct {
	Body *T
}

// private is an answer that must not be kept by anyone on its way.
type private[T any] struct {
	CacheControl string `header:"Cache-Control"`
	Body         *T
}

const noStore = "no-store"

func privately[T any](body *T) *private[T] {
	return &private[T]{CacheControl: noStore, Body: body}
}

// optional is a query parameter whose absence means something of its own.
type optional[T any] struct {
	Value T
	Given bool
}

// Receiver implements huma.ParamWrapper.
func (o *optional[T]) Receiver() reflect.Value { return reflect.ValueOf(o).Elem().Field(0) }

// OnParamSet implements huma.ParamReactor.
func (o *optional[T]) OnParamSet(given bool, _ any) { o.Given = given }

// Schema implements huma.SchemaProvider.
func (o *optional[T]) Schema(r huma.Registry) *huma.Schema {
	return huma.SchemaFromType(r, reflect.TypeFor[T]())
}

func (o *optional[T]) pointer() *T {
	if !o.Given {
		return nil
	}
	return &o.Value
}

// storable makes text of a query or path fit for SQL (T3).
func storable(s string) string { return models.Storable(s) }

// The times of what is sent are in UTC, wherever the database's driver put them.

func inUTC(t *time.Time) *time.Time {
	if t == nil || t.Location() == time.UTC {
		return t
	}
	u := t.UTC()
	return &u
}

func provider(p models.Provider) *models.Provider {
	p.CreatedAt, p.UpdatedAt = p.CreatedAt.UTC(), p.UpdatedAt.UTC()
	return &p
}

func authorization(a models.Authorization) *models.Authorization {
	a.CreatedAt = a.CreatedAt.UTC()
	a.RefreshTokenExpiresAt = inUTC(a.RefreshTokenExpiresAt)
	a.ExpiresAt, a.RefreshedAt, a.LastFetchedAt = inUTC(a.ExpiresAt), inUTC(a.RefreshedAt), inUTC(a.LastFetchedAt)
	if a.Provider != nil { // may be shared with other answers
		a.Provider = provider(*a.Provider)
	}
	return &a
}

func job(j models.Job) *models.Job {
	j.StartedAt, j.FinishedAt = inUTC(j.StartedAt), inUTC(j.FinishedAt)
	return &j
}

func auditEvent(e models.AuditEvent) *models.AuditEvent {
	e.At = e.At.UTC()
	return &e
}

func browserSession(b models.BrowserSession) *models.BrowserSession {
	b.CreatedAt, b.LastUsedAt, b.ExpiresAt = b.CreatedAt.UTC(), b.LastUsedAt.UTC(), b.ExpiresAt.UTC()
	return &b
}

func apiToken(t models.APIToken) *models.APIToken {
	t.CreatedAt, t.ExpiresAt, t.RevokedAt, t.LastUsedAt = t.CreatedAt.UTC(), inUTC(t.ExpiresAt), inUTC(t.RevokedAt), inUTC(t.LastUsedAt)
	return &t
}

func connectLink(l models.ConnectLink) *models.ConnectLink {
	l.CreatedAt, l.ExpiresAt = l.CreatedAt.UTC(), l.ExpiresAt.UTC()
	return &l
}

func jobItem(i models.JobItem) *models.JobItem {
	i.SettledAt = i.SettledAt.UTC()
	return &i
}

func webhook(h models.Webhook) *models.Webhook {
	h.CreatedAt, h.UpdatedAt, h.FormerUntil = h.CreatedAt.UTC(), h.UpdatedAt.UTC(), inUTC(h.FormerUntil)
	h.FailingSince, h.LastDeliveredAt = inUTC(h.FailingSince), inUTC(h.LastDeliveredAt)
	return &h
}

func delivery(d models.Delivery) *models.Delivery {
	d.CreatedAt = d.CreatedAt.UTC()
	return &d
}
