package models

import "time"

// EventType is what an event tells.
type EventType string

// The types. What is told of a connection is a stored change of one authorization; what follows from the state of a
// provider is one event of the provider.
const (
	EventConnectionCreated      EventType = "connection.created"
	EventConnectionBroken       EventType = "connection.broken"
	EventConnectionRecovered    EventType = "connection.recovered"
	EventConnectionExpiring     EventType = "connection.expiring"
	EventConnectionDisconnected EventType = "connection.disconnected"
	EventScopesChanged          EventType = "connection.scopes_changed"
	EventClientRefused          EventType = "provider.client_refused"
	EventProviderRecovered      EventType = "provider.recovered"
	EventProviderDisabled       EventType = "provider.disabled"
	EventProviderDeleted        EventType = "provider.deleted"
	EventJobFinished            EventType = "job.finished"
	EventIdentityMismatch       EventType = "token.identity_mismatch"

	// EventTest is sent to one webhook only, and is in no stream.
	EventTest EventType = "webhook.test"
)

// EventTypes are those that a webhook may be limited to.
var EventTypes = []EventType{
	EventConnectionCreated, EventConnectionBroken, EventConnectionRecovered, EventConnectionExpiring, EventConnectionDisconnected, EventScopesChanged,
	EventClientRefused, EventProviderRecovered, EventProviderDisabled, EventProviderDeleted, EventJobFinished, EventIdentityMismatch,
}

// Event is what an organisation is told: ids, types, codes, times and the user's id, and nothing that an upstream wrote.
type Event struct {
	Position        int64     `gorm:"primaryKey;autoIncrement"` // the order in which rows were inserted
	ID              string    `gorm:"column:event_id"`
	OrgID           string    //
	Number          *int64    // the event's place among those of the organisation; nil until it is numbered
	WebhookID       string    // of a test, the only webhook that it is sent to
	Type            EventType //
	Subject         string    // what it is about: events with the same subject are delivered one after the other
	ProviderID      string    //
	AuthorizationID string    //
	UserID          string    //
	JobID           string    //
	Code            string    // why, or how: a reason, an outcome or a status of ours
	At              time.Time // when it happened, by the database's clock
}

// TableName implements gorm's Tabler.
func (Event) TableName() string { return "outbox" }

// Body returns the event as it is sent. replayed says that somebody asked for it to be sent again.
func (e Event) Body(replayed bool) EventBody {
	b := EventBody{ID: e.ID, Type: e.Type, Timestamp: e.At.UTC(), Replayed: replayed, Data: EventData{
		ProviderID: e.ProviderID, AuthorizationID: e.AuthorizationID, UserID: e.UserID, JobID: e.JobID, Code: e.Code}}
	if e.Number != nil {
		b.Sequence = *e.Number
	}
	return b
}

// EventBody is an event as receivers of webhooks and readers of the stream get it.
type EventBody struct {
	ID        string    `json:"id" doc:"The same at every attempt to deliver it."`
	Type      EventType `json:"type" doc:"What happened."`
	Timestamp time.Time `json:"timestamp" doc:"When it happened."`
	Sequence  int64     `json:"sequence" doc:"Its number among the events of the organisation, which rises. Numbers are left out where events are not for this reader."`
	Replayed  bool      `json:"replayed,omitempty" doc:"Somebody asked for it to be delivered again."`
	Data      EventData `json:"data"`
}

// EventData is what an event is about. Fields that do not apply are left out.
type EventData struct {
	ProviderID      string `json:"providerId,omitempty" doc:"The provider."`
	AuthorizationID string `json:"authorizationId,omitempty" doc:"The authorization, which is the connection."`
	UserID          string `json:"userId,omitempty" doc:"Whose connection it is."`
	JobID           string `json:"jobId,omitempty" doc:"The job that did it, or that has finished."`
	Code            string `json:"code,omitempty" doc:"Why, or how: a reason, an outcome or a status, as the API has them."`
}

// Event tells something about a connection.
func (a Authorization) Event(t EventType, code string) Event {
	return Event{OrgID: a.OrgID, Type: t, ProviderID: a.ProviderID, AuthorizationID: a.ID, UserID: a.UserID, Code: code}
}

// WasLinked reports whether an authorization was ever a connection. What belongs to none, such as tokens that were replaced, is
// kept as an authorization that was unlinked from the beginning.
func (a Authorization) WasLinked() bool {
	return a.UnlinkedAt == nil || a.CreatedAt.Before(*a.UnlinkedAt)
}

// Event tells something about a connection.
func (l *Linked) Event(t EventType, code string) Event { return l.Authorization.Event(t, code) }

// Event tells something about a provider.
func (p Provider) Event(t EventType, code string) Event {
	return Event{OrgID: p.OrgID, Type: t, ProviderID: p.ID, Code: code}
}

// Event tells that a job has finished.
func (j Job) Event() Event {
	e := Event{OrgID: j.OrgID, Type: EventJobFinished, JobID: j.ID, Code: string(j.Status)}
	if j.UserID != nil {
		e.UserID = *j.UserID
	}
	return e
}
