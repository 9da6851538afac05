package api

import (
	"context"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// NewWebhook is the body of POST webhooks/.
type NewWebhook struct {
	URL         string   `json:"url" doc:"Where events are sent: an https address, on port 443 unless the operator allows another one."`
	Description string   `json:"description,omitempty" doc:"What it is for, for people."`
	Events      []string `json:"events,omitempty" maxItems:"50" doc:"The types of events that are sent; without, all."`
}

// WebhookPatch is the body of PATCH webhooks/{id}/.
type WebhookPatch struct {
	URL         *string               `json:"url,omitempty" nullable:"true" doc:"Where events are sent."`
	Description *string               `json:"description,omitempty" nullable:"true" doc:"What it is for, for people."`
	Events      *[]string             `json:"events,omitempty" nullable:"true" maxItems:"50" doc:"The types of events that are sent; empty for all."`
	Status      *models.WebhookStatus `json:"status,omitempty" nullable:"true" doc:"active or off."`
}

// MadeWebhook is a webhook with a secret that was made just now.
type MadeWebhook struct {
	models.Webhook
	Secret string `json:"secret" doc:"What verifies the signatures v1 (HMAC-SHA256), as whsec_ and base64. It is shown this once."`
}

func (s *Server) createWebhook(ctx context.Context, c models.Caller, in *struct{ Body NewWebhook }) (*private[MadeWebhook], error) {
	h, secret, err := s.service.MakeWebhook(ctx, c, broker.NewWebhook{URL: in.Body.URL, Description: in.Body.Description, Events: in.Body.Events})
	return privately(&MadeWebhook{*webhook(h), secret.Reveal()}), err
}

func (s *Server) listWebhooks(ctx context.Context, c models.Caller, in *Paging) (*answer[List[models.Webhook]], error) {
	page, err := s.service.Webhooks(ctx, c, in.Limit, storable(in.Cursor))
	if err != nil {
		return nil, err
	}
	return list(ctx, s, page, webhook), nil
}

func (s *Server) getWebhook(ctx context.Context, c models.Caller, in *ByID) (*answer[models.Webhook], error) {
	h, err := s.service.Webhook(ctx, c, in.ID)
	return &answer[models.Webhook]{webhook(h)}, err
}

type changedWebhook struct {
	ByID
	Body WebhookPatch
}

func (s *Server) updateWebhook(ctx context.Context, c models.Caller, in *changedWebhook) (*answer[models.Webhook], error) {
	h, err := s.service.ChangeWebhook(ctx, c, in.ID, broker.WebhookPatch{
		URL: in.Body.URL, Description: in.Body.Description, Events: in.Body.Events, Status: in.Body.Status,
	})
	return &answer[models.Webhook]{webhook(h)}, err
}

func (s *Server) deleteWebhook(ctx context.Context, c models.Caller, in *ByID) (*struct{}, error) {
	return nil, s.service.DeleteWebhook(ctx, c, in.ID)
}

func (s *Server) rotateWebhook(ctx context.Context, c models.Caller, in *ByID) (*private[MadeWebhook], error) {
	h, secret, err := s.service.RotateWebhook(ctx, c, in.ID)
	return privately(&MadeWebhook{*webhook(h), secret.Reveal()}), err
}

func (s *Server) testWebhook(ctx context.Context, c models.Caller, in *ByID) (*struct{}, error) {
	return nil, s.service.TestWebhook(ctx, c, in.ID)
}

type deliveryList struct {
	ByID
	Status string `query:"status" doc:"Only those with this status: pending, delivered or failed."`
	Paging
}

func (s *Server) listDeliveries(ctx context.Context, c models.Caller, in *deliveryList) (*answer[List[models.Delivery]], error) {
	page, err := s.service.Deliveries(ctx, c, in.ID, broker.DeliveryQuery{Status: storable(in.Status), Limit: in.Limit, Cursor: storable(in.Cursor)})
	if err != nil {
		return nil, err
	}
	return list(ctx, s, page, delivery), nil
}

type deliveryInput struct {
	ByID
	Delivery string `path:"delivery" doc:"The id of a delivery." example:"01936f2e-7c1a-7d4e-9b3f-5a6c8d2e1f04"`
}

func (s *Server) replayDelivery(ctx context.Context, c models.Caller, in *deliveryInput) (*answer[models.Delivery], error) {
	d, err := s.service.Replay(ctx, c, in.ID, in.Delivery)
	return &answer[models.Delivery]{delivery(d)}, err
}
