package contract_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

const apiTokens = root + "apiTokens/"

// with is somebody with an API token that was made over the API.
func with(t testing.TB, made object) brokertest.Person {
	t.Helper()
	return brokertest.Person{Token: models.Secret(text(t, made, "token"))}
}

// An admin makes an API token for a machine, sees it without the token itself, and revokes it.
func TestAdminsMakeAndRevokeAPITokens(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		end := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
		made := want(t, 201, h.Do(t, h.Admin, "POST", apiTokens, object{"role": "user", "userId": "app-ci", "name": "CI",
			"providers": []string{p.Slug, p.ID}, "expiresAt": end.Format(time.RFC3339)}))
		id, machine := text(t, made, "id"), with(t, made)
		if got := ids(t, want(t, 200, h.Do(t, machine, "GET", root+"providers/", nil))); !slices.Equal(got, []string{p.ID}) {
			t.Errorf("the machine sees %v", got)
		}
		if err := h.Service.FlushFetches(ctx); err != nil {
			t.Fatal(err)
		}

		kept := want(t, 200, h.Do(t, h.Admin, "GET", apiTokens+id+"/", nil))
		for field, value := range map[string]any{"role": "user", "userId": "app-ci", "name": "CI", "madeBy": h.Admin.Caller.TokenID,
			"expiresAt": end.Format(time.RFC3339), "revokedAt": nil} {
			if kept[field] != value {
				t.Errorf("%s is %v, want %v", field, kept[field], value)
			}
		}
		if kept["lastUsedAt"] == nil || fmt.Sprint(kept["providers"]) != "["+p.ID+"]" || kept["token"] != nil {
			t.Errorf("it is %v", kept)
		}
		for query, n := range map[string]int{"userId=app-ci": 1, "madeBy=" + h.Admin.Caller.TokenID: 1, "userId=nobody": 0} {
			list := h.Do(t, h.Admin, "GET", apiTokens+"?"+query, nil)
			if got := ids(t, want(t, 200, list)); len(got) != n || strings.Contains(string(list.Body), "grd_") {
				t.Errorf("%s: %s", query, list.Body)
			}
		}

		want(t, 204, h.Do(t, h.Admin, "DELETE", apiTokens+id+"/", nil))
		want(t, 401, h.Do(t, machine, "GET", root+"providers/", nil))
		want(t, 204, h.Do(t, h.Admin, "DELETE", apiTokens+id+"/", nil)) // it stays so
		want(t, 404, h.Do(t, h.Admin, "DELETE", apiTokens+unknownID+"/", nil))
		if kept = want(t, 200, h.Do(t, h.Admin, "GET", apiTokens+id+"/", nil)); kept["revokedAt"] == nil {
			t.Errorf("revoked, it is %v", kept)
		}

		var actions []string
		for _, e := range want(t, 200, h.Do(t, h.Admin, "GET", root+"audit/?userId=app-ci", nil))["data"].([]any) {
			e := e.(object)
			actions = append(actions, text(t, e, "action"))
			if text(t, e, "code") != id || text(t, e, "actor") != "root" || text(t, e, "tokenId") != h.Admin.Caller.TokenID {
				t.Errorf("the event is %v", e)
			}
		}
		if !slices.Equal(actions, []string{"api_token.revoked", "api_token.created"}) {
			t.Errorf("audited is %v", actions)
		}
	})
}

// A6: what an admin makes is for itself or for a machine, and has no more than the API token that it is made with.
func TestA6_AMadeAPITokenNeverExceedsItsMaker(t *testing.T) {
	h := embedded(t)
	p := h.Provider(t, "test")
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
	make := func(who brokertest.Person, body object) brokertest.Answer {
		t.Helper()
		return h.Do(t, who, "POST", apiTokens, body)
	}
	for _, body := range []object{
		{"role": "admin"}, {"role": "service", "providers": []string{p.ID}},
		{"role": "user", "userId": "grace"}, {"role": "user", "userId": "application"}, {"role": "user", "userId": "App-ci"},
	} {
		want(t, 403, make(h.Admin, body))
	}
	for _, c := range []struct {
		body  object
		field string
	}{
		{object{"role": "owner"}, "role"}, {object{}, "role"}, {object{"role": "user", "userId": "corp:1"}, "userId"},
		{object{"role": "user", "userId": "app-a b"}, "userId"}, {object{"role": "user", "expiresAt": in(-time.Hour)}, "expiresAt"},
		{object{"role": "user", "providers": []string{unknownID}}, "providers"}, {object{"role": "user", "name": "a\x00b"}, "name"},
		{object{"role": "service"}, "providers"},
	} {
		wantFields(t, make(h.Admin, c.body), c.field)
	}
	// A provider of another organisation is none, whatever its name.
	wantFields(t, make(h.Other, object{"role": "user", "providers": []string{p.ID}}), "providers")

	brief := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "root", Role: models.RoleAdmin, Life: time.Hour})
	wantFields(t, make(brief, object{"role": "user", "expiresAt": in(2 * time.Hour)}), "expiresAt")
	made := want(t, 201, make(brief, object{"role": "user"}))
	if maker := want(t, 200, h.Do(t, h.Admin, "GET", apiTokens+brief.Caller.TokenID+"/", nil)); made["expiresAt"] == nil || made["expiresAt"] != maker["expiresAt"] {
		t.Errorf("it ends at %v, and its maker at %v", made["expiresAt"], maker["expiresAt"])
	}
	if made["userId"] != "root" {
		t.Errorf("without a name it is %v's", made["userId"])
	}
	want(t, 403, make(with(t, made), object{"role": "user"})) // a user's makes none

	// A session that has ended makes nothing.
	visitor := h.Admin.Caller
	visitor.TokenID = "session:" + unknownID
	if _, _, err := h.Service.MakeAPIToken(ctx, visitor, broker.NewAPIToken{Role: models.RoleUser}); models.CodeOf(err) != models.CodeUnauthenticated {
		t.Errorf("a session makes an API token: %v", err)
	}
}

