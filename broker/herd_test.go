package broker_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/testidp"
)

// Many tokens due at once. Of three slots one provider gets one, and callers wait for a
// refresh for an hour: whoever is answered while the upstream is held has not waited.
var herding = brokertest.Options{Refreshes: 3, WithoutWorker: true, Timing: broker.Timing{CallerWait: time.Hour}}

// hold keeps refreshes of an account's tokens waiting at the upstream until release is called.
func hold(h *brokertest.Instance, account string) (release func()) {
	held := make(chan struct{})
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Account: account, Until: held})
	return sync.OnceFunc(func() { close(held) })
}

// waits has a caller fetch a token, and returns once as many callers wait in line.
func waits(t *testing.T, h *brokertest.Instance, a models.Authorization, all *sync.WaitGroup, inLine int) {
	t.Helper()
	all.Go(func() {
		if _, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0); err != nil {
			t.Errorf("a caller that waited got %v", err)
		}
	})
	brokertest.Eventually(t, fmt.Sprintf("%d callers are in line", inLine), func() bool {
		underWay, n, _ := h.Service.Refreshes()
		return underWay > 0 && n == inLine
	})
}

// refreshedInOrder are the authorizations whose tokens were refreshed, in their order.
func refreshedInOrder(t *testing.T, db *sql.DB) (ids []string) {
	t.Helper()
	rows := must(db.Query(`SELECT authorization_id FROM audit_events WHERE action = 'token.refreshed' ORDER BY id`))(t)
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

func accessOf(t *testing.T, h *brokertest.Instance, a models.Authorization) string {
	t.Helper()
	return must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t).Access.Reveal()
}

// Finding S-A: 99,000 tokens that were due and alive made callers of fresh tokens wait for
// 6 to 38 seconds, since nothing bounded the refreshes under way.
func TestR7_AHerdOfDueTokensMakesNobodyWaitWhoseTokenLives(t *testing.T) {
	eachWith(t, herding, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test") // a refresh ends the old access token
		all := consents(t, h, p, 7)
		fresh, living, used, expired := all[0], all[1], all[2], all[3:]
		old := accessOf(t, h, living)
		due(t, h, living)
		due(t, h, used)
		if err := h.Store.NoteUse(ctx, []string{used.ID}, time.Hour, time.Minute); err != nil {
			t.Fatal(err)
		}
		release := hold(h, "")
		defer release()
		var callers sync.WaitGroup
		for i, a := range expired {
			stale(t, h, a)
			waits(t, h, a, &callers, i)
		}
		if err := h.Service.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			accessOf(t, h, fresh)
			if got := accessOf(t, h, living); got != old {
				t.Error("a token that is due and lives was refreshed although no slot was free")
			}
		}
		if underWay, inLine, ahead := h.Service.Refreshes(); underWay != 1 || inLine != 3 || ahead != 1 {
			t.Errorf("%d refreshes are under way, %d in line for callers, %d ahead of callers; want 1, 3, 1", underWay, inLine, ahead)
		}
		release()
		callers.Wait()
		if err := h.Service.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, a := range append(slices.Clone(expired), used) {
			want = append(want, a.ID)
		}
		if got := refreshedInOrder(t, brokertest.SQL(t, h.DatabaseURL)); !slices.Equal(got, want) {
			t.Errorf("refreshed were %v, want those of callers in the order in which they came and then the one ahead: %v", got, want)
		}
		if got := accessOf(t, h, living); got == old {
			t.Error("with a slot free, a token that is due was not refreshed")
		}
	})
}

// R7: a lease that runs in another process is a refresh that has begun. Callers wait for it
// where it ends the old token, and nobody does where it does not.
func TestR7_ARefreshOfAnotherProcessIsWaitedFor(t *testing.T) {
	for _, kills := range []bool{true, false} {
		t.Run(fmt.Sprint("kills ", kills), func(t *testing.T) {
			eachWith(t, herding, func(t *testing.T, h *brokertest.Instance) {
				o := herding
				o.DatabaseURL, o.RedisURL, o.Keys, o.IdP, o.IdPURL, o.Clock = h.DatabaseURL, h.RedisURL, h.Keys, h.IdP, h.IdPURL, h.Clock
				other := brokertest.New(t, &o)
				a := h.Consent(t, h.User, oauth2Provider(t, h, map[string]any{"refreshKillsAccess": kills}), "ada")
				old := accessOf(t, h, a)
				stale(t, h, a) // so that the first caller waits in either case
				release := hold(h, "")
				defer release()
				var callers sync.WaitGroup
				waits(t, h, a, &callers, 0)
				brokertest.Eventually(t, "the lease is taken", func() bool {
					l := must(h.Store.Linked(ctx, a.ID))(t)
					return l.Leased()
				})
				must(brokertest.SQL(t, h.DatabaseURL).Exec(`UPDATE credentials SET expires_at = lease_until`))(t) // it lives after all
				if !kills {
					if got := accessOf(t, other, a); got != old {
						t.Error("another token than the one that lives on")
					}
					return
				}
				callers.Go(func() {
					got, err := other.Service.Token(ctx, h.User.Caller, a.ID, 0)
					if err != nil || got.Access.Reveal() == old {
						t.Errorf("a token was served that the refresh may have killed: %v", err)
					}
				})
				brokertest.Eventually(t, "the other process waits", func() bool { n, _, _ := other.Service.Refreshes(); return n == 1 })
				release()
				callers.Wait()
			})
		})
	}
}

