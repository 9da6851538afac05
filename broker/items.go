package broker

import (
	"context"
	"errors"
	"sync"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

var errClientRefused = errors.New("the upstream refuses the provider's client")

// revokeItems revokes what a lease holds, so many at a time, and writes every
// outcome once (D6). It returns how many were settled, and errClientRefused when
// the upstream refuses the client, since then the rest would fare no better (D4).
// clientOf remembers opened clients between batches; nil opens them anew.
func (s *Service) revokeItems(ctx context.Context, lease string, job *models.Job, items []store.Linked, clientOf *clients) (int, error) {
	if clientOf == nil {
		clientOf = &clients{s: s}
	}
	rulings := make([]ruling, len(items))
	slots := make(chan struct{}, s.concurrency)
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused := false
	for i := range items {
		slots <- struct{}{}
		mu.Lock()
		stop := refused
		mu.Unlock()
		if stop {
			<-slots
			rulings[i] = ruling{reason: "client_refused", clientRefused: true}
			continue
		}
		wg.Add(1)
		go func() {
			defer func() { <-slots; wg.Done() }()
			rulings[i] = s.attemptItem(ctx, &items[i], lease, clientOf)
			if rulings[i].clientRefused {
				mu.Lock()
				refused = true
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	n, err := s.writeRulings(context.WithoutCancel(ctx), lease, job, items, rulings)
	if err == nil && refused {
		err = errClientRefused
	}
	return n, err
}

func (s *Service) attemptItem(ctx context.Context, l *store.Linked, lease string, clientOf *clients) ruling {
	if l.Credential.ID == "" {
		return settled(models.OutcomeFailed, "no_credential")
	}
	client, err := clientOf.get(ctx, l.Provider)
	if undecryptable(err) {
		return settled(models.OutcomeFailed, "undecryptable")
	}
	if err != nil {
		return ruling{reason: "database", after: s.timing.Backoff}
	}
	ready, ok, r := s.readyItem(ctx, *l, lease)
	if !ok {
		return *r
	}
	*l = ready
	return s.revokeItem(ctx, ready, client)
}

// writeRulings settles what ended and gives the rest back.
func (s *Service) writeRulings(ctx context.Context, lease string, job *models.Job, items []store.Linked, rulings []ruling) (int, error) {
	var ended []store.Settled
	byID := map[string]store.Linked{}
	for i, r := range rulings {
		l := items[i]
		byID[l.Authorization.ID] = l
		if r.outcome != "" {
			ended = append(ended, store.Settled{ID: l.Authorization.ID, Generation: l.Credential.Generation, Outcome: r.outcome, Reason: r.reason})
		}
	}
	done, err := s.settle(ctx, lease, job, ended, byID)
	if err != nil {
		return 0, unavailable(err)
	}
	settledIDs := map[string]bool{}
	for _, id := range done {
		settledIDs[id] = true
	}
	for i, r := range rulings {
		l := items[i]
		if settledIDs[l.Authorization.ID] {
			continue
		}
		if err := s.giveBack(ctx, lease, l, r); err != nil {
			return len(done), unavailable(err)
		}
	}
	return len(done), nil
}

func (s *Service) giveBack(ctx context.Context, lease string, l store.Linked, r ruling) error {
	if err := s.store.ReleaseLease(ctx, l.Authorization.CredentialID, lease); err != nil {
		return err
	}
	return s.store.GiveBackItem(ctx, l.Authorization.ID, lease, r.reason, r.after, r.attempt)
}

// settle writes outcomes and audits them, in one transaction.
func (s *Service) settle(ctx context.Context, lease string, job *models.Job, ended []store.Settled, byID map[string]store.Linked) ([]string, error) {
	if len(ended) == 0 {
		return nil, nil
	}
	var jobID *string
	if job != nil {
		jobID = &job.ID
	}
	outcomes := map[string]models.Outcome{}
	for _, e := range ended {
		outcomes[e.ID] = e.Outcome
	}
	var done []string
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		var err error
		if done, err = tx.SettleItems(ctx, lease, jobID, ended); err != nil {
			return err
		}
		events := make([]store.AuditEvent, len(done))
		for i, id := range done {
			a := byID[id].Authorization
			e := ownEvent(a.OrgID, store.ActionRevoked).provider(a.ProviderID).authorization(id).code(string(outcomes[id]))
			if jobID != nil {
				e = e.job(*jobID)
			}
			events[i] = e.done()
		}
		return tx.Audit(ctx, events...)
	})
	return done, err
}

// clients opens each provider's client once for as long as one batch of work
// lasts; nothing opened is kept beyond it (H1).
type clients struct {
	s  *Service
	mu sync.Mutex
	by map[string]providers.Client
}

func (c *clients) get(ctx context.Context, p models.Provider) (providers.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client, ok := c.by[p.ID]; ok {
		return client, nil
	}
	client, err := c.s.client(ctx, p)
	if err != nil {
		return client, err
	}
	if c.by == nil {
		c.by = map[string]providers.Client{}
	}
	c.by[p.ID] = client
	return client, nil
}
