package contract_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
)

// What Terraform sends in the life of a resource: create with invented
// credentials, read, update in place, read, delete, poll, and find it gone.
func TestTheLifeOfATerraformResource(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		send := func(method, path, body string) brokertest.Answer {
			r := request(t, h, method, path, body)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("User-Agent", "terraform-provider/1.0")
			return h.Send(t, r)
		}
		created := want(t, 201, send("POST", root+"providers/", `{"name":"tf-acc","type":"github","clientId":"invented","clientSecret":"invented"}`))
		id := text(t, created, "id")
		for _, step := range []struct{ name, method, body string }{
			{"read", "GET", ""},
			{"rename", "PATCH", `{"name":"tf-acc renamed"}`},
			{"plan again", "GET", ""},
			{"change the secret", "PATCH", `{"clientSecret":"invented too"}`},
			{"change both", "PATCH", `{"name":"tf-acc again","clientSecret":"invented"}`},
			{"find nothing to change", "PATCH", `{}`},
		} {
			got := want(t, 200, send(step.method, provider(id), step.body)) // never 204: it would crash
			for _, name := range []string{"id", "name", "type", "status", "clientId", "createdAt", "updatedAt"} {
				if text(t, got, name) == "" {
					t.Errorf("%s: %s is empty", step.name, name)
				}
			}
			if got["type"] != "github" || got["clientId"] != "invented" || got["id"] != id {
				t.Errorf("%s: drift: %v", step.name, got)
			}
		}
		listed := want(t, 200, send("GET", root+"providers", ""))
		if listed["count"] != 1.0 {
			t.Errorf("listed are %v", listed["count"])
		}
		job := jobOf(t, h, send("DELETE", provider(id), ""))
		brokertest.Eventually(t, "the destroy is over", func() bool {
			return want(t, 200, send("GET", root+"jobs/"+job+"/", ""))["status"] == "COMPLETED"
		})
		want(t, 404, send("GET", provider(id), ""))
		// -replace: a resource of the same name, type and client.
		want(t, 201, send("POST", root+"providers/", `{"name":"tf-acc","type":"github","clientId":"invented","clientSecret":"invented"}`))
	})
}

// What the Python SDK sends in a web app's consent: no body with authorize, only
// token/ and never accessToken/, values as the browser's address had them.
func TestTheConsentOfAWebAppOnThePythonSDK(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		send := func(method, path, body string, header http.Header) brokertest.Answer {
			r := request(t, h, method, path, body)
			r.Header.Set("Authorization", "Bearer "+secret(h.User.Token))
			r.Header.Set("User-Agent", "DataRobotPythonClient/3.8 (Linux 6.1 x86_64) Python-3.12")
			r.Header.Set("Accept", "*/*")
			for name, values := range header {
				r.Header[name] = values
			}
			return h.Send(t, r)
		}
		json := http.Header{"Content-Type": {"application/json"}}

		providers := want(t, 200, send("GET", root+"providers/?types=test&ids="+p, "", json))
		if got := ids(t, providers); len(got) != 1 {
			t.Fatalf("found %v", got)
		}
		want(t, 200, send("GET", root+"authorizedProviders/", "", json))

		back := brokertest.Callback + "?providerId=" + p
		begun := want(t, 200, send("POST", authorizeAt(p)+"?redirect_uri="+url.QueryEscape(back)+"&state=", "", nil))
		if begun["state"] != inside(t, text(t, begun, "redirectUrl"), "state") {
			t.Errorf("the state %v is not the one inside %v", begun["state"], begun["redirectUrl"])
		}
		// Both live in one 4 kB cookie.
		if size := len(text(t, begun, "state")) + len(text(t, begun, "redirectUrl")); size > 3000 {
			t.Errorf("%d characters do not fit", size)
		}
		got := h.Approve(t, answerOf(t, begun), "ada")
		done := want(t, 200, send("POST", root+"providers/callback/", `{"providerId":"`+p+`","state":"`+got.State.Reveal()+`","code":"`+secret(got.Code)+`"}`, json))
		authorized := done["authorizedProvider"].(object)

		token := want(t, 201, send("POST", tokenOf(text(t, authorized, "id")), "", json))
		if !same(token["authorizedOauthProvider"].(object), authorized) {
			t.Errorf("the callback said %v, the token %v", authorized, token["authorizedOauthProvider"])
		}
		info := want(t, 200, send("GET", userinfoOf(text(t, authorized, "id")), "", json))
		if info["sub"] != done["userInfo"].(object)["sub"] || info["nickname"] != "ada" {
			t.Errorf("user info is %v", info)
		}
		want(t, 204, send("DELETE", authorization(text(t, authorized, "id")), "", json))
	})
}

// Clients print the message as it is.
func TestMessagesAreSentencesForAPerson(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	for _, a := range []brokertest.Answer{
		h.Do(t, nobody, "GET", root+"providers/", nil),
		h.Do(t, h.User, "POST", root+"providers/", newProvider(nil)),
		h.Do(t, h.User, "GET", provider(unknownID), nil),
		h.Do(t, h.Admin, "POST", root+"providers/", newProvider(object{"foo": 1, "name": ""})),
		h.Do(t, h.Admin, "POST", root+"providers/", "nonsense"),
		h.Do(t, h.Admin, "PUT", provider(p), nil),
		h.Do(t, h.User, "POST", callback, object{"providerId": p, "state": "12345678", "code": "x"}),
	} {
		message := text(t, a.JSON(t), "message")
		if len(message) < 10 || !strings.Contains(message, " ") || strings.ContainsAny(message, "{}\n") || strings.Contains(message, "body.") {
			t.Errorf("%d: %q", a.Status, message)
		}
	}
}
