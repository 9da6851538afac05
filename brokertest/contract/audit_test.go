package contract_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

// An admin reads what happened, the newest first, by who, what, which and when; nothing of
// another organisation is in it, and no filter brings it there.
func TestTheAuditTrailIsRead(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		if _, _, err := h.Service.MakeAPIToken(ctx, h.Admin.Caller, broker.NewAPIToken{Role: models.RoleUser, UserID: "app-ci"}); err != nil {
			t.Fatal(err)
		}
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
			{"of what an admin did for a machine", h.Admin, url.Values{"actor": {"root"}}, []models.Action{models.ActionTokenCreated}},
			{"of what nobody did for others", h.Admin, url.Values{"actor": {"ada"}}, nil},
			{"of what another organisation's admin did", h.Other, url.Values{"actor": {"root"}}, nil},
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

// manyEvents writes n events of acme's, a second apart.
func manyEvents(t *testing.T, h *brokertest.Instance, n int, code string) {
	t.Helper()
	events := make([]models.AuditEvent, 0, 1000)
	for i := range n {
		events = append(events, models.AuditEvent{ID: fmt.Sprintf("01936f2e-7c1a-7d4e-9b3f-%012x", i), OrgID: "acme", UserID: "bulk", Action: models.ActionJobCreated, Code: code})
		if len(events) == cap(events) || i == n-1 {
			if err := h.Store.Audit(ctx, events...); err != nil {
				t.Fatal(err)
			}
			events = events[:0]
		}
	}
}

// The export has every event that the list has, in its order, over the API and in the console; and what is refused there
// is refused here.
func TestTheAuditTrailIsExported(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		manyEvents(t, h, 2100, "c") // three pages of the export
		listed := func(query string) (ids []string) {
			t.Helper()
			for at := root + "audit/?limit=1000&" + query; at != ""; {
				body := want(t, 200, h.Do(t, h.Admin, "GET", at, nil))
				for _, e := range list(t, body["data"]) {
					ids = append(ids, text(t, e, "id"))
				}
				next, _ := body["next"].(string)
				at = strings.TrimPrefix(next, h.URL)
			}
			return ids
		}
		exported := func(what, body string) (ids []string) {
			t.Helper()
			for line := range strings.Lines(body) {
				var e models.AuditEvent
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					t.Fatalf("%s: %q: %v", what, line, err)
				}
				ids = append(ids, e.ID)
			}
			return ids
		}
		s := admin(t, h)
		for query, least := range map[string]int{"userId=bulk": 2100, "providerId=" + p: 1, "action=provider.created": 1, "userId=nobody": 0} {
			all := listed(query)
			if len(all) < least {
				t.Errorf("%s: %d are listed", query, len(all))
			}
			api := h.Do(t, h.Admin, "GET", root+"audit/export/?"+query, nil)
			if got := exported(query, string(api.Body)); api.Status != 200 || !slices.Equal(got, all) {
				t.Errorf("%s: %d with %d events, listed are %d", query, api.Status, len(got), len(all))
			}
			file := s.get("/console/audit/export?" + query)
			if got := exported(query, file.body); file.status != 200 || !slices.Equal(got, all) || !strings.Contains(file.header.Get("Content-Disposition"), `filename="audit.jsonl"`) {
				t.Errorf("%s: the console: %d with %d events: %v", query, file.status, len(got), file.header)
			}
		}
		if foreign := h.Do(t, h.Other, "GET", root+"audit/export/?userId=bulk", nil); foreign.Status != 200 || len(foreign.Body) > 0 {
			t.Errorf("another organisation gets %d: %.200s", foreign.Status, foreign.Body)
		}
		wantFields(t, h.Do(t, h.Admin, "GET", root+"audit/export/?action=provider.invented", nil), "action")
		wantPage(t, s.get("/console/audit/export?action=provider.invented"), 422)
		wantPage(t, s.get("/console/audit"), 200, `formaction="/console/audit/export"`, "bulk")
		wantPage(t, s.get("/console/audit?actor=root"), 200, `value="root"`, "No such events happened")
	})
}

// A part of the audit trail must not look like all of it: when the API token or the session ends, the connection does, and
// the client sees an error.
func TestAnExportThatCannotBeCompletedIsNoWholeAnswer(t *testing.T) {
	h := embedded(t)
	manyEvents(t, h, 3000, strings.Repeat("c", 4000)) // more than the sockets hold
	narrow := &net.Dialer{}
	var connection *net.TCPConn // the last one
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := narrow.DialContext(ctx, network, address)
		if err == nil {
			connection = c.(*net.TCPConn)
			err = connection.SetReadBuffer(4096)
		}
		return c, err
	}}
	s := admin(t, h)
	s.http.Transport = transport
	for _, c := range []struct {
		what    string
		address string
		client  *http.Client
		end     func() error
	}{
		{"the session", "/console/audit/export", s.http, func() error { _, err := h.Service.EndSessionsOf(ctx, "acme", "root"); return err }},
		{"the token", root + "audit/export/", &http.Client{Transport: transport}, func() error { _, err := h.Service.RevokeAPIToken(ctx, h.Admin.Caller.TokenID, false); return err }},
	} {
		r := request(t, h, "GET", c.address, "")
		res, err := c.client.Do(r)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("%s: %v %v", c.what, res, err)
		}
		defer res.Body.Close()
		lines := bufio.NewReader(res.Body)
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if err := c.end(); err != nil {
			t.Fatal(err)
		}
		if err := connection.SetReadBuffer(1 << 20); err != nil { // what has been sent already may arrive fast
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, lines); err == nil {
			t.Errorf("%s ended, and the answer of %d bytes looks complete", c.what, n)
		}
	}
}
