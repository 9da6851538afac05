package contract_test

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

// An admin reads what happened, the newest first, by who, what, which and when; nothing of
// another organisation is in it, and no filter brings it there.
func TestTheAuditTrailIsRead(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		change(t, h, tokensHaveDied)
		if _, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0); err != nil {
			t.Fatal(err)
		}
		read := func(who brokertest.Person, query url.Values) (actions []models.Action) {
			t.Helper()
			body := want(t, 200, h.Do(t, who, "GET", root+"audit/?"+query.Encode(), nil))
			for _, e := range body["data"].([]any) {
				actions = append(actions, models.Action(text(t, e.(object), "action")))
			}
			return actions
		}
		now := time.Now().UTC()
		hourAgo, inAnHour := now.Add(-time.Hour).Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339)
		for _, c := range []struct {
			what  string
			who   brokertest.Person
			query url.Values
			want  []models.Action
		}{
			{"of the provider", h.Admin, url.Values{"providerId": {p.ID}},
				[]models.Action{models.ActionRefreshed, models.ActionAuthorizationMade, models.ActionProviderCreated}},
			{"of the authorization", h.Admin, url.Values{"authorizationId": {a.ID}}, []models.Action{models.ActionRefreshed, models.ActionAuthorizationMade}},
			{"of a person", h.Admin, url.Values{"userId": {"ada"}, "providerId": {p.ID}}, []models.Action{models.ActionAuthorizationMade}},
			{"of two actions", h.Admin, url.Values{"action": {"provider.created,token.refreshed"}, "providerId": {p.ID}},
				[]models.Action{models.ActionRefreshed, models.ActionProviderCreated}},
			{"in a time", h.Admin, url.Values{"authorizationId": {a.ID}, "from": {hourAgo}, "to": {inAnHour}},
				[]models.Action{models.ActionRefreshed, models.ActionAuthorizationMade}},
			{"before a time", h.Admin, url.Values{"authorizationId": {a.ID}, "to": {hourAgo}}, nil},
			{"after a time", h.Admin, url.Values{"authorizationId": {a.ID}, "from": {inAnHour}}, nil},
			{"of a job that is not there", h.Admin, url.Values{"jobId": {unknownID}}, nil},
			{"of another organisation's provider", h.Other, url.Values{"providerId": {p.ID}}, nil},
			{"of another organisation's authorization", h.Other, url.Values{"authorizationId": {a.ID}}, nil},
		} {
			if got := read(c.who, c.query); !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", c.what, got, c.want)
			}
		}

		page := want(t, 200, h.Do(t, h.Admin, "GET", root+"audit/?limit=2&providerId="+p.ID, nil))
		next := follow(t, h, h.Admin, text(t, page, "next"))
		if rest := next["data"].([]any); len(rest) != 1 || text(t, rest[0].(object), "action") != string(models.ActionProviderCreated) || next["next"] != nil {
			t.Errorf("the second page is %v", next)
		}
		for query, field := range map[string]string{
			"action=provider.invented": "action", "from=yesterday": "from", "to=2026-13-01T00:00:00Z": "to",
			"from=" + inAnHour + "&to=" + hourAgo: "to",
		} {
			wantFields(t, h.Do(t, h.Admin, "GET", root+"audit/?"+query, nil), field)
		}
	})
}
