package contract_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
)

// bodyFirst are operations that refuse a request without a body before they look anything up.
var bodyFirst = []string{"updateProvider", "pollDevice", "confirmConnectLink", "updateWebhook"}

// endsAt has queries without which an operation goes on for as long as the client reads.
var endsAt = map[string]string{"followEvents": "?wait=1ms"}

// Every path is served with and without its last slash, directly: one client
// takes any redirect for a failure.
func TestEveryPathWorksWithAndWithoutItsSlash(t *testing.T) {
	h := embedded(t)
	served := 0
	for _, op := range operations(t, h) {
		if !strings.HasPrefix(op.path, root) {
			continue
		}
		served++
		path := strings.ReplaceAll(strings.TrimSuffix(op.path, "/"), "{id}", unknownID)
		for _, query := range []string{endsAt[op.id], "?limit=1&x=/a/" + strings.Replace(endsAt[op.id], "?", "&", 1)} {
			with, without := h.Do(t, h.Admin, op.method, path+"/"+query, nil), h.Do(t, h.Admin, op.method, path+query, nil)
			if with.Status != without.Status || with.Status/100 == 3 || with.Status == 405 {
				t.Errorf("%s %s: %d with its slash, %d without", op.method, path, with.Status, without.Status)
			}
			if strings.Contains(path, unknownID) && !slices.Contains(bodyFirst, op.id) && with.Status != 404 {
				t.Errorf("%s %s%s of what does not exist: %d", op.method, path, query, with.Status)
			}
		}
	}
	if served < 14 {
		t.Errorf("only %d operations were tried", served)
	}
}

func TestNoPathRedirects(t *testing.T) {
	h := embedded(t)
	for _, path := range []string{
		"/", "/api", "/api/v2", "/api/v2/", "/api/v2/externalOAuth", "/api/v2/externalOAuth/", root + "nothing", root + "nothing/", root + "providers//",
		root + "/providers/", root + "providers/./", root + "providers/../jobs/", "/docs", "/docs/", "/healthz", "/healthz/", "/metrics/",
	} {
		r := request(t, h, "GET", path, "")
		if a := bare(t, r); a.StatusCode/100 == 3 {
			t.Errorf("GET %s: %s to %s", path, a.Status, a.Header.Get("Location"))
		}
	}
}

func TestMalformedIdsAreUnknownOnes(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for _, id := range []string{"x", "a.b", "a%20b", "a%00b", "a%2Fb", "%ff", "%2e%2e", "'%20OR%201=1--", strings.Repeat("x", 5000), "ünïcode", "a%0d%0ab"} {
			want(t, 404, h.Do(t, h.Admin, "GET", provider(id), nil))
			want(t, 404, h.Do(t, h.Admin, "PATCH", provider(id), object{"name": "x"}))
			want(t, 404, h.Do(t, h.Admin, "DELETE", provider(id), nil))
			want(t, 404, h.Do(t, h.Admin, "POST", authorizeAt(id), nil))
			want(t, 404, h.Do(t, h.Admin, "DELETE", authorization(id), nil))
			want(t, 404, h.Do(t, h.Admin, "POST", tokenOf(id), nil))
			want(t, 404, h.Do(t, h.Admin, "POST", authorization(id)+"accessToken/", nil))
			want(t, 404, h.Do(t, h.Admin, "GET", userinfoOf(id), nil))
			want(t, 404, h.Do(t, h.Admin, "GET", root+"jobs/"+id+"/", nil))
		}
		for _, id := range []string{"x", "a b", "a\x00b", "../x", ""} {
			want(t, 404, h.Do(t, h.Admin, "POST", callback, object{"providerId": id, "state": "12345678", "code": "x"}))
		}
	})
}

func TestBodiesThatCannotBeRead(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	huge := `{"name":"` + strings.Repeat("x", 1<<20) + `"}`
	for _, at := range []struct{ method, path string }{
		{"POST", root + "providers/"}, {"PATCH", provider(p)}, {"POST", callback}, {"POST", root + "jobs/"},
	} {
		for _, c := range []struct {
			name, contentType, body string
			status                  int
		}{
			{"empty", "application/json", "", 400},
			{"not JSON", "application/json", "name=x&type=test", 400},
			{"half of it", "application/json", `{"name": "x"`, 400},
			{"more than one", "application/json", `{} {}`, 400},
			{"not UTF-8", "application/json", "{\"name\":\"Gr\xfc\xdfe\"}", 400}, // it could not come back byte for byte
			{"a list", "application/json", `[]`, 422},
			{"null", "application/json", `null`, 422},
			{"text", "application/json", `"{}"`, 422},
			{"too large", "application/json", huge, 413},
			{"a form", "application/x-www-form-urlencoded", "name=x", 415},
			{"plain text", "text/plain", "{}", 415},
		} {
			t.Run(at.method+" "+strings.ReplaceAll(at.path, p, "{id}")+" "+c.name, func(t *testing.T) {
				r := request(t, h, at.method, at.path, c.body)
				r.Header.Set("Content-Type", c.contentType)
				answer := want(t, c.status, h.Send(t, r))
				if c.status == 415 && !strings.Contains(text(t, answer, "message"), "application/json") {
					t.Errorf("does not say what to send: %v", answer)
				}
			})
		}
	}
}

func TestABodyThatDoesNotSayHowLongItIsIsCutOff(t *testing.T) {
	h := embedded(t)
	r := request(t, h, "POST", root+"providers/", `{"name":"`+strings.Repeat("x", 2<<20)+`"}`)
	r.ContentLength = -1
	r.Header.Set("Content-Type", "application/json")
	want(t, 413, h.Send(t, r))
}

