package console

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

func (k *Console) listProviders(c echo.Context, v broker.Visitor) error {
	page, err := k.service.ProviderOverviews(c.Request().Context(), v.Caller, broker.ProviderQuery{Limit: pageSize, Cursor: query(c, "cursor")})
	return k.answer(c, err, "console-providers", screen{"providers", "Providers", page})
}

// done are the messages of the page that a form leads back to, by what its address says.
var done = map[string]string{
	"registered": "The provider is registered. Register its callback address at the provider, if that is not done yet.",
	"changed":    "The changes are saved.",
	"secret":     "The new client secret is saved. What waited because of the old one is tried again.",
	"kept":       "The connection of the trial is kept, as one of your own.",
	"removed":    "The trial is over. What it brought is revoked at the provider, where that is possible.",
	"former":     "The former client secret is deleted. The new one alone is used.",

	"on":  "The provider is switched on.",
	"off": "The provider is switched off. Nobody gets tokens of its connections until it is switched on again.",
}

func (k *Console) showProvider(c echo.Context, v broker.Visitor) error {
	p, err := k.service.ProviderDetails(c.Request().Context(), v.Caller, id(c))
	return k.answer(c, err, "console-provider", screen{"providers", p.Name, struct {
		broker.ProviderDetails
		Done string
	}{p, done[c.QueryParam("done")]}})
}

// switchProvider switches a provider off or on.
func (k *Console) switchProvider(c echo.Context, v broker.Visitor) error {
	status, told := models.ProviderInactive, "off"
	if c.Request().PostForm.Get("status") == string(models.ProviderActive) {
		status, told = models.ProviderActive, "on"
	}
	p, err := k.service.ChangeProvider(c.Request().Context(), v.Caller, id(c), models.ProviderPatch{Status: &status})
	if err != nil {
		return k.frame.Fail(c, err, Path+"providers")
	}
	return k.frame.GoTo(c, Path+"providers/"+p.ID+"?done="+told)
}

// deletion is what the page shows that asks whether to delete a provider.
type deletion struct {
	broker.ProviderDetails
	Typed, Problem string
}

func (k *Console) askToDelete(c echo.Context, v broker.Visitor) error {
	p, err := k.service.ProviderDetails(c.Request().Context(), v.Caller, id(c))
	return k.answer(c, err, "delete-provider", screen{"providers", "Delete " + p.Name, deletion{ProviderDetails: p}})
}

// takeDelete has a provider deleted, and leads to the job. To begin it, its name has to be typed; sent a second time, the
// form leads to the same job.
func (k *Console) takeDelete(c echo.Context, v broker.Visitor) error {
	ctx, form := c.Request().Context(), c.Request().PostForm
	if form.Get("resume") == "" {
		p, err := k.service.ProviderDetails(ctx, v.Caller, id(c))
		if err != nil {
			return k.frame.Fail(c, err, Path+"providers")
		}
		if typed := form.Get("name"); typed != p.Name && !p.DeletionAsked() {
			return k.frame.Show(c, k.templates, http.StatusUnprocessableEntity, "delete-provider", screen{"providers", "Delete " + p.Name,
				deletion{p, typed, "This is not the provider's name. Nothing was done."}})
		}
	}
	j, err := k.service.DeleteProvider(ctx, v.Caller, id(c), form.Get("force") != "")
	if err != nil {
		return k.frame.Fail(c, err, Path+"providers")
	}
	return k.frame.GoTo(c, Path+"jobs/"+j.ID)
}
