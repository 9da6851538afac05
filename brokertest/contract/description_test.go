package contract_test

import (
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
)

func TestADescriptionIsKeptAndChanged(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := create(t, h, nil)
		at := provider(text(t, p, "id"))
		if p["description"] != nil {
			t.Errorf("without one it is %v", p["description"])
		}
		for _, given := range []string{"For the build.\n\nAsk <b>Ada</b> & co.", "a\r\nb", strings.Repeat("ü", 1000)} {
			made := create(t, h, object{"description": given})
			if made["description"] != given {
				t.Errorf("%.20q is created as %v", given, made["description"])
			}
			want(t, 200, h.Do(t, h.Admin, "PATCH", at, object{"description": given}))
			changed := want(t, 200, h.Do(t, h.Admin, "PATCH", at, object{"description": nil, "skipConsent": true})) // null leaves as it is
			listed := list(t, want(t, 200, h.Do(t, h.User, "GET", root+"providers/?ids="+text(t, p, "id"), nil))["data"])[0]
			for _, got := range []object{changed, listed, want(t, 200, h.Do(t, h.User, "GET", at, nil))} {
				if got["description"] != given {
					t.Errorf("%.20q is changed to %v", given, got["description"])
				}
			}
			for _, wrong := range []string{strings.Repeat("ü", 1001), "a\x00b", "a\tb", "a\rb", "a\u202eb", "a\u0085b"} {
				wantFields(t, h.Do(t, h.Admin, "POST", root+"providers/", newProvider(object{"description": wrong})), "description")
				wantFields(t, h.Do(t, h.Admin, "PATCH", at, object{"description": wrong}), "description")
			}
		}
		if cleared := want(t, 200, h.Do(t, h.Admin, "PATCH", at, object{"description": ""})); cleared["description"] != nil {
			t.Errorf("cleared, it is %v", cleared["description"])
		}
	})
}

// The hot query does not read it, so that no answer with an authorization has it.
func TestADescriptionIsNotToldWithAnAuthorization(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, object{"description": "only here"})
		done := h.Do(t, h.User, "POST", callback, approved(t, h, h.User, p, "ada"))
		a := text(t, want(t, 200, done)["authorizedProvider"].(object), "id")
		told := string(done.Body)
		for _, r := range [][2]string{{"POST", "/token/"}, {"POST", "/reset/"}, {"POST", "/token/"}, {"GET", "/"}} {
			answer := h.Do(t, h.User, r[0], root+"authorizedProviders/"+a+r[1], nil)
			if answer.Status/100 != 2 {
				t.Fatalf("%v: %d %s", r, answer.Status, answer.Body)
			}
			told += string(answer.Body)
		}
		told += string(h.Do(t, h.User, "GET", root+"authorizedProviders/", nil).Body)
		if strings.Count(told, `"slug"`) != 6 || strings.Contains(told, "only here") {
			t.Errorf("answered with %s", told)
		}
	})
}

func TestPeopleReadADescriptionBeforeTheyConsent(t *testing.T) {
	h := embedded(t)
	described, silent := createID(t, h, object{"description": "First <script>alert(1)</script>\n\"second\" & last"}), createID(t, h, nil)
	s := surf(t, h)
	s.signIn(h.User)
	wantPage(t, s.back(connectAt(described)), 200,
		`<p id="description" class="lines">First &lt;script&gt;alert(1)&lt;/script&gt;`+"\n"+`&#34;second&#34; &amp; last</p>`)
	if got := s.back(connectAt(silent)); got.status != 200 || strings.Contains(got.body, `id="description"`) {
		t.Errorf("without one: %d %s", got.status, got.body)
	}
}