// T1: an upstream that does not answer takes no slots from other providers of its
// organisation, nor from other organisations, however many of its tokens are in line.
func TestT1_AnUpstreamThatHangsLeavesSlotsToOthers(t *testing.T) {
	eachWith(t, herding, func(t *testing.T, h *brokertest.Instance) {
		p, q := h.Provider(t, "test"), h.Provider(t, "test")
		release := hold(h, "ada")
		defer release()
		var callers sync.WaitGroup
		for i, who := range []string{"ada", "grace", "mary"} {
			a := h.Consent(t, h.User, p, who)
			stale(t, h, a)
			waits(t, h, a, &callers, i) // the first of them hangs
		}
		a := h.Consent(t, h.User, q, "grace")
		stale(t, h, a)
		accessOf(t, h, a)

		theirs := must(h.Service.CreateProvider(ctx, h.Other.Caller, models.ProviderInput{
			Name: "Theirs", Type: "test", ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret}))(t)
		b := h.Consent(t, h.Other, theirs, "grace")
		stale(t, h, b)
		must(h.Service.Token(ctx, h.Other.Caller, b.ID, 0))(t)

		if _, inLine, _ := h.Service.Refreshes(); inLine != 2 {
			t.Errorf("%d callers are in line, want 2", inLine)
		}
		release()
		callers.Wait()
	})
}

// T2: callers that wait for a slot are limited. Who leaves is in line no more.
func TestT2_CallersInLineForARefreshAreLimited(t *testing.T) {
	o := herding
	o.Limits = broker.Limits{Waiting: broker.Limit{Caller: 2, Org: 3}}
	eachWith(t, o, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		all := consents(t, h, p, 4)
		hers := []models.Authorization{h.Consent(t, h.Colleague, p, "x"), h.Consent(t, h.Colleague, p, "y")}
		for _, a := range slices.Concat(all, hers) {
			stale(t, h, a)
		}
		release := hold(h, "")
		defer release()
		var callers sync.WaitGroup
		for i, a := range all[:3] {
			waits(t, h, a, &callers, i)
		}
		_, err := h.Service.Token(ctx, h.User.Caller, all[3].ID, 0)
		wantCode(t, err, models.CodeRateLimited)
		impatient, leave := context.WithCancel(ctx)
		left := make(chan error)
		go func() { _, err := h.Service.Token(impatient, h.Colleague.Caller, hers[0].ID, 0); left <- err }()
		inLine := func(want int) func() bool {
			return func() bool { _, n, _ := h.Service.Refreshes(); return n == want }
		}
		brokertest.Eventually(t, "a colleague is in line", inLine(3))
		_, err = h.Service.Token(ctx, h.Colleague.Caller, hers[1].ID, 0)
		wantCode(t, err, models.CodeRateLimited)
		leave()
		if err := <-left; err == nil {
			t.Error("who left was given a token")
		}
		brokertest.Eventually(t, "who left is not in line", inLine(2))
		release()
		callers.Wait()
	})
}

// R2: who finds no slot in time is told to come back, and nothing was sent.
func TestR2_WhoFindsNoSlotInTimeComesBack(t *testing.T) {
	o := herding
	o.Timing.CallerWait = 20 * time.Millisecond
	eachWith(t, o, func(t *testing.T, h *brokertest.Instance) {
		all := consents(t, h, h.Provider(t, "test"), 2)
		release := hold(h, "")
		defer release()
		for i, a := range all {
			stale(t, h, a)
			_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
			wantCode(t, err, models.CodeUpstream)
			if known, ok := err.(*models.Error); !ok || known.RetryAfter == 0 {
				t.Errorf("caller %d is not told when to come back: %v", i, err)
			}
		}
		if underWay, inLine, _ := h.Service.Refreshes(); underWay != 1 || inLine != 0 {
			t.Errorf("%d refreshes are under way and %d in line, want the first alone", underWay, inLine)
		}
		if l := must(h.Store.Linked(ctx, all[1].ID))(t); l.Leased() || l.Credential.AttemptID != nil {
			t.Error("the one that found no slot holds a lease")
		}
	})
}

