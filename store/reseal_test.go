package store_test

import (
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/grantd/grantd/migrations"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// K3: a save that comes between the reading and the re-sealing of a row wins, and
// loses nothing.
func TestK3_ResealingLosesAgainstASave(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		a := f.authorization(t, "1", time.Hour)
		read := f.linked(t, a.ID).Credential
		if !must(f.SaveTokens(ctx, read.ID, read.Generation, store.Save{Attempt: "refresh", Sealed: []byte("two")}))(t) {
			t.Fatal("the refresh could not save")
		}
		if must(f.Reseal(ctx, store.SealedCredentials, read.ID, read.Sealed, []byte("one, sealed again")))(t) {
			t.Error("the older value was sealed over the newer one")
		}
		now := f.linked(t, a.ID).Credential
		if string(now.Sealed) != "two" || now.Generation != 2 {
			t.Errorf("the row is %+v", now)
		}
		if !must(f.Reseal(ctx, store.SealedCredentials, read.ID, now.Sealed, []byte("two, sealed again")))(t) {
			t.Error("a value that is as it was read was not replaced")
		}
		if after := f.linked(t, a.ID).Credential; string(after.Sealed) != "two, sealed again" || after.Generation != 2 {
			t.Errorf("the row is %+v", after)
		}
	})
}

// K3: rows are told by the prefix of their key, each exactly once, page by page,
// with whom they belong to.
func TestK3_RowsNotUnderAPrefixArePaged(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		var want []string
		for i := range 5 {
			a := f.authorization(t, fmt.Sprint(i), time.Hour)
			sealed := []byte{1, 0xff, byte(i % 2), 'x'}
			if i%2 == 0 {
				want = append(want, a.ID)
			}
			if !must(f.Reseal(ctx, store.SealedCredentials, a.CredentialID, []byte("one"), sealed))(t) {
				t.Fatal("not re-sealed")
			}
		}
		var got []string
		for after := ""; ; {
			page := must(f.CredentialsNotUnder(ctx, []byte{1, 0xff, 1}, after, 2))(t)
			if len(page) == 0 {
				break
			}
			for _, c := range page {
				got, after = append(got, c.ID), c.CredentialID
				if c.OrgID != "acme" || c.UserID != "ada" || c.ProviderID != f.provider.ID || len(c.Sealed) != 4 {
					t.Errorf("a row came back as %+v", c)
				}
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("rows %v, want %v", got, want)
		}
		counts := must(f.CountSealed(ctx, 3))(t)
		if counts["\x01\xff\x00"] != 3 || counts["\x01\xff\x01"] != 2 || counts["sea"] != 1 {
			t.Errorf("counts = %v", counts)
		}
	})
}

func TestK3_SecretsFlowsAndCanaryAreFound(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		flow := models.Flow{ID: id(), OrgID: "acme", UserID: "ada", ProviderID: f.provider.ID, Channel: models.ChannelAPI,
			StateHash: []byte("state"), Status: models.FlowOpen, Sealed: []byte("request")}
		if err := f.InsertFlow(ctx, &flow, time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, err := f.StateMeta(ctx, "canary", []byte("canary")); err != nil {
			t.Fatal(err)
		}
		secrets := must(f.SecretsNotUnder(ctx, []byte("other"), "", 9))(t)
		if len(secrets) != 1 || secrets[0].ConfigID != f.provider.SecureConfigID || secrets[0].ID != f.provider.ID ||
			secrets[0].ClientID != "c" || string(secrets[0].Sealed) != "sealed" {
			t.Errorf("secrets = %+v", secrets)
		}
		if flows := must(f.FlowsNotUnder(ctx, store.SealedRequests, []byte("other"), "", 9))(t); len(flows) != 1 || flows[0].ID != flow.ID {
			t.Errorf("flows = %+v", flows)
		}
		// An open flow has no tokens yet, so nothing of it waits there.
		if flows := must(f.FlowsNotUnder(ctx, store.SealedExchanges, []byte("other"), "", 9))(t); len(flows) != 0 {
			t.Errorf("flows with tokens = %+v", flows)
		}
		if !must(f.Reseal(ctx, store.SealedCanary, "canary", []byte("canary"), []byte("newer")))(t) {
			t.Error("the canary was not replaced")
		}
		counts := must(f.CountSealed(ctx, 5))(t)
		if len(counts) != 3 || counts["newer"] != 1 || counts["seale"] != 1 || counts["reque"] != 1 {
			t.Errorf("counts = %v", counts)
		}
	})
}

// K3: a sealed column that the rotation does not know would keep its values under
// a key that is then taken away.
func TestK3_NoSealedColumnIsForgotten(t *testing.T) {
	all := must(migrations.All(migrations.SQLite))(t)
	column := regexp.MustCompile(`(?m)^\s+(?:ADD COLUMN )?(\w*sealed\w*)\s+BLOB`)
	table := regexp.MustCompile(`(?m)^(?:CREATE|ALTER) TABLE (\w+)(?s:.*?);`)
	found := 1 // the canary's column holds other facts, too
	for _, m := range all {
		for _, statement := range table.FindAllStringSubmatch(m.SQL, -1) {
			for _, c := range column.FindAllStringSubmatch(statement[0], -1) {
				found++
				known := func(s store.Sealed) bool { return s.Table == statement[1] && s.Column == c[1] }
				if !slices.ContainsFunc(store.AllSealed, known) {
					t.Errorf("%s.%s is sealed and not among store.AllSealed", statement[1], c[1])
				}
			}
		}
	}
	if found != len(store.AllSealed) {
		t.Errorf("%d sealed columns in the schema, %d known", found, len(store.AllSealed))
	}
}
