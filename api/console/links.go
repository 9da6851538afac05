package console

import (
	"cmp"
	"context"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// The connect links that apps have made, and how an admin takes one back.

// shownLink is a link with the name of its provider.
type shownLink struct {
	models.ConnectLink
	Provider string
}

// MayConnect reports whether there is something to take back.
func (l shownLink) MayConnect() bool {
	return l.Status != models.LinkConnected && l.Status != models.LinkFailed
}

func (k *Console) listLinks(c echo.Context, v broker.Visitor) error {
	q := broker.ConnectLinkQuery{UserID: query(c, "userId"), ProviderID: query(c, "providerId"), Open: query(c, "ended") == "", Limit: pageSize, Cursor: query(c, "cursor")}
	page, err := k.service.ConnectLinks(c.Request().Context(), v.Caller, q)
	var shown []shownLink
	if err == nil {
		shown, err = k.withProviders(c.Request().Context(), v, page.Data)
	}
	return k.answer(c, err, "console-links", screen{"links", "Connect links", struct {
		Data           []shownLink
		Next, Previous string
		Query          broker.ConnectLinkQuery
		Ended          string
	}{shown, page.Next, page.Previous, q, query(c, "ended")}})
}

// withProviders names the providers of links.
func (k *Console) withProviders(ctx context.Context, v broker.Visitor, links []models.ConnectLink) ([]shownLink, error) {
	if len(links) == 0 {
		return nil, nil
	}
	ids, names := make([]string, len(links)), map[string]string{}
	for i, l := range links {
		ids[i] = l.ProviderID
	}
	providers, err := k.service.Providers(ctx, v.Caller, broker.ProviderQuery{IDs: ids})
	for _, p := range providers.Data {
		names[p.ID] = p.Name
	}
	shown := make([]shownLink, len(links))
	for i, l := range links {
		shown[i] = shownLink{l, cmp.Or(names[l.ProviderID], l.ProviderID)}
	}
	return shown, err
}

func (k *Console) askToWithdrawLink(c echo.Context, v broker.Visitor) error {
	ctx := c.Request().Context()
	l, err := k.service.ConnectLink(ctx, v.Caller, id(c))
	var shown []shownLink
	if err == nil {
		shown, err = k.withProviders(ctx, v, []models.ConnectLink{l})
	}
	if err != nil {
		return k.frame.Fail(c, err, Path+"links")
	}
	return k.answer(c, nil, "console-withdraw-link", screen{"links", "Take a connect link back", shown[0]})
}

// takeWithdrawLink takes a link back. To do so a second time changes nothing.
func (k *Console) takeWithdrawLink(c echo.Context, v broker.Visitor) error {
	if err := k.service.WithdrawConnectLink(c.Request().Context(), v.Caller, id(c)); err != nil {
		return k.frame.Fail(c, err, Path+"links")
	}
	return k.frame.GoTo(c, Path+"links")
}
