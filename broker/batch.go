package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

var errClientRefused = errors.New("the upstream refuses the provider's client")

// batch is what one lease holds, on its way upstream.
type batch struct {
	s     *Service
	lease string
	job   *models.Job // nil for a single disconnect
	items []models.Linked
	// leased are the grants this lease decides about, live those that a newer
	// consent uses (D1).
	leased  map[string]bool
	live    store.LiveGrants
	sizes   map[string]int  // items by provider
	users   map[string]bool // whose the items are
	granted bool            // its calls were granted when it was claimed (S3)
	until   time.Time       // every call must have ended by then: the leases end later
	urgent  bool            // somebody waits: its calls are not delayed, but count

	mu       turn
	opened   map[string]upstream    // opened for this batch, and not kept beyond it (H1)
	gates    map[string]*store.Gate // by provider: whether it may be asked (S3)
	shares   map[string]*allowance  // by provider: how many calls are left to the batch
	refused  []models.Linked        // those whose revocation was refused to the client
	accepted bool                   // another one was accepted
	stopped  bool                   // the client is refused, so that the rest is not tried (D4)
	revoked  []string               // grants of which a whole revocation was sent
}

// openBatch loads what a lease holds and leases what its items need: their
// credentials, except those a refresh is using (R9), and their grants, except
// those somebody else decides about (D1).
func (s *Service) openBatch(ctx context.Context, lease string, job *models.Job) (*batch, error) {
	b := &batch{s: s, lease: lease, job: job, mu: make(turn, 1), until: time.Now().Add(s.timing.itemLease()), opened: map[string]upstream{}, gates: map[string]*store.Gate{}, shares: map[string]*allowance{}, sizes: map[string]int{}, users: map[string]bool{}}
	var err error
	if err = s.upgradeItems(ctx, lease); err != nil {
		return b, err
	}
	if b.leased, err = s.store.LeaseItemGrants(ctx, lease, s.timing.itemLease(), s.former.Load()); err != nil {
		return b, err
	}
	if err = s.upgradeItems(ctx, lease); err != nil { // what came before the leases were taken
		return b, err
	}
	if b.live, err = s.store.LiveGrants(ctx, lease); err != nil {
		return b, err
	}
	if err = s.store.LeaseItemCredentials(ctx, lease, s.timing.itemLease()); err != nil {
		return b, err
	}
	b.items, err = s.store.ItemsUnder(ctx, lease)
	for _, l := range b.items {
		b.sizes[l.Provider.ID]++
		b.users[l.Authorization.UserID] = true
	}
	if err != nil {
		return b, err
	}
	return b, b.takeUp(ctx, b.items)
}

// run revokes the batch, writes every outcome once and gives the rest back. It
// returns how many were settled, and errClientRefused when the upstream refuses
// the client: then the rest of a deletion would fare no better (D4).
func (b *batch) run(ctx context.Context) (int, error) {
	defer b.release(ctx)
	rulings := make([]ruling, len(b.items))
	var wg sync.WaitGroup
	for i := range b.items {
		release, _ := b.s.slots.take(context.WithoutCancel(ctx), b.items[i].Authorization.OrgID)
		wg.Go(func() {
			defer release()
			rulings[i] = b.attempt(ctx, &b.items[i])
		})
	}
	wg.Wait()
	b.account(ctx, rulings)
	n, err := b.write(context.WithoutCancel(ctx), rulings)
	if err != nil {
		return n, err
	}
	stop, err := b.clientIsRefused(context.WithoutCancel(ctx))
	if stop {
		err = errClientRefused
	}
	return n, err
}

func (b *batch) release(ctx context.Context) {
	if err := b.s.store.ReleaseGrants(context.WithoutCancel(ctx), b.lease, b.revoked); err != nil {
		b.s.log.Warn("releasing grant leases failed; they will expire", "error", err)
	}
}

// attempt revokes one item, if its client and its upstream are willing.
func (b *batch) attempt(ctx context.Context, l *models.Linked) ruling {
	ctx = providers.WithAnswers(ctx)
	if l.Credential.ID == "" {
		return settled(models.OutcomeFailed, "no_credential")
	}
	if ctx.Err() != nil {
		return ruling{reason: "stopped"}
	}
	at, err := b.open(ctx, l.Provider)
	if undecryptable(err) {
		return settled(models.OutcomeFailed, "undecryptable")
	}
	if err != nil {
		return ruling{reason: "database", after: b.s.timing.Backoff}
	}
	if r := b.admit(ctx, l.Provider); r != nil {
		return *r
	}
	if r := b.afford(ctx, *l); r != nil {
		return *r
	}
	ready, r := b.s.readyItem(ctx, *l, b.lease)
	if r != nil {
		*r = b.limited(*l, *r)
	} else {
		*l = ready
		ruled := b.revoke(ctx, ready, at)
		r = &ruled
	}
	b.learn(ctx, *l, *r)
	return *r
}