// Finding S-D: refreshing ahead was capped at 100 a sweep. One sweep takes up all that is
// due, as the process gets on with it, and one provider's slow upstream holds up no other. What
// is due of a provider with enough in line is passed over once, and not for each batch: of 100,000
// tokens 107 were refreshed in a second. Where that provider's line became short meanwhile, its
// tokens are taken up at once: they waited for the next sweep.
func TestR7_TokensAreRefreshedAheadUntilNoneIsDue(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		passing := func(statement string) bool { return strings.Contains(statement, "o.id = token_use.authorization_id") }
		var onPassing atomic.Pointer[func()]
		seen := roundTrips{meets: func(statement string) {
			if do := onPassing.Load(); do != nil && passing(statement) {
				(*do)()
			}
		}}
		o := herding
		o.Backend, o.Between = b, seen.between()
		h := brokertest.New(t, &o)
		p, q := h.Provider(t, "test"), h.Provider(t, "test")
		const many = 430
		err := h.Store.Tx(ctx, func(tx *store.Store) error {
			for i := range many {
				plant(t, h, tx, p, fmt.Sprint("user", i), "ada")
			}
			plant(t, h, tx, q, "user", "grace") // due after the others
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		release := hold(h, "ada")
		defer release()
		calls := func(want int64) func() bool {
			return func() bool { return h.IdP.Stats().Calls[testidp.Refresh] == want }
		}
		seen.begin()
		if err := h.Service.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		db := brokertest.SQL(t, h.DatabaseURL)
		brokertest.Eventually(t, "the other provider's token is refreshed", func() bool { return len(refreshedInOrder(t, db)) == 1 })
		drained := func() { // while others' tokens are looked for, all that is in line is refreshed
			release()
			brokertest.Eventually(t, "none is in line", func() bool {
				underWay, _, ahead := h.Service.Refreshes()
				return underWay+ahead == 0
			})
		}
		onPassing.Store(&drained)
		if err := h.Service.Sweep(ctx); err != nil { // what the first one began goes on
			t.Fatal(err)
		}
		brokertest.Eventually(t, "all are refreshed", calls(many+1))
		if err := h.Service.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if n, reused := len(refreshedInOrder(t, db)), h.IdP.Stats().RefreshReused; n != many+1 || reused != 0 {
			t.Errorf("%d tokens were refreshed and %d refresh tokens spent twice, want %d and 0", n, reused, many+1)
		}
		passed := 0
		for _, statement := range seen.end() {
			if passing(statement) {
				passed++
			}
		}
		if passed != 2 {
			t.Errorf("what was due of the provider with enough in line was passed over %d times, want once a sweep", passed)
		}
	})
}

// R7: what was saved at once is not refreshed ahead at once, but spread over the time that it
// still lives when it is due.
func TestR7_WhatIsDueTogetherIsTakenUpOneAfterTheOther(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		const many = 8
		consents(t, h, h.Provider(t, "test"), many)
		var within, later int
		row := brokertest.SQL(t, h.DatabaseURL).QueryRow(`SELECT count(CASE WHEN ahead_after >= refresh_after AND ahead_after < expires_at THEN 1 END),
			count(CASE WHEN ahead_after > refresh_after THEN 1 END) FROM credentials`)
		if err := row.Scan(&within, &later); err != nil {
			t.Fatal(err)
		}
		if within != many || later < many/2 {
			t.Errorf("of %d tokens %d are refreshed ahead of callers between their due time and their end, and %d of them after the due time", many, within, later)
		}
	})
}

// plant makes an authorization whose token lives, is due, and is in use.
func plant(t *testing.T, h *brokertest.Instance, tx *store.Store, p models.Provider, user, account string) {
	t.Helper()
	access, refresh := h.IdP.Mint(brokertest.ClientID, account)
	now := must(tx.Now(ctx))(t)
	a := models.Authorization{ID: uuid.Must(uuid.NewV7()).String(), CredentialID: uuid.Must(uuid.NewV7()).String(), OrgID: p.OrgID, UserID: user,
		ProviderID: p.ID, OAuthClientID: p.ClientID, Sub: account, Fingerprint: p.Fingerprint, FingerprintV2: p.FingerprintV2,
		Revoke: models.RevokeGrant, ItemDueAt: time.Unix(0, 0).UTC(), CreatedAt: now, UpdatedAt: now}
	plain := must(json.Marshal(map[string]string{"a": access, "r": refresh}))(t)
	sealed := must(h.Keys.Seal(secrets.CredentialOwner(a.CredentialID, a.ID, a.OrgID, a.UserID, a.ProviderID), plain))(t)
	if err := tx.InsertAuthorization(ctx, &a, store.Save{Attempt: "planted", Sealed: sealed, HasRefreshToken: true,
		Known: true, ExpiresIn: time.Hour, RefreshAfter: -time.Second}); err != nil {
		t.Fatal(err)
	}
	if err := tx.NoteUse(ctx, []string{a.ID}, time.Hour, time.Minute); err != nil {
		t.Fatal(err)
	}
}
