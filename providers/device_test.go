package providers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDeviceAuthorization(t *testing.T) {
	t.Parallel()
	full := Device{Code: "d", UserCode: "AB-CD", VerificationURI: "https://idp.example/device", ExpiresIn: 900 * time.Second, Interval: 5 * time.Second}
	complete := full
	complete.VerificationURIComplete = "https://idp.example/device?user_code=AB-CD"
	for name, tc := range map[string]struct {
		status int
		body   string
		want   Device
		kind   Kind
	}{
		"github":           {200, `{"device_code":"d","user_code":"AB-CD","verification_uri":"https://idp.example/device","expires_in":900,"interval":5}`, full, ""},
		"google, trap 31":  {200, `{"device_code":"d","user_code":"AB-CD","verification_url":"https://idp.example/device","expires_in":900}`, full, ""},
		"complete":         {200, `{"device_code":"d","user_code":"AB-CD","verification_uri":"https://idp.example/device","verification_uri_complete":"https://idp.example/device?user_code=AB-CD","expires_in":"900","interval":5}`, complete, ""},
		"switched off":     {400, `{"error":"device_flow_disabled"}`, Device{}, KindRefused},
		"switched off 200": {200, `{"error":"device_flow_disabled"}`, Device{}, KindRefused},
		"not there":        {404, htmlPage, Device{}, KindRefused},
		"bad client":       {401, `{"error":"invalid_client"}`, Device{}, KindClient},
		"down":             {502, htmlPage, Device{}, KindTransient},
		"no code":          {200, `{"user_code":"AB-CD","verification_uri":"https://idp.example/device"}`, Device{}, KindProtocol},
		"no address":       {200, `{"device_code":"d","user_code":"AB-CD"}`, Device{}, KindProtocol},
		"a script":         {200, `{"device_code":"d","user_code":"AB-CD","verification_uri":"javascript:alert(1)"}`, Device{}, KindProtocol},
		"plain http":       {200, `{"device_code":"d","user_code":"AB-CD","verification_uri":"http://idp.example/device"}`, Device{}, KindProtocol},
		"control in code":  {200, `{"device_code":"d","user_code":"AB\u0007","verification_uri":"https://idp.example/device"}`, Device{}, KindProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := testUpstream(t)
			f.says("POST /device", tc.status, tc.body)
			got, err := r.At(c).BeginDevice(t.Context())
			if KindOf(err) != tc.kind {
				t.Fatalf("%v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			form := f.last(t).form(t)
			if form.Get("client_id") != c.ID || form.Get("scope") != "profile email" || f.last(t).header.Get("Authorization") == "" {
				t.Errorf("sent %v without the client's authentication", form)
			}
		})
	}
}

// Protocol rule 31, and the dialects of trap 31.
func TestProtocolRule31_DevicePoll(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		want   DevicePoll
		kind   Kind
	}{
		"pending":               {400, `{"error":"authorization_pending"}`, DevicePoll{State: DevicePending}, ""},
		"pending, github":       {200, `{"error":"authorization_pending"}`, DevicePoll{State: DevicePending}, ""},
		"slow down":             {400, `{"error":"slow_down"}`, DevicePoll{State: DeviceSlowDown}, ""},
		"slow down, github":     {200, `{"error":"slow_down","interval":10}`, DevicePoll{State: DeviceSlowDown, Interval: 10 * time.Second}, ""},
		"slow down, google":     {403, `{"error":"slow_down"}`, DevicePoll{State: DeviceSlowDown}, ""},
		"expired":               {400, `{"error":"expired_token"}`, DevicePoll{State: DeviceExpired}, ""},
		"expired, github":       {200, `{"error":"token_expired"}`, DevicePoll{State: DeviceExpired}, ""},
		"declined":              {400, `{"error":"access_denied"}`, DevicePoll{State: DeviceDeclined}, ""},
		"declined, entra":       {400, `{"error":"authorization_declined"}`, DevicePoll{State: DeviceDeclined}, ""},
		"down whatever it says": {500, `{"error":"access_denied"}`, DevicePoll{}, KindTransient},
		"bad client":            {401, `{"error":"invalid_client"}`, DevicePoll{}, KindClient},
		"code is none, entra":   {400, `{"error":"bad_verification_code"}`, DevicePoll{}, KindDenied},
		"tokens":                {200, `{"access_token":"a","refresh_token":"r","expires_in":3600,"scope":"profile email"}`, DevicePoll{State: DeviceDone, Tokens: Tokens{Access: "a", Refresh: "r", ExpiresIn: time.Hour, Scopes: []string{"profile", "email"}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := testUpstream(t)
			f.says("POST /token", tc.status, tc.body)
			got, err := r.At(c).PollDevice(t.Context(), theCode)
			if KindOf(err) != tc.kind {
				t.Fatalf("%v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if form := f.last(t).form(t); form.Get("device_code") != theCode || form.Get("grant_type") != deviceGrant || discloses(f.last(t).path) {
				t.Errorf("sent %v", form)
			}
		})
	}
}

func TestExtraParameters(t *testing.T) {
	t.Parallel()
	_, r, c := testUpstream(t)
	c.Config = map[string]any{"authorizeParams": map[string]any{"login_hint": "ada@example.com", "prompt": "select_account"}}
	if wrong := r.At(c).Validate(); wrong != nil {
		t.Fatal(wrong)
	}
	link, err := r.At(c).AuthorizeURL(t.Context(), AuthorizeRequest{State: "s", RedirectURI: "https://broker.example/cb", Verifier: theVerifier})
	if err != nil || !strings.Contains(link, "login_hint=ada%40example.com") || !strings.Contains(link, "prompt=select_account") {
		t.Errorf("%s, %v", link, err)
	}
	for _, bad := range []any{"x", map[string]any{"state": "mine"}, map[string]any{"Redirect_URI": "https://evil.example"},
		map[string]any{"response_mode": "fragment"}, map[string]any{"a b": "c"}, map[string]any{"a": 1}, map[string]any{"a": "x\n"}} {
		c.Config["authorizeParams"] = bad
		if wrong := r.At(c).Validate(); len(wrong) != 1 || wrong[0].Name != "config.authorizeParams" {
			t.Errorf("%v: %v", bad, wrong)
		}
	}
}
