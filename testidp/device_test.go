package testidp_test

import (
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grantd/grantd/testidp"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// devices is a bench whose time only moves when it is told to.
func devices(t *testing.T, o testidp.Options) (*bench, func(time.Duration)) {
	var ahead atomic.Int64
	start := time.Now()
	o.Now = func() time.Time { return start.Add(time.Duration(ahead.Load())) }
	o.DeviceInterval = 5 * time.Second
	return setup(t, o), func(d time.Duration) { ahead.Add(int64(d)) }
}

func TestDeviceFlow(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]struct {
		begin, token, page, unknown string
		fails                       int
	}{
		"standard": {"/device", "/token", "/activate", "invalid_grant", 400},
		"github":   {"/login/device/code", tokenPath, "/login/device", "incorrect_device_code", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, pass := devices(t, testidp.Options{})
			begun := b.post(d.begin, "scope", "profile email")
			begun.want(t, 200, "")
			if begun.fields["interval"] != 5.0 || begun.fields["expires_in"] != 600.0 || begun.str("verification_uri") != b.url+d.page {
				t.Errorf("%s", begun.text)
			}
			if !regexp.MustCompile(`^[B-Z]{4}-[B-Z]{4}$`).MatchString(begun.str("user_code")) {
				t.Errorf("user_code = %q", begun.str("user_code"))
			}
			poll := func() answer {
				return b.post(d.token, "grant_type", deviceGrant, "device_code", begun.str("device_code"))
			}
			poll().want(t, d.fails, "slow_down") // at once, which is too fast
			pass(9 * time.Second)
			poll().want(t, d.fails, "slow_down") // ten seconds by now
			pass(15 * time.Second)
			poll().want(t, d.fails, "authorization_pending")
			b.idp.ApproveDevice(strings.ToLower(begun.str("user_code")), "grace")
			pass(15 * time.Second)
			tokens := poll()
			tokens.want(t, 200, "")
			if !b.alive(tokens.str("access_token")) {
				t.Error("the token does not work")
			}
			pass(15 * time.Second)
			poll().want(t, d.fails, d.unknown)
			if s := b.idp.Stats(); s.DevicePolledTooFast != 2 || s.Calls[testidp.DevicePoll] != 5 || s.Calls[testidp.Device] != 1 || s.LiveGrants != 1 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestDeviceRefusals(t *testing.T) {
	t.Parallel()
	b, pass := devices(t, testidp.Options{Clients: []testidp.Client{{ID: clientID, Secret: secret}, {ID: "public"}}})
	begin := func(pairs ...string) answer { return b.postForm("/device", pairs...) }
	begin("client_id", clientID).want(t, 401, "invalid_client")
	begin("client_id", "public", "scope", "a", "scope", "b").want(t, 400, "invalid_request")
	b.postForm("/login/device/code", "client_id", "nobody").want(t, 200, "incorrect_client_credentials")
	b.postForm("/login/device/code", "client_id", clientID).want(t, 200, "") // GitHub asks for no secret

	mine := begin("client_id", "public")
	mine.want(t, 200, "")
	poll := func(client ...string) answer {
		return b.postForm("/token", append(client, "grant_type", deviceGrant, "device_code", mine.str("device_code"))...)
	}
	pass(5 * time.Second)
	poll("client_id", clientID, "client_secret", secret).want(t, 400, "invalid_grant")
	b.idp.DeclineDevice(mine.str("user_code"))
	poll("client_id", "public").want(t, 400, "access_denied")

	mine = begin("client_id", "public")
	pass(10 * time.Minute)
	poll("client_id", "public").want(t, 400, "expired_token")
	if got := b.get("/activate?user_code="+mine.str("user_code"), "").status; got != 400 {
		t.Errorf("an expired user code: %d", got)
	}
}

// A person opens the page, types the code in or follows the link that has it,
// compares it and agrees.
func TestDevicePage(t *testing.T) {
	t.Parallel()
	b, pass := devices(t, testidp.Options{})
	b.http.Jar, _ = cookiejar.New(nil)
	if got := b.get("/activate", "").text; !strings.Contains(got, `name="user_code"`) {
		t.Errorf("no field for the code: %s", got)
	}
	for decision, want := range map[string]string{"allow": "", "deny": "access_denied"} {
		begun := b.post("/device", "scope", "profile")
		path := strings.TrimPrefix(begun.str("verification_uri_complete"), b.url)
		page := b.get(path, "")
		if !strings.Contains(page.text, begun.str("user_code")) || page.header.Get("Content-Security-Policy") == "" {
			t.Fatalf("the page does not show the code: %s", page.text)
		}
		handle := regexp.MustCompile(`name="handle" value="([^"]+)"`).FindStringSubmatch(page.text)[1]
		if got := b.postForm(path, "handle", handle, "person", "linus", "decision", decision); got.status != 200 {
			t.Fatalf("%s: %d %s", decision, got.status, got.text)
		}
		if got := b.postForm(path, "handle", handle, "person", "ada", "decision", "allow"); got.status != 400 {
			t.Errorf("decided twice: %d", got.status)
		}
		pass(5 * time.Second)
		poll := b.post("/token", "grant_type", deviceGrant, "device_code", begun.str("device_code"))
		poll.want(t, map[string]int{"allow": 200, "deny": 400}[decision], want)
		if decision == "allow" && b.get("/userinfo", poll.str("access_token")).str("sub") != "linus" {
			t.Error("somebody else consented")
		}
	}
}

func TestDeviceControl(t *testing.T) {
	t.Parallel()
	b, pass := devices(t, testidp.Options{AutoConsent: true})
	first, second := b.post("/device"), b.post("/device")
	control := func(body string) int { return b.do(b.request("POST", "/_control/device", body)).status }
	if got := control(`{"user_code":"` + first.str("user_code") + `","decline":true}`); got != 200 {
		t.Errorf("declining: %d", got)
	}
	if got := control(`{"user_code":"XXXX-XXXX"}`); got != 400 {
		t.Errorf("a code that nobody has: %d", got)
	}
	// With AutoConsent the link alone consents.
	if got := b.get("/activate?"+url.Values{"user_code": {second.str("user_code")}, "login_hint": {"grace"}}.Encode(), ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.text)
	}
	pass(5 * time.Second)
	b.post("/token", "grant_type", deviceGrant, "device_code", first.str("device_code")).want(t, 400, "access_denied")
	tokens := b.post("/token", "grant_type", deviceGrant, "device_code", second.str("device_code"))
	if b.get("/userinfo", tokens.str("access_token")).str("sub") != "grace" {
		t.Errorf("%d", tokens.status)
	}
}
