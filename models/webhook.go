package models

import (
	"database/sql/driver"
	"encoding/json"
	"time"
)

// Webhook is an address that an organisation is told events at.
type Webhook struct {
	ID          string        `gorm:"primaryKey" json:"id"`
	OrgID       string        `json:"orgId" doc:"The organisation whose events are sent."`
	URL         string        `gorm:"column:url" json:"url" doc:"Where events are sent."`
	Description string        `json:"description" doc:"What it is for, for people."`
	Events      Strings       `json:"events" doc:"The types of events that are sent; empty for all."`
	Status      WebhookStatus `json:"status" enum:"active,off" doc:"While it is off, events wait for it, for up to seven days."`
	OffReason   string        `json:"offReason" enum:",admin,gone,failing" doc:"Why it is off: admin (somebody switched it off), gone (the address answered 410) or failing (nothing was accepted for three days). Empty while it is active."`
	Confirmed   bool          `json:"confirmed" doc:"Whether the address has accepted a test event. Until then it is sent nothing else."`
	PublicKey   string        `json:"publicKey" doc:"The key that verifies the signatures v1a (Ed25519), as whpk_ and base64."`
	Sealed      []byte        `json:"-"` // the keys that sign
	// FormerSealed are the keys that were replaced and still sign beside the new ones.
	FormerSealed    []byte     `json:"-"`
	FormerUntil     *time.Time `json:"formerSecretEndsAt" doc:"Until when requests are also signed with the secret that was replaced; null where there is none."`
	OffAt           *time.Time `json:"-"`
	FailingSince    *time.Time `json:"failingSince" doc:"Since when no attempt has been accepted; null where the last one was."`
	Failures        int        `json:"-"` // attempts in a row that found the receiver away
	NextAt          time.Time  `json:"-"` // nothing is sent before
	LastDeliveredAt *time.Time `json:"lastDeliveredAt" doc:"When an event was accepted last; null for never."`
	CreatedAt       time.Time  `json:"createdAt"`
	UpdatedAt       time.Time  `json:"updatedAt"`
}

// WebhookStatus says whether events are sent to a webhook.
type WebhookStatus string

// The statuses of a webhook.
const (
	WebhookActive WebhookStatus = "active"
	WebhookOff    WebhookStatus = "off"
)

// Why a webhook is off.
const (
	OffByAdmin = "admin"
	OffGone    = "gone"
	OffFailing = "failing"
)

// Delivery is an event on its way to a webhook.
type Delivery struct {
	Position  int64          `gorm:"primaryKey;autoIncrement" json:"-"` // the order of delivery among those of one subject
	ID        string         `json:"id"`
	WebhookID string         `json:"webhookId" doc:"The webhook that it is for."`
	EventID   string         `json:"eventId" doc:"The id of the event, which is sent as webhook-id."`
	EventType EventType      `json:"eventType" doc:"What the event tells."`
	Subject   string         `json:"-"`
	Number    int64          `json:"sequence" doc:"The event's number among those of the organisation."`
	Replayed  bool           `json:"replayed" doc:"Somebody asked for it."`
	Status    DeliveryStatus `json:"status" enum:"pending,delivered,failed" doc:"pending: it is tried, or waits for an earlier event of the same connection; delivered; failed: it was not accepted within three days, and later events went on."`
	DueAt     *time.Time     `json:"-"` // when it may be claimed; nil while another one of the subject is before it, and when it has ended
	Lease     string         `json:"-"` // who is sending it, until DueAt
	Tries     int            `json:"-"`
	FirstTry  *time.Time     `json:"-"`
	Attempts  Attempts       `json:"attempts" doc:"The last attempts, at most ten."`
	CreatedAt time.Time      `json:"createdAt"`
}

// TableName implements gorm's Tabler.
func (Delivery) TableName() string { return "webhook_deliveries" }

// DeliveryStatus is what has become of a delivery.
type DeliveryStatus string

// The statuses of a delivery.
const (
	DeliveryPending   DeliveryStatus = "pending"
	DeliveryDelivered DeliveryStatus = "delivered"
	DeliveryFailed    DeliveryStatus = "failed"
)

// DeliveryStatuses lists every status of a delivery.
var DeliveryStatuses = []DeliveryStatus{DeliveryPending, DeliveryDelivered, DeliveryFailed}

// Attempt is one try to deliver an event. Why nothing was answered is not told: an admin must not learn by it what there
// is in the operator's network.
type Attempt struct {
	At      time.Time `json:"at" doc:"When it began."`
	Seconds float64   `json:"seconds" doc:"How long it took, to a tenth of a second."`
	Result  string    `json:"result" example:"200" doc:"The HTTP status that was answered, or not_delivered."`
}

// NotDelivered is the result of an attempt without an answer.
const NotDelivered = "not_delivered"

// Attempts are kept as JSON in one column.
type Attempts []Attempt

// Value implements driver.Valuer.
func (a Attempts) Value() (driver.Value, error) { return jsonValue(a) }

// Scan implements sql.Scanner.
func (a *Attempts) Scan(src any) error { return scanJSON(src, (*[]Attempt)(a)) }

// MarshalJSON implements json.Marshaler.
func (a Attempts) MarshalJSON() ([]byte, error) {
	if len(a) == 0 {
		return []byte("[]"), nil
	}
	return json.Marshal([]Attempt(a))
}
