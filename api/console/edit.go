package console

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// providerForm is what the page of a provider's form shows.
type providerForm struct {
	Type       broker.ProviderType
	Provider   *models.Provider // that is changed, nil for a new one
	Form       string           // names the form of a new one
	Main, More []field
	Open       bool // whether the fields that are seldom needed are shown
	Whole      string
}

// Wrong are the fields that something is wrong with.
func (f providerForm) Wrong() []field {
	return slices.DeleteFunc(slices.Concat(f.Main, f.More), func(f field) bool { return f.Problem == "" })
}

// shownForm is a form with values, after an error or before anything was sent.
func shownForm(t broker.ProviderType, p *models.Provider, v values, err error) providerForm {
	main, more := fieldsOf(t, p == nil)
	wrong, whole := problems(err, main, more)
	f := providerForm{Type: t, Provider: p, Main: filled(main, v, wrong), More: filled(more, v, wrong), Whole: whole}
	f.Open = slices.ContainsFunc(f.More, func(f field) bool { return f.Problem != "" })
	return f
}

func (k *Console) askForProvider(c echo.Context, _ broker.Visitor) error {
	t, ok := k.service.ProviderType(query(c, "type"))
	if !ok {
		return k.answer(c, nil, "console-types", screen{"providers", "Register a provider", k.service.ProviderTypes()})
	}
	f := shownForm(t, nil, values{}, nil)
	f.Form = broker.NewForm()
	return k.answer(c, nil, "provider-form", screen{"providers", "Register a provider of " + t.DisplayName, f})
}

// takeProvider registers a provider. Sent a second time, the form leads to the same one.
func (k *Console) takeProvider(c echo.Context, v broker.Visitor) error {
	form := c.Request().PostForm
	t, ok := k.service.ProviderType(form.Get("type"))
	if !ok {
		return k.frame.GoTo(c, Path+"providers/new")
	}
	main, more := fieldsOf(t, true)
	given := sent(form, main, more)
	p, err := k.service.CreateProviderOnce(c.Request().Context(), v.Caller, form.Get("form"), given.input(t, models.Secret(form.Get("clientSecret"))))
	if err != nil {
		f := shownForm(t, nil, given, err)
		f.Form = form.Get("form")
		return k.formAgain(c, err, "provider-form", screen{"providers", "Register a provider of " + t.DisplayName, f})
	}
	return k.frame.GoTo(c, Path+"providers/"+p.ID+"?done=registered")
}

// formAgain shows a form with what is wrong with it. What is no fault of the form's is told like any other failure.
func (k *Console) formAgain(c echo.Context, err error, name string, s screen) error {
	status := http.StatusUnprocessableEntity
	switch models.CodeOf(err) {
	case models.CodeInvalid:
	case models.CodeConflict:
		status = http.StatusConflict
	default:
		return k.frame.Fail(c, err, Path+"providers")
	}
	return k.frame.Show(c, k.templates, status, name, s)
}

func (k *Console) askForChanges(c echo.Context, v broker.Visitor) error {
	p, err := k.service.Provider(c.Request().Context(), v.Caller, id(c))
	if err != nil {
		return k.frame.Fail(c, err, Path+"providers")
	}
	t, _ := k.service.ProviderType(p.Type)
	return k.answer(c, nil, "provider-form", screen{"providers", "Change " + p.Name, shownForm(t, &p, valuesOf(t, p), nil)})
}

func (k *Console) takeChanges(c echo.Context, v broker.Visitor) error {
	ctx, form := c.Request().Context(), c.Request().PostForm
	p, err := k.service.Provider(ctx, v.Caller, id(c))
	if err != nil {
		return k.frame.Fail(c, err, Path+"providers")
	}
	t, _ := k.service.ProviderType(p.Type)
	main, more := fieldsOf(t, false)
	given := sent(form, main, more)
	given["clientId"] = p.ClientID
	if _, err := k.service.ChangeProvider(ctx, v.Caller, p.ID, given.patch(t, p, models.Secret(form.Get("clientSecret")))); err != nil {
		return k.formAgain(c, err, "provider-form", screen{"providers", "Change " + p.Name, shownForm(t, &p, given, err)})
	}
	return k.frame.GoTo(c, Path+"providers/"+p.ID+"?done=changed")
}

// secretForm is what the page shows that asks for a new client secret.
type secretForm struct {
	models.Provider
	Problem string
	Keep    string // for how many seconds the former one is kept
	Keeps   []choice
}

// keeps are how long the secret that is replaced can be kept.
var keeps = []choice{{"0", "Delete it at once"}, {"3600", "Keep it for 1 hour"}, {"86400", "Keep it for 1 day"}, {"259200", "Keep it for 3 days"}, {"604800", "Keep it for 7 days"}}

func (k *Console) askForSecret(c echo.Context, v broker.Visitor) error {
	p, err := k.service.Provider(c.Request().Context(), v.Caller, id(c))
	return k.answer(c, err, "new-secret", screen{"providers", "New client secret of " + p.Name, secretForm{Provider: p, Keep: "86400", Keeps: keeps}})
}

func (k *Console) takeSecret(c echo.Context, v broker.Visitor) error {
	ctx, form := c.Request().Context(), c.Request().PostForm
	secret, keep := models.Secret(form.Get("clientSecret")), form.Get("keep")
	ch := models.ProviderPatch{ClientSecret: &secret}
	if seconds, err := strconv.ParseInt(keep, 10, 64); err == nil && seconds != 0 {
		ch.FormerSecretExpiresIn = &seconds
	}
	p, err := k.service.ChangeProvider(ctx, v.Caller, id(c), ch)
	if models.CodeOf(err) == models.CodeInvalid {
		wrong, whole := problems(err, []field{{Name: "clientSecret"}})
		if p, found := k.service.Provider(ctx, v.Caller, id(c)); found == nil {
			return k.formAgain(c, err, "new-secret", screen{"providers", "New client secret of " + p.Name, secretForm{p, wrong["clientSecret"] + whole, keep, keeps}})
		}
	}
	if err != nil {
		return k.frame.Fail(c, err, Path+"providers")
	}
	return k.frame.GoTo(c, Path+"providers/"+p.ID+"?done=secret")
}

// takeFormerEnd deletes the former client secret now. To do so a second time changes nothing.
func (k *Console) takeFormerEnd(c echo.Context, v broker.Visitor) error {
	now := int64(0)
	p, err := k.service.ChangeProvider(c.Request().Context(), v.Caller, id(c), models.ProviderPatch{FormerSecretExpiresIn: &now})
	if err != nil {
		return k.frame.Fail(c, err, Path+"providers")
	}
	return k.frame.GoTo(c, Path+"providers/"+p.ID+"?done=former")
}
