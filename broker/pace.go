package broker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// Work in the background takes at most half of what an upstream takes in an hour,
// so that the other half is there for people who wait (S3). Their own calls are
// never delayed, but count.

// share is a half of an upstream's budget; perHour 0 is no limit.
type share struct {
	key     string
	perHour int
}

// halfOf names the share by the organisation: a client id is public, so that anybody
// could use up a bucket that goes by nothing but what providers say (T1).
func (at upstream) halfOf(class store.Class, perHour int) share {
	if perHour == 0 {
		return share{}
	}
	half := max(1, perHour/2)
	return share{fmt.Sprintf("grantd:%s:%d:%s %s %s", class, half, at.provider.OrgID, strings.Join(at.Origins(), ","), at.provider.ClientID), half}
}

// revocations is the share of the revocations.
func (at upstream) revocations() share {
	return at.halfOf(store.ClassRevoke, at.Budget().Revocations)
}

// refreshes is the share of the calls to the token endpoint.
func (at upstream) refreshes() share {
	return at.halfOf(store.ClassToken, at.Budget().TokenCalls)
}

// take grants up to want calls out of a provider's share. Where it grants none it
// returns how long to wait, and writes it down for all who look at the provider.
func (at upstream) take(ctx context.Context, of share, class store.Class, want int) (int, time.Duration) {
	if of.perHour == 0 {
		return want, 0
	}
	got, wait, left := at.s.pace.Take(ctx, of.key, of.perHour, want)
	at.s.metrics.BudgetAsked(at.provider.Type, class, left)
	wait = min(wait, longestPause) // those who did not ask may have overdrawn it by more
	if wait > 0 {
		at.notePause(ctx, class, wait)
	}
	return got, wait
}

// charge counts calls that did not ask; a negative n gives back what was granted
// and not needed. Nobody waits for it.
func (s *Service) charge(ctx context.Context, of share, n int) {
	if of.perHour == 0 || n == 0 {
		return
	}
	s.inflight.begin()
	go func() {
		defer s.inflight.end()
		s.pace.Count(context.WithoutCancel(ctx), of.key, of.perHour, n)
	}()
}

// aheadWait returns how long a refresh that nobody asked for has to wait, 0 when it
// may go on. It takes nothing: the call itself counts, no matter who makes it.
func (at upstream) aheadWait(ctx context.Context) time.Duration {
	_, wait := at.take(ctx, at.refreshes(), store.ClassTokenPace, 0)
	return wait
}

// called is where the provider's calls to a class of endpoints go, as far as that
// is known before one is made.
func (at upstream) called(classes ...store.Class) store.Upstream {
	where := store.Upstream{ProviderID: at.provider.ID, OrgID: at.provider.OrgID}
	for _, class := range classes {
		if purpose, ok := purposes[class]; ok {
			where.Origins = append(where.Origins, at.CalledAt(purpose)...)
		}
	}
	return where
}

var purposes = map[store.Class]providers.Purpose{
	store.ClassToken: providers.ForTokens, store.ClassRevoke: providers.ForRevocation, store.ClassAPI: providers.ForFacts,
}

// notePause has the provider's calls to a class of endpoints wait. What an upstream
// asked for is noted for the origin that did, which is the last one that answered
// under ctx; where none did, it concerns the provider alone.
func (at upstream) notePause(ctx context.Context, class store.Class, d time.Duration) {
	pause := store.Pause{ProviderID: at.provider.ID, OrgID: at.provider.OrgID, Class: class}
	if answered := providers.AnsweredBy(ctx); len(answered) > 0 {
		pause.Origin = answered[len(answered)-1]
	}
	at.s.metrics.PauseBegun(at.provider.Type, class)
	if err := at.s.store.Pause(ctx, pause, d); err != nil {
		at.s.log.Warn("recording a pause failed", "provider", at.provider.ID, "error", err)
	}
}

// endPause ends what the probe under ctx was sent for.
func (at upstream) endPause(ctx context.Context, gate store.Gate) {
	if err := at.s.store.EndPause(ctx, gate, providers.AnsweredBy(ctx)); err != nil {
		at.s.log.Warn("ending a pause failed", "provider", at.provider.ID, "error", err)
	}
}

// allowance is what a batch was granted of one upstream's calls.
type allowance struct {
	granted, left int
	wait          time.Duration // when nothing is left
}

// afford takes one call out of what the upstream's budget grants to the batch. A
// deletion's items were granted when they were claimed; other batches ask once for
// each provider. What somebody waits for is not delayed.
func (b *batch) afford(ctx context.Context, l models.Linked) *ruling {
	if b.urgent {
		return nil
	}
	if b.s.needsProof(l) {
		if wait := b.s.at(l.Provider).aheadWait(ctx); wait > 0 {
			return &ruling{reason: "paced", after: wait}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.allowanceOf(ctx, l.Provider)
	if a.left == 0 {
		return &ruling{reason: "paced", after: max(a.wait, b.s.timing.Backoff)}
	}
	a.left--
	return nil
}

// allowanceOf is called with the batch locked.
func (b *batch) allowanceOf(ctx context.Context, p models.Provider) *allowance {
	a, asked := b.shares[p.ID]
	if asked {
		return a
	}
	a = &allowance{granted: b.sizes[p.ID]}
	if at := b.s.at(p); !b.granted {
		a.granted, a.wait = at.take(ctx, at.revocations(), store.ClassRevokePace, a.granted)
	}
	a.left = a.granted
	b.shares[p.ID] = a
	return a
}

// account gives back what was granted to the batch and not needed, and counts the
// calls that nobody asked for.
func (b *batch) account(ctx context.Context, rulings []ruling) {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked, of := map[string]int{}, map[string]models.Provider{}
	for i, l := range b.items {
		of[l.Provider.ID] = l.Provider
		if rulings[i].asked {
			asked[l.Provider.ID]++
		}
	}
	for id, p := range of {
		granted := 0
		if !b.urgent {
			granted = b.allowanceOf(ctx, p).granted
		}
		b.s.charge(ctx, b.s.at(p).revocations(), asked[id]-granted)
	}
}
