package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/store"
)

// Resealed is the outcome of a re-sealing.
type Resealed struct {
	Done int64 // values sealed again
	// Closed are values that no key opens, as "table id". They are left as they
	// are: the key may come back.
	Closed []string
	// Behind is how many other values are not under the primary key afterwards:
	// a process that has not read the promoted keyset goes on sealing as before.
	Behind int64
}

// resealing is a re-sealing under way.
type resealing struct {
	Resealed
	seen, total int64
	progress    func(done, total int64)
}

// resealBatch is how many values are read at a time.
const resealBatch = 200

// Reseal seals everything in the database that is under another key with the
// primary one, row by row and without a lock, while any number of processes
// serve: a value is replaced only while it is the one that was opened, so that a
// refresh which saves meanwhile wins (K3). It may be stopped and run again, and
// run twice at once. progress, if any, is told after every batch.
func (s *Service) Reseal(ctx context.Context, progress func(done, total int64)) (Resealed, error) {
	total, err := s.underOtherKeys(ctx)
	if err != nil {
		return Resealed{}, err
	}
	r := &resealing{total: total, progress: progress}
	for _, part := range s.sealedParts() {
		if err := s.resealPart(ctx, part, r); err != nil {
			return r.Resealed, fmt.Errorf("re-sealing %s: %w", part.column.Table, err)
		}
	}
	left, err := s.underOtherKeys(ctx)
	r.Behind = max(0, left-int64(len(r.Closed)))
	return r.Resealed, err
}

// underOtherKeys counts what the primary key did not seal.
func (s *Service) underOtherKeys(ctx context.Context) (int64, error) {
	primary := s.keys.PrimaryPrefix()
	counts, err := s.store.CountSealed(ctx, len(primary))
	var n int64
	for prefix, some := range counts {
		if prefix != string(primary) {
			n += some
		}
	}
	return n, err
}

// sealedValue is a sealed value with how to seal it again.
type sealedValue struct {
	id     string
	sealed []byte
	reseal func(sealed []byte) ([]byte, error)
	after  func(ctx context.Context, fresh []byte) error // what else depends on the key, nil for nothing
}

// readSealed reads what is not under the prefix, in the order of ids, beyond one.
type readSealed func(ctx context.Context, prefix []byte, after string, limit int) ([]sealedValue, error)

// sealedPart is a sealed column with how to read it.
type sealedPart struct {
	column store.Sealed
	read   readSealed
}

// sealedParts begins with the canary: from then on a process that does not have
// the new key refuses to start, instead of failing row by row (K2).
func (s *Service) sealedParts() []sealedPart {
	return []sealedPart{
		{store.SealedCanary, s.sealedCanary},
		{store.SealedSecrets, s.sealedSecrets},
		{store.SealedRequests, s.sealedFlows(store.SealedRequests, secrets.FlowRequest,
			func(f models.Flow) []byte { return f.Sealed })},
		{store.SealedExchanges, s.sealedFlows(store.SealedExchanges, secrets.FlowTokens,
			func(f models.Flow) []byte { return f.SealedTokens })},
		{store.SealedCredentials, s.sealedCredentials},
		{store.SealedSuperseded, s.sealedSuperseded},
		{store.SealedWebhooks, s.sealedWebhooks(store.SealedWebhooks, func(h models.Webhook) []byte { return h.Sealed })},
		{store.SealedFormerWebhooks, s.sealedWebhooks(store.SealedFormerWebhooks, func(h models.Webhook) []byte { return h.FormerSealed })},
	}
}

// value is a sealed value of the owner's.
func (s *Service) value(id string, o secrets.Owner, sealed []byte) sealedValue {
	return sealedValue{id: id, sealed: sealed, reseal: func(sealed []byte) ([]byte, error) { return s.keys.Reseal(o, sealed) }}
}

func (s *Service) sealedCanary(ctx context.Context, prefix []byte, after string, _ int) ([]sealedValue, error) {
	sealed, err := s.store.Meta(ctx, canary)
	if err != nil || after != "" || bytes.HasPrefix(sealed, prefix) {
		return nil, err
	}
	return []sealedValue{{id: canary, sealed: sealed, reseal: s.keys.ResealCanary}}, nil
}

