package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"

	"github.com/grantd/grantd/models"
)

// NewWebhook is what a webhook is asked for with.
type NewWebhook struct {
	URL         string             `json:"url"`
	Description string             `json:"description,omitempty"`
	Events      []models.EventType `json:"events,omitempty"` // those that are sent; none for all
}

// WebhookPatch is what is to be changed of a webhook; nil fields stay as they are.
type WebhookPatch struct {
	URL         *string               `json:"url,omitempty"`
	Description *string               `json:"description,omitempty"`
	Events      *[]models.EventType   `json:"events,omitempty"`
	Status      *models.WebhookStatus `json:"status,omitempty"`
}

// MadeWebhook is a webhook with a secret that was made just now; grantd does not tell the secret again.
type MadeWebhook struct {
	models.Webhook
	Secret models.Secret `json:"secret"`
}

// CreateWebhook makes a webhook, for admins. It is sent a test event, and nothing else until it has accepted that.
func (c *Client) CreateWebhook(ctx context.Context, n NewWebhook) (MadeWebhook, error) {
	var h MadeWebhook
	return h, c.call(ctx, http.MethodPost, "webhooks/", nil, n, &h)
}

// Webhooks goes through the organisation's webhooks, the oldest first, for admins.
func (c *Client) Webhooks(ctx context.Context) iter.Seq2[models.Webhook, error] {
	return list[models.Webhook](ctx, c, "webhooks/", url.Values{})
}

// Webhook returns a webhook, for admins.
func (c *Client) Webhook(ctx context.Context, id string) (models.Webhook, error) {
	var h models.Webhook
	return h, c.call(ctx, http.MethodGet, at("webhooks", id), nil, nil, &h)
}

// ChangeWebhook changes a webhook, for admins.
func (c *Client) ChangeWebhook(ctx context.Context, id string, p WebhookPatch) (models.Webhook, error) {
	var h models.Webhook
	return h, c.call(ctx, http.MethodPatch, at("webhooks", id), nil, p, &h)
}

// RotateWebhook gives a webhook a new secret, for admins. For a day requests carry the signatures of both.
func (c *Client) RotateWebhook(ctx context.Context, id string) (MadeWebhook, error) {
	var h MadeWebhook
	return h, c.call(ctx, http.MethodPost, at("webhooks", id, "rotate/"), nil, nil, &h)
}

// TestWebhook has a test event sent to a webhook, for admins.
func (c *Client) TestWebhook(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, at("webhooks", id, "test/"), nil, nil, nil)
}

// DeleteWebhook deletes a webhook with what waits for it, for admins.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, at("webhooks", id), nil, nil, nil)
}

// Deliveries goes through what is or was on its way to a webhook, the newest first, for admins. status "" is for all.
func (c *Client) Deliveries(ctx context.Context, id string, status models.DeliveryStatus) iter.Seq2[models.Delivery, error] {
	query := url.Values{}
	set(query, "status", string(status))
	return list[models.Delivery](ctx, c, at("webhooks", id, "deliveries/"), query)
}

// ReplayDelivery has the event of a delivery delivered once more, for admins.
func (c *Client) ReplayDelivery(ctx context.Context, id, delivery string) (models.Delivery, error) {
	var d models.Delivery
	return d, c.call(ctx, http.MethodPost, at("webhooks", id, "deliveries/"+url.PathEscape(delivery)+"/replay/"), nil, nil, &d)
}
