package contract_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/grantd/grantd/brokertest"
)

// sdkDevice is what the Go SDK reads of GET external-auth/{id}/device.
type sdkDevice struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	ExpiresIn       int    `json:"expires_in"`
	Interval        int    `json:"interval"`
}

// sdkPoll sends what the Go SDK does to exchange a device code.
func sdkPoll(t testing.TB, h *brokertest.Instance, who brokertest.Person, name, code string) brokertest.Answer {
	t.Helper()
	body, err := json.Marshal(map[string]string{"device_code": code})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest("POST", h.URL+externalAuth+"/"+name+"/device", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Coder-Session-Token", secret(who.Token))
	return h.Send(t, r)
}

// wantCode fails unless the answer is a 400 whose detail is the bare code of
// RFC 8628, which is what the SDK's users branch on.
func wantCode(t testing.TB, a brokertest.Answer, code string) {
	t.Helper()
	var e sdkError
	if err := json.Unmarshal(a.Body, &e); err != nil || a.Status != 400 || e.Detail != code || e.Message == "" {
		t.Errorf("got %d %s, want 400 with detail %s", a.Status, a.Body, code)
	}
}

func TestTheGoSDKConsentsOnADevice(t *testing.T) {
	eachWithDevices(t, brokertest.Options{}, func(t *testing.T, d devices) {
		id := d.provider(t, "github")
		slug := text(t, want(t, 200, d.Do(t, d.User, "GET", provider(id), nil)), "slug")
		if !shown(t, d.Instance, d.User, id).Device || !listed(t, d.Instance, d.User).Providers[0].Device {
			t.Error("the device flow is not offered")
		}
		begun := reads[sdkDevice](t, sdk(t, d.Instance, d.User, "GET", externalAuth+"/"+slug+"/device"))
		if begun.DeviceCode == "" || begun.UserCode == "" || begun.VerificationURI != d.IdPURL+"/login/device" ||
			begun.ExpiresIn <= 0 || begun.Interval <= 0 {
			t.Fatalf("begun with %+v", begun)
		}
		wantCode(t, sdkPoll(t, d.Instance, d.User, slug, begun.DeviceCode), "authorization_pending")
		wantCode(t, sdkPoll(t, d.Instance, d.Colleague, slug, begun.DeviceCode), "expired_token")
		d.IdP.ApproveDevice(begun.UserCode, "grace")
		d.pass(t, pollEvery)
		if a := sdkPoll(t, d.Instance, d.User, id, begun.DeviceCode); a.Status != 204 || len(a.Body) != 0 {
			t.Fatalf("after the consent: %d %s", a.Status, a.Body)
		}
		if now := shown(t, d.Instance, d.User, id); !now.Authenticated || now.User == nil || now.User.Login != "grace" {
			t.Errorf("connected as %+v", now.User)
		}
		wantCode(t, sdkPoll(t, d.Instance, d.User, id, begun.DeviceCode), "expired_token")

		begun = reads[sdkDevice](t, sdk(t, d.Instance, d.User, "GET", externalAuth+"/"+id+"/device"))
		d.IdP.DeclineDevice(begun.UserCode)
		d.pass(t, pollEvery)
		wantCode(t, sdkPoll(t, d.Instance, d.User, id, begun.DeviceCode), "access_denied")

		if a := sdk(t, d.Instance, d.User, "GET", externalAuth+"/"+createID(t, d.Instance, nil)+"/device"); a.Status != 400 {
			t.Errorf("where no admin switched it on: %d %s", a.Status, a.Body)
		}
		if a := sdk(t, d.Instance, d.User, "GET", externalAuth+"/nowhere/device"); a.Status != 404 {
			t.Errorf("of an unknown provider: %d %s", a.Status, a.Body)
		}
	})
}