func (s *Service) sealedSecrets(ctx context.Context, prefix []byte, after string, limit int) ([]sealedValue, error) {
	rows, err := s.store.SecretsNotUnder(ctx, prefix, after, limit)
	values := make([]sealedValue, len(rows))
	for i, r := range rows {
		values[i] = sealedValue{id: r.ConfigID, sealed: r.Sealed, reseal: func(sealed []byte) ([]byte, error) {
			_, owner, err := s.openSecret(r.Provider, models.SecureConfig{ID: r.ConfigID, Sealed: sealed})
			if err != nil {
				return nil, err
			}
			return s.keys.Reseal(owner, sealed) // for the owner it has: see upgrade.go
		}}
	}
	return values, err
}

func (s *Service) sealedFlows(column store.Sealed, part string, sealed func(models.Flow) []byte) readSealed {
	return func(ctx context.Context, prefix []byte, after string, limit int) ([]sealedValue, error) {
		rows, err := s.store.FlowsNotUnder(ctx, column, prefix, after, limit)
		values := make([]sealedValue, len(rows))
		for i, f := range rows {
			values[i] = s.value(f.ID, flowOwner(f, part), sealed(f))
		}
		return values, err
	}
}

func (s *Service) sealedCredentials(ctx context.Context, prefix []byte, after string, limit int) ([]sealedValue, error) {
	rows, err := s.store.CredentialsNotUnder(ctx, prefix, after, limit)
	values := make([]sealedValue, len(rows))
	for i, r := range rows {
		values[i] = s.value(r.CredentialID, credentialOwner(r.Authorization), r.Sealed)
		values[i].after = func(ctx context.Context, fresh []byte) error {
			var p pair
			if err := s.openJSON(credentialOwner(r.Authorization), fresh, &p); err != nil {
				return err
			}
			return s.store.SetAccessMAC(ctx, r.CredentialID, fresh, s.keys.MAC([]byte(p.Access)))
		}
	}
	return values, err
}

func (s *Service) sealedSuperseded(ctx context.Context, prefix []byte, after string, limit int) ([]sealedValue, error) {
	rows, err := s.store.SupersededNotUnder(ctx, prefix, after, limit)
	values := make([]sealedValue, len(rows))
	for i, k := range rows {
		values[i] = s.value(k.ID, supersededOwner(k), k.Sealed)
	}
	return values, err
}

func (s *Service) sealedWebhooks(column store.Sealed, sealed func(models.Webhook) []byte) readSealed {
	return func(ctx context.Context, prefix []byte, after string, limit int) ([]sealedValue, error) {
		rows, err := s.store.WebhooksNotUnder(ctx, column, prefix, after, limit)
		values := make([]sealedValue, len(rows))
		for i, h := range rows {
			values[i] = s.value(h.ID, secrets.WebhookOwner(h.ID, h.OrgID), sealed(h))
		}
		return values, err
	}
}

// resealPart walks a column in the order of ids.
func (s *Service) resealPart(ctx context.Context, p sealedPart, r *resealing) error {
	for after := ""; ; {
		values, err := p.read(ctx, s.keys.PrimaryPrefix(), after, resealBatch)
		if err != nil || len(values) == 0 {
			return err
		}
		for _, v := range values {
			if err := s.resealValue(ctx, p.column, v, r); err != nil {
				return err
			}
			after = v.id
		}
		r.tell(int64(len(values)))
	}
}

// resealValue seals one value again. Losing against a save or a deletion is no
// failure: what was saved meanwhile is newer.
func (s *Service) resealValue(ctx context.Context, c store.Sealed, v sealedValue, r *resealing) error {
	fresh, err := v.reseal(v.sealed)
	if errors.Is(err, secrets.ErrUndecryptable) {
		r.Closed = append(r.Closed, c.Table+" "+v.id)
		return nil
	}
	if err != nil {
		return err
	}
	replaced, err := s.store.Reseal(ctx, c, v.id, v.sealed, fresh)
	if replaced {
		r.Done++
	}
	if replaced && v.after != nil {
		err = v.after(ctx, fresh)
	}
	return err
}

// tell reports progress. Rows that came up meanwhile raise the total.
func (r *resealing) tell(n int64) {
	r.seen += n
	r.total = max(r.total, r.seen)
	if r.progress != nil {
		r.progress(r.seen, r.total)
	}
}
