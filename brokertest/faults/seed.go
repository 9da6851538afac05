package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/testidp"
)

// seedBatch is how many authorizations are kept in one transaction.
const seedBatch = 250

// seed gives a provider n authorizations of the admin's without the ceremony of a
// consent: of those, a machine with two cores does a few hundred a second. It
// writes what the broker writes; were that to change, no token would open, and
// every deletion would fail.
func (x *site) seed(p models.Provider, n int) []string {
	x.Helper()
	keys, err := secrets.File{Path: x.Keyset}.Load(x.ctx)
	x.must(err)
	st, err := store.Open(x.ctx, store.Options{URL: x.DatabaseURL})
	x.must(err)
	defer st.Close()
	ids := make([]string, n)
	var group errgroup.Group
	group.SetLimit(4)
	for from := 0; from < n; from += seedBatch {
		group.Go(func() error {
			return st.Tx(x.ctx, func(tx *store.Store) error {
				for i := from; i < min(from+seedBatch, n); i++ {
					id, err := plant(x.ctx, tx, keys, p, x.Upstream.Server, fmt.Sprint("person-", i))
					if err != nil {
						return err
					}
					ids[i] = id
				}
				return nil
			})
		})
	}
	x.must(group.Wait())
	return ids
}

// plant has the upstream make a grant, and keeps its tokens as an authorization.
func plant(ctx context.Context, tx *store.Store, keys *secrets.Keyring, p models.Provider, upstream *testidp.Server, person string) (string, error) {
	access, refresh := upstream.Mint(brokertest.ClientID, person)
	a := models.Authorization{
		ID: uuid.Must(uuid.NewV7()).String(), CredentialID: uuid.Must(uuid.NewV7()).String(),
		OrgID: p.OrgID, UserID: "root", ProviderID: p.ID, OAuthClientID: p.ClientID, Sub: person, Login: person,
		GrantKey: p.Type + " " + person, Revoke: models.RevokeGrant, ItemDueAt: time.Unix(0, 0).UTC(),
	}
	stored, err := tx.Provider(ctx, p.ID) // what the API tells of it has no fingerprint
	if err != nil {
		return "", err
	}
	a.Fingerprint, a.FingerprintV2 = stored.Fingerprint, stored.FingerprintV2
	a.CreatedAt, err = tx.Now(ctx)
	if err != nil {
		return "", err
	}
	a.UpdatedAt = a.CreatedAt
	plain, err := json.Marshal(map[string]string{"a": access, "r": refresh})
	if err != nil {
		return "", err
	}
	sealed, err := keys.Seal(secrets.CredentialOwner(a.CredentialID, a.ID, a.OrgID, a.UserID, a.ProviderID), plain)
	if err != nil {
		return "", err
	}
	return a.ID, tx.InsertAuthorization(ctx, &a, store.Save{
		Attempt: uuid.NewString(), Sealed: sealed, HasRefreshToken: true,
		Known: true, ExpiresIn: time.Hour, RefreshAfter: 59 * time.Minute,
	})
}