func TestUnknownPathsAndMethods(t *testing.T) {
	h := embedded(t)
	want(t, 404, h.Do(t, h.Admin, "GET", root+"nothing/", nil))
	want(t, 404, h.Do(t, nobody, "GET", "/nothing", nil))
	methods := map[string][]string{}
	for _, op := range operations(t, h) {
		if strings.HasPrefix(op.path, root) {
			methods[op.path] = append(methods[op.path], op.method)
		}
	}
	for path, known := range methods {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			if slices.Contains(known, method) || path == callback && slices.Contains(methods[provider("{id}")], method) ||
				path == importAt && slices.Contains(methods[authorization("{id}")], method) {
				continue // providers/callback/ and authorizedProviders/import/ read as ids too, of nothing
			}
			a := h.Do(t, h.Admin, method, strings.ReplaceAll(path, "{id}", unknownID), nil)
			want(t, 405, a)
			for _, k := range known {
				if !strings.Contains(a.Header.Get("Allow"), k) {
					t.Errorf("%s %s: Allow is %q, without %s", method, path, a.Header.Get("Allow"), k)
				}
			}
		}
	}
}

// What the SDKs send beside the point: a Content-Type without a body, none with
// a POST, headers of their own, empty parameters.
func TestOddButHarmlessRequests(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		a := consent(t, h, h.Admin, p, "ada")
		for _, c := range []struct {
			method, path string
			header       http.Header
			status       int
		}{
			{"GET", root + "providers/", http.Header{"Content-Type": {"application/json"}}, 200},
			{"GET", root + "providers/", http.Header{"Content-Type": {"text/plain"}}, 200},
			{"GET", root + "providers", http.Header{"Accept": {"text/html"}, "X-Datarobot-Api-Consumer-Trace": {"x"}, "Traceparent": {"garbage"}}, 200},
			{"GET", root + "providers/", http.Header{"Accept": {""}, "User-Agent": {""}}, 200},
			{"GET", provider(p), http.Header{"Content-Type": {"application/json"}}, 200},
			{"POST", authorizeAt(p), nil, 200},
			{"POST", authorizeAt(p) + "?state=&redirect_uri=&skip_consent=", http.Header{"Content-Type": {"application/json"}}, 200},
			{"POST", authorizeAt(p) + "?unknown=1&state=", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, 200},
			{"POST", tokenOf(a), nil, 201},
			{"POST", tokenOf(a), http.Header{"Content-Type": {"application/json"}}, 201},
			{"POST", authorization(a) + "accessToken", nil, 201},
			{"GET", userinfoOf(a), http.Header{"Content-Type": {"application/json"}}, 200},
			{"GET", root + "authorizedProviders/?providerId=&status=&userId=&limit=&cursor=", nil, 200},
			{"DELETE", authorization(a), http.Header{"Content-Type": {"application/json"}}, 204},
			{"DELETE", provider(p) + "?force=", http.Header{"Content-Type": {"application/json"}}, 202},
		} {
			r := request(t, h, c.method, c.path, "")
			for name, values := range c.header {
				r.Header[name] = values
			}
			want(t, c.status, h.Send(t, r))
		}
	})
}

func TestARequestIDGoesInAndOut(t *testing.T) {
	h := embedded(t)
	for _, c := range []struct {
		given string
		kept  bool
	}{{"my-request.1", true}, {"", false}, {"two words", false}, {strings.Repeat("x", 500), false}} {
		r := request(t, h, "GET", provider(unknownID), "")
		r.Header.Set("X-Request-Id", c.given)
		a := h.Send(t, r)
		body := want(t, 404, a)
		id := a.Header.Get("X-Request-Id")
		if id == "" || c.kept != (id == c.given) || body["requestId"] != id || !strings.Contains(h.Log.String(), id) {
			t.Errorf("%q became %q, in the body %v", c.given, id, body["requestId"])
		}
	}
	if a := h.Do(t, h.Admin, "GET", root+"providers/", nil); a.Header.Get("X-Request-Id") == "" {
		t.Error("a success carries no X-Request-Id")
	}
}

// All times end with Z, on both databases, wherever they appear.
func TestTimesAreInUTC(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, object{"type": "github", "metadata": object{"host": h.IdPURL}})
		done := want(t, 200, h.Do(t, h.User, "POST", callback, approved(t, h, h.User, p, "ada")))["authorizedProvider"].(object)
		token := want(t, 201, h.Do(t, h.User, "POST", tokenOf(text(t, done, "id")), nil))
		listed := list(t, want(t, 200, h.Do(t, h.User, "GET", root+"authorizedProviders/", nil))["data"])[0]
		for _, a := range []object{done, token["authorizedOauthProvider"].(object), listed} {
			wantTime(t, "createdAt", a["createdAt"])
			wantTime(t, "refreshTokenExpiresAt", a["refreshTokenExpiresAt"]) // GitHub's dialect tells
			wantTime(t, "provider.createdAt", a["provider"].(object)["createdAt"])
			wantTime(t, "provider.updatedAt", a["provider"].(object)["updatedAt"])
		}
		wantTime(t, "expiresAt", token["expiresAt"])
		job := deleted(t, h, p)
		wantTime(t, "startedAt", job["startedAt"])
		wantTime(t, "finishedAt", job["finishedAt"])
	})
}