// Where the operator allows it, admins make admins and services too; for themselves and for machines all the same.
func TestAdminsMakeEveryRoleWhereTheOperatorAllowsIt(t *testing.T) {
	h := brokertest.New(t, &brokertest.Options{TokensByAdmins: true, WithoutWorker: true})
	p := h.Provider(t, "test")
	admin := want(t, 201, h.Do(t, h.Admin, "POST", apiTokens, object{"role": "admin", "userId": "app-terraform"}))
	want(t, 200, h.Do(t, with(t, admin), "GET", root+"jobs/", nil))
	service := want(t, 201, h.Do(t, h.Admin, "POST", apiTokens, object{"role": "service", "userId": "app-web", "providers": []string{p.Slug}}))
	want(t, 200, h.Do(t, with(t, service), "GET", root+"authorizedProviders/?userId=ada", nil))
	want(t, 403, h.Do(t, h.Admin, "POST", apiTokens, object{"role": "service", "userId": "ada", "providers": []string{p.Slug}}))
	narrow := want(t, 201, h.Do(t, h.Admin, "POST", apiTokens, object{"role": "admin", "providers": []string{p.Slug}}))
	want(t, 403, h.Do(t, with(t, narrow), "POST", apiTokens, object{"role": "user"})) // it could outgrow its limits
}

// A maker's row is read again when it makes something: this process remembers for ten seconds who a token stands for.
func TestA6_ARevokedMakerMakesNothing(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		want(t, 200, h.Do(t, h.Admin, "GET", apiTokens, nil))
		if _, err := h.Store.RevokeAPITokens(ctx, h.Admin.Caller.TokenID, false); err != nil { // as another process does
			t.Fatal(err)
		}
		want(t, 200, h.Do(t, h.Admin, "GET", apiTokens, nil)) // which this one does not know of yet
		want(t, 401, h.Do(t, h.Admin, "POST", apiTokens, object{"role": "user"}))
	})
}

// Revoking an API token with all that it made leaves none of them, even if it makes more at that moment.
func TestA6_NothingEscapesTheRevocationOfItsMaker(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, backend brokertest.Backend) {
		h := brokertest.New(t, &brokertest.Options{Backend: backend, TokensByAdmins: true, WithoutWorker: true})
		first, _, err := h.Service.MakeAPIToken(ctx, h.Admin.Caller, broker.NewAPIToken{Role: models.RoleAdmin, UserID: "app-first"})
		if err != nil {
			t.Fatal(err)
		}
		second, _, err := h.Service.MakeAPIToken(ctx, first.Caller(), broker.NewAPIToken{Role: models.RoleAdmin, UserID: "app-second"})
		if err != nil {
			t.Fatal(err)
		}
		bystander := h.Person(t, "acme", "app-bystander", models.RoleUser)
		var makers sync.WaitGroup
		begun := make(chan struct{}, 100)
		running, stop := context.WithCancel(ctx)
		for _, maker := range []models.Caller{first.Caller(), second.Caller(), first.Caller(), second.Caller()} {
			makers.Go(func() {
				for running.Err() == nil {
					if _, _, err := h.Service.MakeAPIToken(ctx, maker, broker.NewAPIToken{Role: models.RoleUser}); err != nil {
						return
					}
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 8 {
			<-begun
		}
		if err := h.Service.EndAPIToken(ctx, h.Admin.Caller, first.ID, true); err != nil {
			t.Fatal(err)
		}
		stop()
		makers.Wait()
		living := column(t, h, "SELECT user_id FROM api_tokens WHERE revoked_at IS NULL AND user_id LIKE 'app-%' OR revoked_at IS NULL AND made_by <> ''")
		if !slices.Equal(living, []string{"app-bystander"}) {
			t.Errorf("valid are %q", living)
		}
		if _, err := h.Service.Authenticate(ctx, bystander.Token); err != nil {
			t.Error(err)
		}
	})
}

// The use of an API token is noted once an hour: no request writes anything.
func TestTheUseOfAnAPITokenIsNotedOnceAnHour(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		lately, before := h.Person(t, "acme", "app-lately", models.RoleUser), h.Person(t, "acme", "app-before", models.RoleUser)
		set := func(who brokertest.Person, ago time.Duration) string {
			at := time.Now().Add(-ago).UTC().Format("2006-01-02 15:04:05.000")
			if strings.HasPrefix(h.DatabaseURL, "postgres") {
				at += "+00"
			}
			change(t, h, "UPDATE api_tokens SET last_used_at = '"+at+"' WHERE id = '"+who.Caller.TokenID+"'")
			return at
		}
		set(lately, 30*time.Minute)
		set(before, 2*time.Hour)
		used := func(who brokertest.Person) time.Time {
			t.Helper()
			want(t, 200, h.Do(t, who, "GET", root+"providers/", nil))
			if err := h.Service.FlushFetches(ctx); err != nil {
				t.Fatal(err)
			}
			row, err := h.Store.APIToken(ctx, who.Caller.TokenID)
			if err != nil || row.LastUsedAt == nil {
				t.Fatalf("%+v, %v", row, err)
			}
			return *row.LastUsedAt
		}
		if ago := time.Since(used(lately)); ago < 29*time.Minute {
			t.Errorf("a use is noted %v after another", 30*time.Minute-ago)
		}
		if ago := time.Since(used(before)); ago > time.Hour {
			t.Errorf("a use is not noted %v after another", ago)
		}
	})
}
