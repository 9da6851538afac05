package broker

import (
	"context"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// What organisations are told, in the transaction of the change. These ask the database nothing where there is nothing to tell.

// tellRecovered tells that a connection that was broken works again; l is as it was before.
func tellRecovered(ctx context.Context, tx *store.Store, l models.Linked) error {
	if !recovers(l) {
		return nil
	}
	return tx.Tell(ctx, l.Event(models.EventConnectionRecovered, ""))
}

// recovers reports whether new tokens make a connection work that was broken.
func recovers(l models.Linked) bool {
	return l.Credential.Verdict != nil || !l.Served() && !l.Credential.HasRefreshToken
}

// tellBroken tells that the person must consent again, for the reason; "" is for none. l is as it was before.
func tellBroken(ctx context.Context, tx *store.Store, l models.Linked, reason string) error {
	if reason == "" || l.HasVerdict(models.VerdictExpired) {
		return nil
	}
	return tx.Tell(ctx, l.Event(models.EventConnectionBroken, reason))
}

// tellChange tells what a change of a provider means for its connections.
func tellChange(ctx context.Context, tx *store.Store, before, after models.Provider) error {
	switch {
	case before.Usable() && !after.Usable():
		return tx.Tell(ctx, after.Event(models.EventProviderDisabled, string(after.Status)))
	case !before.Usable() && after.Usable():
		return tx.Tell(ctx, after.Event(models.EventProviderRecovered, string(after.Status)))
	case before.InTrouble() == models.TroubleClient && after.InTrouble() == "":
		return tx.Tell(ctx, after.Event(models.EventProviderRecovered, "new_secret"))
	}
	return nil
}
