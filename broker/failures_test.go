package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// away is what the store answers while its database does not.
var away = &models.Error{Code: models.CodeUnavailable, Message: "The database is away.", Err: context.DeadlineExceeded}

// R1: a save is given up only where the rules refuse it. The store's own answers have a
// code too, and trying again may help with them.
func TestR1_AFailureOfTheStoreIsNoRefusal(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"a ruling":                  {models.Errorf(models.CodeBadRequest, "The state was used before."), true},
		"a ruling from below":       {fmt.Errorf("saving: %w", models.Errorf(models.CodeNotFound, "The provider is gone.")), true},
		"a row that does not open":  {&models.Error{Code: models.CodeUnavailable, Message: "The keyset is another one.", Err: errors.New("tag")}, true},
		"the database is away":      {fmt.Errorf("saving: %w", away), false},
		"the caller left":           {&models.Error{Code: models.CodeCancelled, Err: context.Canceled}, false},
		"a row that is not there":   {store.NotFound("Flow"), false},
		"a row that is there twice": {&models.Error{Code: models.CodeConflict, Err: store.ErrDuplicate}, false},
		"a fault of ours":           {errors.New("no such column"), false},
	} {
		if got := broker.Ruled(c.err); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

// A reset goes on when the database is back.
func TestAResetGoesOnAfterADatabaseOutage(t *testing.T) {
	if why := broker.ResetOver(fmt.Errorf("claiming: %w", away)); why != "" {
		t.Errorf("it ends with %q", why)
	}
	if why := broker.ResetOver(errors.Join(away, broker.ErrResetRefused)); !strings.Contains(why, "clientSecret") {
		t.Errorf("a refused client ends it with %q", why)
	}
}

// H2: what could not be written because the database was away or time ran out is written
// the next time. None of the counts is at fault, so none is dropped.
func TestH2_CountsOutliveAFlushThatWasCancelled(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t)
		gone, cancel := context.WithCancel(ctx)
		cancel()
		wantCode(t, h.Service.FlushFetches(gone), models.CodeCancelled)
		if err := h.Service.FlushFetches(ctx); err != nil {
			t.Fatal(err)
		}
		if last := must(h.Store.LastFetches(ctx, []string{a.ID}))(t); last[a.ID].IsZero() {
			t.Error("the count of a fetch is lost")
		}
	})
}
