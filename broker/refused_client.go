package broker

import (
	"context"

	"github.com/grantd/grantd/models"
)

// What one refused item of a deletion says about the others (D4): nothing, until five
// people's were refused in a row, or all where there are fewer. Then the rest would fare
// no better, and the job stops.

// noteAnswer remembers what an item's answer says about the client. It is called with
// the batch locked.
func (b *batch) noteAnswer(l models.Linked, r ruling) {
	switch {
	case r.suspected:
		b.stopped = true
	case r.clientRefused:
		b.refused = append(b.refused, l)
	case r.asked && (r.outcome == models.OutcomeRevoked || r.outcome == models.OutcomeAlreadyRevoked):
		b.accepted = true
	}
	if !b.accepted && b.manyRefused() {
		b.stopped = true
	}
}

// manyRefused reports whether enough of the batch were refused that the rest of it need
// not be tried.
func (b *batch) manyRefused() bool {
	users := map[string]bool{}
	for _, l := range b.refused {
		users[l.Authorization.UserID] = true
	}
	return len(users) >= manyRefused || len(users) == len(b.users) && len(b.refused) >= manyRefused
}

// clientIsRefused reports whether the deletion must stop. What the batch met is counted
// together with what other batches and workers did.
func (b *batch) clientIsRefused(ctx context.Context) (bool, error) {
	if !b.deletes() || len(b.refused) == 0 && !b.stopped && len(b.job.RefusedItems) == 0 {
		return false, nil
	}
	var ids []string
	for _, l := range b.refused {
		ids = append(ids, l.Authorization.ID)
	}
	row, err := b.s.store.AddRefused(ctx, b.job.ID, itemsOf(*b.job), ids, b.accepted)
	if err != nil {
		return false, err
	}
	if len(row.Items) == 0 {
		return b.stopped, nil
	}
	pending, err := b.s.store.AnyPending(ctx, itemsOf(*b.job))
	if err != nil {
		return false, err
	}
	enough := len(row.Users) >= manyRefused ||
		len(row.Items) >= manyRefused && !row.WaitingOther ||
		!row.Accepted && !row.Waiting
	return pending && (b.stopped || enough), nil
}
