package console

import (
	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// An admin tries a provider: a consent of their own, whose result is shown and then removed, unless they keep it.

func trialPath(provider string) string { return Path + "providers/" + provider + "/try" }

// showTrial asks whether to try a provider, and shows what a trial found out.
func (k *Console) showTrial(c echo.Context, v broker.Visitor) error {
	ctx, flow := c.Request().Context(), query(c, "flow")
	p, err := k.service.Provider(ctx, v.Caller, id(c))
	if err != nil {
		return k.frame.Fail(c, err, Path+"providers")
	}
	if flow == "" {
		return k.answer(c, nil, "console-try", screen{"providers", "Try " + p.Name, p})
	}
	t, err := k.service.TrialOf(ctx, v, p.ID, flow)
	shown := struct {
		broker.Trial
		Flow, Problem string
	}{Trial: t, Flow: flow}
	if models.CodeOf(err) == models.CodeUpstream || models.CodeOf(err) == models.CodeGone { // what the provider said is the result
		shown.Problem, err = err.Error(), nil
	}
	if err != nil {
		return k.frame.Fail(c, err, trialPath(p.ID))
	}
	return k.answer(c, nil, "console-tried", screen{"providers", "Trial of " + p.Name, shown})
}

func (k *Console) beginTrial(c echo.Context, v broker.Visitor) error {
	target, err := k.service.BeginTrial(c.Request().Context(), v, id(c), k.frame.At(trialPath(id(c))))
	if err != nil {
		return k.frame.Fail(c, err, trialPath(id(c)))
	}
	return k.frame.Leave(c, target)
}

func (k *Console) keepTrial(c echo.Context, v broker.Visitor) error {
	err := k.service.KeepTrial(c.Request().Context(), v, id(c), models.Storable(c.Request().PostForm.Get("flow")))
	return k.afterTrial(c, err, "kept")
}

func (k *Console) endTrial(c echo.Context, v broker.Visitor) error {
	err := k.service.EndTrial(c.Request().Context(), v, id(c), models.Storable(c.Request().PostForm.Get("flow")))
	return k.afterTrial(c, err, "removed")
}

func (k *Console) afterTrial(c echo.Context, err error, told string) error {
	if err != nil {
		return k.frame.Fail(c, err, trialPath(id(c)))
	}
	return k.frame.GoTo(c, Path+"providers/"+id(c)+"?done="+told)
}
