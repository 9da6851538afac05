package console

import (
	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
)

func (k *Console) overview(c echo.Context, v broker.Visitor) error {
	o, err := k.service.Overview(c.Request().Context(), v.Caller)
	return k.answer(c, err, "overview", screen{"overview", "Overview", o})
}
