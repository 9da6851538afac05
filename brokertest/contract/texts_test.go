package contract_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
)

// Finding F8: bytes that a database cannot store were told as an outage (503), to
// everybody who sent them, even without a token.
func TestT3_BytesThatNoDatabaseStoresAreNoOutage(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		id := consent(t, h, h.User, p, "ada")
		for _, token := range []string{"grd_\xff_x", "grd_a\x80b_x", "grd__x", "grd_" + strings.Repeat("a", 5000) + "_x", "\xff", "grd_\u00fc_x", "grd_a.b_x"} {
			for _, header := range []string{"Authorization", "Coder-Session-Token"} {
				r := request(t, h, "GET", root+"providers/", "")
				r.Header.Del("Authorization")
				r.Header.Set(header, strings.TrimSpace(map[string]string{"Authorization": "Bearer "}[header]+token))
				want(t, 401, h.Send(t, r))
			}
		}
		encoded := func(s string) string { return url.QueryEscape(base64.RawURLEncoding.EncodeToString([]byte(s))) }
		now := time.Now().UTC().Format(time.RFC3339Nano)
		for _, at := range []string{root + "providers/", root + "authorizedProviders/", root + "jobs/"} {
			for _, cursor := range []string{encoded("+" + now + " a\x00b"), encoded("-" + now + " \xff"), "%00", "%ff", encoded("+" + now + " ")} {
				wantFields(t, h.Do(t, h.Admin, "GET", at+"?cursor="+cursor, nil), "cursor")
			}
		}
		many := strings.Repeat("a,", 70_000)
		for query, found := range map[string]int{"ids=" + many: 0, "ids=" + many + p: 1, "types=" + many + "test": 1, "host=" + many + "b": 0,
			"ids=%00": 0, "ids=%ff&ids=" + p: 1, "types=a%00b": 0, "host=%ff": 0} {
			if got := want(t, 200, h.Do(t, h.Admin, "GET", root+"providers/?"+query, nil)); got["count"] != float64(found) {
				t.Errorf("%.20s: %v found, want %d", query, got["count"], found)
			}
		}
		for _, text := range []string{"%00", "a%00b", "%ff", "%ed%a0%80", strings.Repeat("x", 5000)} {
			for _, path := range []string{
				root + "jobs/?types=" + text, root + "jobs/?providerId=" + text,
				root + "authorizedProviders/?providerId=" + text, root + "authorizedProviders/?userId=" + text,
				"/api/v2/external-auth/" + text, "/api/v2/workspaceagents/me/external-auth?id=" + text,
				authorization(id) + "userinfo/?x=" + text, root + "jobs/" + text + "/items/?outcome=" + text,
				root + "jobs/" + text + "/events/",
			} {
				if a := h.Do(t, h.Admin, "GET", path, nil); a.Status >= 500 {
					t.Errorf("GET %.60s: %d %.200s", path, a.Status, a.Body)
				}
			}
			s := surf(t, h)
			s.signIn(h.User)
			if status := s.get("/external-auth/" + text + "/callback?state=x&code=" + text).status; status >= 500 {
				t.Errorf("the page of provider %.60s: %d", text, status)
			}
		}
		if strings.Contains(h.Log.String(), "SQLSTATE") {
			t.Error("something of it reached the database")
		}
	})
}

// Every text of a body is judged before it reaches SQL.
func TestT3_TextsOfABody(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		for _, text := range []string{"a\x00b", "\x00", "\u0085"} {
			for field, value := range map[string]any{
				"name": text, "slug": text, "clientId": text, "clientSecret": text, "type": text, "metadata": object{"host": text},
				"scopes": []string{text}, "redirectUris": []string{"https://example.com/" + text}, "config": object{text: 1},
			} {
				if field == "redirectUris" && text == "\u0085" { // an IRI's character, and as storable as any
					continue
				}
				body := object{"name": "x", "type": "test", "clientId": "c", "clientSecret": "s"}
				body[field] = value
				want(t, 422, h.Do(t, h.Admin, "POST", root+"providers/", body))
				want(t, 422, h.Do(t, h.Admin, "PATCH", provider(p), object{field: value}))
			}
			for _, config := range []object{
				{"icon": "https://example.com/" + text}, {"match": []string{"example.com/" + text}}, {"authorizeParams": object{"x": text}},
			} {
				if _, ok := config["authorizeParams"]; !ok && text == "\u0085" {
					continue
				}
				want(t, 422, h.Do(t, h.Admin, "PATCH", provider(p), object{"config": config}))
			}
			want(t, 400, h.Do(t, h.User, "POST", callback, object{"providerId": p, "state": text, "code": text}))
			want(t, 400, h.Do(t, h.User, "POST", callback, object{"providerId": p, "state": text, "error": text}))
		}
	})
}

// Finding K12: a space or a no-break space that was pasted along with a client id or
// secret was kept, and every token call failed.
func TestPastedCharactersNobodySeesAreRefused(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	for _, c := range []struct{ value, says string }{ // no hexadecimal digits, which a request id may have in the same order
		{"qrstuv ", "character 7"}, {" qrstuv", "begin with a space"}, {"qrstuv\u00a0", "character 7"}, {"qrs\ntuv", "character 4"},
		{"qrstuv\r\n", "character 7"}, {"\u200bqrs", "character 1"}, {"qrs\u2013tuv", "character 4"},
	} {
		for _, field := range []string{"clientId", "clientSecret"} {
			body := object{"name": "x", "type": "test", "clientId": "c", "clientSecret": "s"}
			body[field] = c.value
			a := h.Do(t, h.Admin, "POST", root+"providers/", body)
			wantFields(t, a, field)
			if !strings.Contains(string(a.Body), c.says) || strings.Contains(string(a.Body), "qrs") {
				t.Errorf("%s %q: %s", field, c.value, a.Body)
			}
		}
		wantFields(t, h.Do(t, h.Admin, "PATCH", provider(p), object{"clientSecret": c.value}), "clientSecret")
	}
	// What RFC 6749 A.1 and A.2 allow stays allowed, a space inside too.
	want(t, 201, h.Do(t, h.Admin, "POST", root+"providers/", object{"name": "x", "type": "test", "clientId": `a b!"~`, "clientSecret": `s p%\~`}))
}

// A newcomer pasted an address as metadata.host, and called the callback by GET.
func TestMessagesForNewcomers(t *testing.T) {
	h := embedded(t)
	a := h.Do(t, h.Admin, "POST", root+"providers/", object{"name": "x", "type": "github", "clientId": "c", "clientSecret": "s",
		"metadata": object{"host": "https://github.example.com"}})
	wantFields(t, a, "metadata.host")
	if !strings.Contains(string(a.Body), "without https://") {
		t.Errorf("it says %s", a.Body)
	}
	answer, err := http.DefaultClient.Do(request(t, h, "GET", root+"providers/callback/?code=x&state=y", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if message := string(body); answer.StatusCode != 404 || !strings.Contains(message, "POST "+root+"providers/callback/") || !strings.Contains(message, "/external-auth/") {
		t.Errorf("it says %q", message)
	}
}
