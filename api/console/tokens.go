package console

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// The organisation's API tokens. What a token is worth is shown once, on the page that follows its form.

func (k *Console) listTokens(c echo.Context, v broker.Visitor) error {
	q := broker.APITokenQuery{UserID: query(c, "userId"), MadeBy: query(c, "madeBy"), Limit: pageSize, Cursor: query(c, "cursor")}
	page, err := k.service.APITokensOf(c.Request().Context(), v.Caller, q)
	return k.answer(c, err, "console-tokens", screen{"tokens", "API tokens", struct {
		broker.Page[models.APIToken]
		Query broker.APITokenQuery
		Now   time.Time
	}{page, q, time.Now()}})
}

// tokenForm is what the page shows that asks what an API token is to be.
type tokenForm struct {
	Form, Whole string
	Fields      []field
}

func (k *Console) tokenForm(given values, form string, err error) tokenForm {
	roles := []choice{}
	for _, role := range k.service.TokenRoles() {
		roles = append(roles, choice{string(role), tokenRoles[role]})
	}
	fields := []field{
		{Name: "name", Label: "Name", Help: "What it is for, for people."},
		{Name: "role", Label: "Role", Control: controlChoice, Choices: roles, Required: true},
		{Name: "userId", Label: "Whose it is", Help: "Your own name, or that of a machine, which begins with app-.", Example: "app-nightly", Required: true},
		{Name: "providers", Label: "Providers that it is limited to", Help: "Ids or names in addresses, one a line. Without any it is not limited; a service needs one.", Control: controlLines},
		{Name: "returnOrigins", Label: "Where its connect links may return to", Help: "Origins of your app, one a line; they must be among those of the API token that you signed in with. Only for API tokens that make connect links.", Example: "https://app.example.com", Control: controlLines},
		{Name: "expiresAt", Label: "Last day", Help: "As YYYY-MM-DD. Without one it ends with the API token that you signed in with; who signed in at the issuer names one, at most 90 days from now.", Example: time.Now().AddDate(0, 1, 0).Format(time.DateOnly)},
	}
	wrong, whole := problems(err, fields)
	return tokenForm{form, whole, filled(fields, given, wrong)}
}

func (k *Console) askForToken(c echo.Context, v broker.Visitor) error {
	given := values{"role": string(models.RoleUser), "userId": v.Caller.UserID}
	if !models.ValidIdentity(v.Caller.UserID) {
		given["userId"] = "app-"
	}
	return k.answer(c, nil, "console-new-token", screen{"tokens", "Make an API token", k.tokenForm(given, broker.NewForm(), nil)})
}

// takeToken makes an API token and shows it. Sent a second time, the form makes no other, and shows nothing.
func (k *Console) takeToken(c echo.Context, v broker.Visitor) error {
	form := c.Request().PostForm
	n, err := newToken(form)
	var t models.APIToken
	var token models.Secret
	if err == nil {
		t, token, err = k.service.MakeAPITokenOnce(c.Request().Context(), v.Caller, form.Get("form"), n)
	}
	switch models.CodeOf(err) {
	case "":
	case models.CodeInvalid, models.CodeForbidden:
		shown := k.tokenForm(sent(form, k.tokenForm(nil, "", nil).Fields), form.Get("form"), err)
		return k.frame.Show(c, k.templates, http.StatusUnprocessableEntity, "console-new-token", screen{"tokens", "Make an API token", shown})
	default:
		return k.frame.Fail(c, err, Path+"tokens")
	}
	return k.answer(c, nil, "console-made-token", screen{"tokens", "The API token is made", struct {
		models.APIToken
		Token string
	}{t, token.Reveal()}})
}

// newToken is what a form asks for. A token lives to the end of its last day.
func newToken(form url.Values) (broker.NewAPIToken, error) {
	n := broker.NewAPIToken{Name: strings.TrimSpace(form.Get("name")), Role: models.Role(form.Get("role")), UserID: strings.TrimSpace(form.Get("userId")), Providers: lines(form.Get("providers")),
		ReturnOrigins: lines(form.Get("returnOrigins"))}
	text := strings.TrimSpace(form.Get("expiresAt"))
	if text == "" {
		return n, nil
	}
	last, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return n, models.Invalid(models.FieldError{Name: "expiresAt", Message: "must be a day, as 2027-01-31"})
	}
	end := last.AddDate(0, 0, 1)
	n.ExpiresAt = &end
	return n, nil
}

func (k *Console) askToRevokeToken(c echo.Context, v broker.Visitor) error {
	t, err := k.service.APITokenOf(c.Request().Context(), v.Caller, id(c))
	if err != nil {
		return k.frame.Fail(c, err, Path+"tokens")
	}
	return k.answer(c, nil, "console-revoke-token", screen{"tokens", "Revoke an API token", t})
}

// takeRevokeToken ends an API token. To do so a second time changes nothing.
func (k *Console) takeRevokeToken(c echo.Context, v broker.Visitor) error {
	if err := k.service.EndAPIToken(c.Request().Context(), v.Caller, id(c), c.Request().PostForm.Get("withMade") != ""); err != nil {
		return k.frame.Fail(c, err, Path+"tokens")
	}
	return k.frame.GoTo(c, Path+"tokens")
}