// admit asks once per batch whether the provider's upstream may be called; after
// a pause one item alone goes first (S3).
func (b *batch) admit(ctx context.Context, p models.Provider) *ruling {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped && b.deletes() {
		return &ruling{reason: "client_refused"}
	}
	g, asked := b.gates[p.ID]
	if !asked {
		fresh, err := b.s.store.Pass(ctx, b.s.at(p).called(store.ClassRevoke), b.s.timing.RevokeCall, store.ClassRevoke)
		if err != nil {
			return &ruling{reason: "database", after: b.s.timing.Backoff}
		}
		g = &fresh
		b.gates[p.ID] = g
		if g.Wait == 0 {
			return nil
		}
	}
	switch {
	case g.Wait > 0:
		return &ruling{reason: "paused", after: g.Wait}
	case g.Probe: // somebody else of this batch is trying
		return &ruling{reason: "paused", after: b.s.timing.Backoff}
	}
	return nil
}

// learn remembers what an answer says about the upstream as a whole.
func (b *batch) learn(ctx context.Context, l models.Linked, r ruling) {
	p := l.Provider
	b.mu.Lock()
	g := b.gates[p.ID]
	gate := *g
	b.noteAnswer(l, r)
	if r.pause > 0 {
		g.Wait = r.pause
	}
	b.mu.Unlock()
	switch {
	case r.pause > 0:
		b.s.at(p).notePause(ctx, store.ClassRevoke, r.pause)
	case gate.Probe && (r.outcome != "" || r.attempt):
		b.s.at(p).endPause(ctx, gate)
	}
}

// deletes reports whether the batch belongs to the deletion of one provider.
func (b *batch) deletes() bool { return b.job != nil && b.job.Type == models.JobDeleteProvider }

func (b *batch) open(ctx context.Context, p models.Provider) (upstream, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at, ok := b.opened[p.ID]; ok {
		return at, nil
	}
	at, err := b.s.open(ctx, p)
	if err == nil {
		b.opened[p.ID] = at
	}
	return at, err
}

// write settles what ended and gives the rest back.
func (b *batch) write(ctx context.Context, rulings []ruling) (int, error) {
	var ended []store.Settled
	for i, r := range rulings {
		l := b.items[i]
		if r.outcome != "" {
			ended = append(ended, store.Settled{ID: l.Authorization.ID, Generation: l.Credential.Generation, Outcome: r.outcome, Reason: r.reason,
				Keep: r.keep, Spared: r.spared})
		}
	}
	done, err := b.settle(ctx, ended)
	if err != nil {
		return 0, err
	}
	for i, r := range rulings {
		l := b.items[i]
		if done[l.Authorization.ID] {
			continue
		}
		if err := b.giveBack(ctx, l, r); err != nil {
			return len(done), err
		}
	}
	return len(done), nil
}

// giveBack lets an item be claimed again. That of a single disconnect may wait for
// long, but not while a deletion waits for it: the provider is locked, so that a
// deletion either finds the item waiting and makes it due, or is seen here.
func (b *batch) giveBack(ctx context.Context, l models.Linked, r ruling) error {
	return b.s.store.Tx(ctx, func(tx *store.Store) error {
		if b.job == nil && r.after > b.s.timing.Backoff {
			p, err := tx.LockProvider(ctx, l.Provider.ID)
			if err != nil && !store.IsNotFound(err) {
				return err
			}
			if p.DeletionAsked() {
				r.after = b.s.timing.Backoff
			}
		}
		if err := tx.ReleaseLease(ctx, l.Authorization.CredentialID, b.lease); err != nil {
			return err
		}
		return tx.GiveBackItem(ctx, l.Authorization.ID, b.lease, r.reason, r.after, r.attempt)
	})
}

// settle writes outcomes, tells and audits them and counts them in the job, in one
// transaction, and returns the items it really settled.
func (b *batch) settle(ctx context.Context, ended []store.Settled) (map[string]bool, error) {
	done := map[string]bool{}
	if len(ended) == 0 {
		return done, nil
	}
	var jobID *string
	if b.job != nil {
		jobID = &b.job.ID
	}
	return done, b.s.store.Tx(ctx, func(tx *store.Store) error {
		clear(done)
		settled, err := tx.SettleItems(ctx, b.lease, jobID, ended)
		if err != nil {
			return err
		}
		outcomes := map[string]models.Outcome{}
		for _, i := range settled {
			done[i.ID], outcomes[i.ID] = true, i.Outcome
		}
		var told []models.Event
		var audited []models.AuditEvent
		for _, l := range b.items {
			a := l.Authorization
			if !done[a.ID] {
				continue
			}
			if a.WasLinked() {
				told = append(told, b.disconnected(a, outcomes[a.ID]))
			}
			e := ownEvent(a.OrgID, models.ActionRevoked).provider(a.ProviderID).authorization(a.ID).code(string(outcomes[a.ID]))
			if jobID != nil {
				e = e.job(*jobID)
			}
			audited = append(audited, e.done())
		}
		if err := tx.Tell(ctx, told...); err != nil {
			return err
		}
		if err := tx.Audit(ctx, audited...); err != nil || jobID == nil {
			return err
		}
		return tx.CountSettled(ctx, *jobID, settled)
	})
}

// disconnected tells how the revocation of what was a connection ended.
func (b *batch) disconnected(a models.Authorization, o models.Outcome) models.Event {
	e := a.Event(models.EventConnectionDisconnected, string(o))
	if b.job != nil {
		e.JobID = b.job.ID
	}
	return e
}
