package contract_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
)

// Finding 5: the list of authorizations did not say whose account each was, nor when
// it was last used or refreshed, and there was no way to ask for one.
func TestAnAuthorizationTellsItsAccountAndItsTimes(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		used, idle := consent(t, h, h.User, p, "ada"), consent(t, h, h.User, p, "grace")
		accessToken(t, h, h.User, used)
		if err := h.Service.FlushFetches(context.Background()); err != nil {
			t.Fatal(err)
		}
		listed := map[string]object{}
		for _, a := range list(t, want(t, 200, h.Do(t, h.User, "GET", root+"authorizedProviders/", nil))["data"]) {
			listed[text(t, a, "id")] = a
		}
		for _, id := range []string{used, idle} {
			one := want(t, 200, h.Do(t, h.Admin, "GET", authorization(id), nil))
			account, _ := one["account"].(object)
			of, _ := listed[id]["account"].(object)
			if text(t, account, "sub") == "" || account["sub"] != of["sub"] || account["login"] != of["login"] || account["email"] != of["email"] {
				t.Errorf("one says %v, the list %v", account, of)
			}
			for _, name := range []string{"expiresAt", "refreshedAt", "lastFetchedAt"} {
				if one[name] != listed[id][name] {
					t.Errorf("%s: one says %v, the list %v", name, one[name], listed[id][name])
				}
			}
			if _, err := time.Parse(time.RFC3339, text(t, one, "refreshedAt")); err != nil {
				t.Error(err)
			}
			if _, fetched := one["lastFetchedAt"]; fetched != (id == used) {
				t.Errorf("fetched is %v for used %v", fetched, id == used)
			}
		}
		if used, idle := listed[used]["account"].(object), listed[idle]["account"].(object); used["sub"] == idle["sub"] {
			t.Errorf("both are %v", used)
		}
		want(t, 204, h.Do(t, h.User, "DELETE", authorization(used), nil))
		want(t, 404, h.Do(t, h.User, "GET", authorization(used), nil))
	})
}

// Finding K11: whatever error the upstream sent a person back with was "declined": its
// code was in no answer, no log and no row.
func TestTheErrorOfACallbackIsKept(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		for given, kept := range map[string]string{
			"access_denied": "access_denied", "invalid_scope": "invalid_scope", "temporarily_unavailable": "temporarily_unavailable",
			"unauthorized_client": "unauthorized_client", "server_error": "server_error", "login_required": "login_required",
			madeUp: "other", "Access_Denied": "other", strings.Repeat("x", 10_000): "other",
		} {
			a := begin(t, h, h.User, p, nil)
			body := want(t, 400, h.Do(t, h.User, "POST", callback, object{"providerId": p, "state": a.State, "error": given, "error_description": madeUp}))
			if body["detail"] != kept || strings.Contains(text(t, body, "message"), madeUp) {
				t.Errorf("%.30s: %v", given, body)
			}
			if !strings.Contains(h.Log.String(), "code="+kept) && !strings.Contains(h.Log.String(), `"code":"`+kept+`"`) {
				t.Errorf("the log does not tell %s", kept)
			}
			for _, table := range []string{"flows WHERE failure", "audit_events WHERE code"} {
				var n int
				if err := brokertest.SQL(t, h.DatabaseURL).QueryRow("SELECT COUNT(*) FROM " + table + " = '" + kept + "'").Scan(&n); err != nil || n == 0 {
					t.Errorf("%s: %d rows tell %s: %v", table, n, kept, err)
				}
			}
		}
		if strings.Contains(h.Log.String(), madeUp) || strings.Contains(dump(t, h), madeUp) {
			t.Error("the text of the address reached the log or the database")
		}
	})
}

// Finding 7: authorize ignored redirectUri and a body with parameters, and the person
// ended on grantd's own page.
func TestAuthorizeTakesBothSpellingsAndRefusesABody(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	other := brokertest.Callback + "/other"
	for _, q := range []url.Values{{"redirect_uri": {other}}, {"redirectUri": {other}}, {"redirectUri": {other}, "redirect_uri": {""}},
		{"redirectUri": {other}, "redirect_uri": {other}, "unheard_of": {"x"}}} {
		if got := inside(t, begin(t, h, h.User, p, q).RedirectURL, "redirect_uri"); got != other {
			t.Errorf("%v: the person returns to %s", q, got)
		}
	}
	wantFields(t, h.Do(t, h.User, "POST", authorizeAt(p)+"?redirectUri=x&redirect_uri=y&skipConsent=true&skip_consent=false", nil), "redirectUri", "skipConsent")
	wantFields(t, h.Do(t, h.User, "POST", authorizeAt(p)+"?skipConsent=perhaps", nil), "skipConsent")
	for _, c := range []struct {
		kind, body string
		status     int
	}{
		{"application/json", `{"redirectUri":"https://app.example.com/"}`, 422}, {"", `{"state":"12345678"}`, 422}, {"text/plain", `{"x":null}`, 422},
		{"application/x-www-form-urlencoded", "redirect_uri=https://app.example.com/", 422},
		{"application/json", "", 200}, {"", "", 200}, {"application/json", "{}", 200}, {"application/json", "null", 200}, {"application/x-www-form-urlencoded", "", 200},
	} {
		r := request(t, h, http.MethodPost, authorizeAt(p), c.body)
		if c.kind != "" {
			r.Header.Set("Content-Type", c.kind)
		}
		answer := bare(t, r)
		if said := read(t, answer); answer.StatusCode != c.status || c.status == 422 && (!strings.Contains(said, "redirect_uri") || strings.Contains(said, "app.example.com")) {
			t.Errorf("%s %s: got %d %s", c.kind, c.body, answer.StatusCode, said)
		}
	}
}

// Finding 7: a filter by a status that does not exist answered with an empty list.
func TestAFilterByAStatusThatDoesNotExistIsRefused(t *testing.T) {
	h := embedded(t)
	createID(t, h, nil)
	wantFields(t, h.Do(t, h.Admin, "GET", root+"authorizedProviders/?status=foo", nil), "status")
	wantFields(t, h.Do(t, h.Admin, "GET", root+"jobs/?status=RUNNING,foo", nil), "status")
	for _, path := range []string{"authorizedProviders/?status=", "authorizedProviders/?status=expired", "jobs/?status=RUNNING&status=", "jobs/?types=foo",
		"providers/?ids=foo&types=foo&host=foo", "authorizedProviders/?providerId=foo&userId=foo"} {
		want(t, 200, h.Do(t, h.Admin, "GET", root+path, nil))
	}
}
