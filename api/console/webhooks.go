package console

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// The organisation's webhooks. The secret of one is shown once, on the page that follows its form.

const webhooksPath = Path + "webhooks"

func (k *Console) listWebhooks(c echo.Context, v broker.Visitor) error {
	page, err := k.service.Webhooks(c.Request().Context(), v.Caller, pageSize, query(c, "cursor"))
	return k.answer(c, err, "console-webhooks", screen{"webhooks", "Webhooks", page})
}

// webhookForm is what the page shows that asks what a webhook is to be.
type webhookForm struct {
	Form, Whole string
	Fields      []field
}

func newWebhookForm(given values, form string, err error) webhookForm {
	var types []string
	for _, t := range models.EventTypes {
		types = append(types, string(t))
	}
	fields := []field{
		{Name: "url", Label: "Address", Help: "Where events are sent. It is sent a test event first, and nothing else until it has accepted that.", Example: "https://app.example.com/webhooks/grantd", Required: true},
		{Name: "description", Label: "Description", Help: "What it is for, for people."},
		{Name: "events", Label: "Events", Help: "One type a line. Without any, all are sent: " + strings.Join(types, ", ") + ".", Control: controlLines},
	}
	wrong, whole := problems(err, fields)
	return webhookForm{form, whole, filled(fields, given, wrong)}
}

func (k *Console) askForWebhook(c echo.Context, _ broker.Visitor) error {
	return k.answer(c, nil, "console-new-webhook", screen{"webhooks", "Make a webhook", newWebhookForm(nil, broker.NewForm(), nil)})
}

// takeWebhook makes a webhook and shows its secret. Sent a second time, the form makes no other, and shows nothing.
func (k *Console) takeWebhook(c echo.Context, v broker.Visitor) error {
	form := c.Request().PostForm
	h, secret, err := k.service.MakeWebhookOnce(c.Request().Context(), v.Caller, form.Get("form"), newWebhook(form))
	switch models.CodeOf(err) {
	case "":
	case models.CodeInvalid:
		shown := newWebhookForm(sent(form, newWebhookForm(nil, "", nil).Fields), form.Get("form"), err)
		return k.frame.Show(c, k.templates, http.StatusUnprocessableEntity, "console-new-webhook", screen{"webhooks", "Make a webhook", shown})
	default:
		return k.frame.Fail(c, err, webhooksPath)
	}
	return k.showSecret(c, "The webhook is made", h, secret)
}

func newWebhook(form url.Values) broker.NewWebhook {
	return broker.NewWebhook{URL: strings.TrimSpace(form.Get("url")), Description: strings.TrimSpace(form.Get("description")), Events: lines(form.Get("events"))}
}

func (k *Console) showSecret(c echo.Context, title string, h models.Webhook, secret models.Secret) error {
	return k.answer(c, nil, "console-webhook-secret", screen{"webhooks", title, struct {
		models.Webhook
		Secret string
	}{h, secret.Reveal()}})
}

// webhookDone is what was done, by the word in the address.
var webhookDone = map[string]string{
	"test": "A test event is on its way.", "on": "The webhook is on again. What waited is sent now.", "off": "The webhook is off. Events wait for it for seven days.",
	"replay": "The event is delivered again.",
}

func (k *Console) showWebhook(c echo.Context, v broker.Visitor) error {
	ctx := c.Request().Context()
	h, err := k.service.Webhook(ctx, v.Caller, id(c))
	if err != nil {
		return k.frame.Fail(c, err, webhooksPath)
	}
	status := query(c, "status")
	page, err := k.service.Deliveries(ctx, v.Caller, h.ID, broker.DeliveryQuery{Status: status, Limit: pageSize, Cursor: query(c, "cursor")})
	return k.answer(c, err, "console-webhook", screen{"webhooks", "Webhook", struct {
		broker.Page[models.Delivery]
		Webhook  models.Webhook
		Status   string
		Statuses []models.DeliveryStatus
		Done     string
	}{page, h, status, models.DeliveryStatuses, webhookDone[query(c, "done")]}})
}

// backToWebhook leads back to the page of a webhook, which says what was done.
func (k *Console) backToWebhook(c echo.Context, err error, done string) error {
	at := webhooksPath + "/" + id(c)
	if err != nil {
		return k.frame.Fail(c, err, at)
	}
	return k.frame.GoTo(c, at+"?done="+done)
}

func (k *Console) takeWebhookTest(c echo.Context, v broker.Visitor) error {
	return k.backToWebhook(c, k.service.TestWebhook(c.Request().Context(), v.Caller, id(c)), "test")
}

func (k *Console) switchWebhook(c echo.Context, v broker.Visitor) error {
	status, done := models.WebhookActive, "on"
	if c.Request().PostForm.Get("status") == string(models.WebhookOff) {
		status, done = models.WebhookOff, "off"
	}
	_, err := k.service.ChangeWebhook(c.Request().Context(), v.Caller, id(c), broker.WebhookPatch{Status: &status})
	return k.backToWebhook(c, err, done)
}

func (k *Console) takeReplay(c echo.Context, v broker.Visitor) error {
	_, err := k.service.Replay(c.Request().Context(), v.Caller, id(c), models.Storable(c.Request().PostForm.Get("delivery")))
	return k.backToWebhook(c, err, "replay")
}

// askAboutWebhook shows a page that asks whether to do something about a webhook.
func (k *Console) askAboutWebhook(name, title string) handler {
	return func(c echo.Context, v broker.Visitor) error {
		h, err := k.service.Webhook(c.Request().Context(), v.Caller, id(c))
		if err != nil {
			return k.frame.Fail(c, err, webhooksPath)
		}
		return k.answer(c, nil, name, screen{"webhooks", title, h})
	}
}

func (k *Console) takeRotation(c echo.Context, v broker.Visitor) error {
	h, secret, err := k.service.RotateWebhook(c.Request().Context(), v.Caller, id(c))
	if err != nil {
		return k.frame.Fail(c, err, webhooksPath)
	}
	return k.showSecret(c, "The webhook has a new secret", h, secret)
}

// takeDeleteWebhook deletes a webhook. To do so a second time finds nothing.
func (k *Console) takeDeleteWebhook(c echo.Context, v broker.Visitor) error {
	if err := k.service.DeleteWebhook(c.Request().Context(), v.Caller, id(c)); err != nil {
		return k.frame.Fail(c, err, webhooksPath)
	}
	return k.frame.GoTo(c, webhooksPath)
}
