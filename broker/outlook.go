package broker

import (
	"context"
	"time"

	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// outlook is what lies before a job that revokes: for how long nothing of it may be
// done at all, and how long it takes at least.
type outlook struct{ paused, least time.Duration }

// outlook looks at the provider of a deletion, or at those whose authorizations a
// leaving user had. The job waits only while all of them do.
func (s *Service) outlook(ctx context.Context, j models.Job) (outlook, error) {
	pendingBy, err := s.pendingBy(ctx, j)
	if err != nil {
		return outlook{}, err
	}
	var all outlook
	first := true
	for id, n := range pendingBy {
		o, err := s.outlookAt(ctx, itemsOf(j), id, n)
		if store.IsNotFound(err) { // it ended between two reads
			continue
		}
		if err != nil {
			return all, err
		}
		if first || o.paused < all.paused {
			all.paused = o.paused
		}
		all.least, first = max(all.least, o.least), false
	}
	return all, nil
}

// pendingBy is how many items of a job each provider has. Where a leaving user had very many, it is estimated from those
// that are due first.
func (s *Service) pendingBy(ctx context.Context, j models.Job) (map[string]int64, error) {
	if j.ProviderID != nil {
		return map[string]int64{*j.ProviderID: pending(j)}, nil
	}
	all, err := s.store.PendingByProvider(ctx, j.ID)
	var seen int64
	for _, n := range all {
		seen += n
	}
	if seen == store.PendingSample {
		for id, n := range all {
			all[id] = max(n, n*pending(j)/seen)
		}
	}
	return all, err
}

// outlookAt is the outlook of n items of one provider, which are among the job's.
func (s *Service) outlookAt(ctx context.Context, of store.Items, provider string, n int64) (outlook, error) {
	p, err := s.store.Provider(ctx, provider)
	if err != nil {
		return outlook{}, err
	}
	at := s.at(p)
	asked, err := at.pausedFor(ctx, store.ClassRevoke)
	if err != nil {
		return outlook{}, err
	}
	paced, err := at.pausedFor(ctx, store.ClassRevokePace)
	if err != nil {
		return outlook{}, err
	}
	proof, err := at.awaitsProof(ctx, of)
	o := outlook{paused: max(asked, paced, proof)}
	o.least = o.paused
	if share := at.revocations(); share.perHour > 0 {
		atOnce, every := jobs.Evenly(share.perHour)
		if paced == 0 {
			n -= int64(atOnce)
		}
		o.least += time.Duration(max(0, min(n, int64(longestEstimate/every)))) * every
	}
	return o, err
}

// awaitsProof returns how long nothing can be done because each token has to be
// refreshed before it is revoked, and refreshes have used up their share.
func (at upstream) awaitsProof(ctx context.Context, of store.Items) (time.Duration, error) {
	if t, ok := at.Traits(); !ok || !t.RevokeNeedsAccess {
		return 0, nil
	}
	wait, err := at.pausedFor(ctx, store.ClassTokenPace)
	if err != nil || wait == 0 {
		return 0, err
	}
	due, _, err := at.s.store.NextItemDue(ctx, of)
	return min(due, wait), err
}

// pausedFor returns how long a class of calls still waits.
func (at upstream) pausedFor(ctx context.Context, class store.Class) (time.Duration, error) {
	left, _, err := at.s.store.PauseOf(ctx, at.called(class), class)
	if left == nil {
		return 0, err
	}
	return max(0, *left), err
}
