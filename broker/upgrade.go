package broker

import (
	"context"
	"errors"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Rows that the release before wrote have fingerprints, grant keys and sealed secrets
// of the first version. The sweep writes the second beside the first. For a day both
// are written and leased, since processes of the release before may run at the same
// time and know the first alone. Then client secrets, which have one version at a
// time, are sealed again.

// checkUpgrade learns at the start whether there may be processes of the release
// before.
func (s *Service) checkUpgrade(ctx context.Context) error {
	over, err := s.formerOver(ctx, store.UpgradeOfKeys)
	if err != nil {
		return err
	}
	left, err := s.store.AnyV1(ctx)
	s.former.Store(!over || left)
	return err
}

// formerOver reports whether no process of the release before an upgrade can be running any
// more.
func (s *Service) formerOver(ctx context.Context, upgrade string) (bool, error) {
	began, err := s.store.UpgradeBegan(ctx, upgrade)
	if err != nil || began == nil {
		return err == nil, err
	}
	now, err := s.store.Now(ctx)
	return now.Sub(*began) >= formerLife, err
}

// sweepUpgrade brings rows of the release before to the second version, a batch at a
// time.
func (s *Service) sweepUpgrade(ctx context.Context) error {
	left, err := s.upgradeProviders(ctx)
	err = errors.Join(err, s.upgradeMACs(ctx), s.fillCredentials(ctx))
	for range upgradeBatches {
		rows, readErr := s.store.V1Authorizations(ctx, upgradeBatch)
		err = errors.Join(err, readErr, s.upgradeAuthorizations(ctx, rows))
		left = left || len(rows) > 0
		if err != nil || len(rows) < upgradeBatch {
			break
		}
	}
	if err == nil && left {
		err = s.store.BeginUpgrade(ctx) // where none of these rows was there when the schema changed
	}
	if err != nil {
		return err
	}
	over, err := s.formerOver(ctx, store.UpgradeOfKeys)
	if err != nil || !over || left {
		return err
	}
	s.former.Store(false)
	return s.resealSecrets(ctx)
}

// What is written beside a fingerprint that is not that of the provider's row, so that
// no second version follows from it. The two differ, and so are not equal.
const (
	unknownProvider = "unknown provider"
	unknownClient   = "unknown client"
)

func (s *Service) upgradeProviders(ctx context.Context) (bool, error) {
	all, err := s.store.V1Providers(ctx, upgradeBatch)
	for _, p := range all {
		at, v2 := s.at(p), unknownProvider
		if at.fingerprintV1() == p.Fingerprint {
			v2 = at.fingerprint()
		}
		err = errors.Join(err, s.store.SetFingerprint(ctx, p, v2))
	}
	return len(all) > 0, err
}

// upgradeAuthorizations writes the second version into rows that have only the first.
func (s *Service) upgradeAuthorizations(ctx context.Context, rows []store.V1Row) error {
	to := make([]store.V2Keys, len(rows))
	for i, r := range rows {
		to[i] = store.V2Keys{ID: r.Authorization.ID, Fingerprint: unknownClient}
		at := s.at(r.Provider)
		if r.Authorization.Fingerprint == at.fingerprintV1() {
			to[i].Fingerprint = at.fingerprint()
		}
		if r.Authorization.GrantKeyV1 != "" {
			to[i].GrantKey = at.grantKey(r.Authorization.OrgID, r.Authorization.Sub)
		}
	}
	return s.store.SetKeys(ctx, to)
}

// upgradeMACs writes what access tokens are found by that were saved before there was such a thing, a batch at a time. A
// pair that does not open gets a MAC that no token has, so that it holds up no other (T4).
func (s *Service) upgradeMACs(ctx context.Context) error {
	rows, err := s.store.WithoutAccessMAC(ctx, upgradeBatch)
	for _, r := range rows {
		mac := []byte{}
		var p pair
		if s.openJSON(credentialOwner(r.Authorization), r.Sealed, &p) == nil {
			mac = s.keys.MAC([]byte(p.Access))
		}
		err = errors.Join(err, s.store.SetAccessMAC(ctx, r.CredentialID, r.Sealed, mac))
	}
	return err
}

// fillCredentials fills in what finds a credential by its status, a few batches at a time.
func (s *Service) fillCredentials(ctx context.Context) error {
	for range upgradeBatches {
		if n, err := s.store.FillCredentials(ctx, upgradeBatch); err != nil || n < upgradeBatch {
			return err
		}
	}
	return nil
}

// upgradeItems writes the second version into what shares a grant of the first with
// the items under a lease, so that the grants can be compared.
func (s *Service) upgradeItems(ctx context.Context, lease string) error {
	if !s.former.Load() {
		return nil
	}
	rows, err := s.store.V1OfItems(ctx, lease)
	return errors.Join(err, s.upgradeAuthorizations(ctx, rows))
}

// upgradeGrant does the same for one grant, and returns the authorization as it is
// then.
func (s *Service) upgradeGrant(ctx context.Context, l models.Linked) (models.Linked, error) {
	if !s.former.Load() || l.Authorization.GrantKeyV1 == "" {
		return l, nil
	}
	rows, err := s.store.V1OfGrants(ctx, l.Authorization.GrantKeyV1)
	if err = errors.Join(err, s.upgradeAuthorizations(ctx, rows)); err != nil {
		return l, err
	}
	return s.store.Linked(ctx, l.Authorization.ID)
}

// resealSecrets seals client secrets again that are bound to the origins alone.
func (s *Service) resealSecrets(ctx context.Context) error {
	rows, err := s.store.V1Secrets(ctx, upgradeBatch)
	for _, r := range rows {
		config := models.SecureConfig{ID: r.ConfigID, Sealed: r.Sealed}
		secret, _, openErr := s.openSecret(r.Provider, config)
		if openErr != nil { // the row was tampered with, or its key is away
			s.log.Error("a client secret cannot be opened; it stays bound to its origins", "provider", r.Provider.ID)
			err = errors.Join(err, s.store.SkipSecret(ctx, r))
			continue
		}
		fresh, sealErr := s.sealSecret(r.Provider, secret)
		if sealErr == nil {
			sealErr = s.store.RebindSecret(ctx, r, fresh.Sealed)
		}
		err = errors.Join(err, sealErr) // the others are sealed all the same (T4)
	}
	return err
}
