package providers

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func cellAuthorize(t *testing.T, s *strict) {
	s.consent()
	req := AuthorizeRequest{State: "the-state", RedirectURI: strictCallback, Nonce: "the-nonce", Verifier: theVerifier, SkipConsent: true}
	link, err := s.r.At(s.c).AuthorizeURL(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	back := s.authorize(link, true)
	if err := s.r.At(s.c).CheckIssuer(t.Context(), back.Get("iss"), true); err != nil {
		t.Errorf("the upstream's own answer: %v", err)
	}
	err = s.r.At(s.c).CheckIssuer(t.Context(), "https://evil.example", true)
	want(t, err, KindRefused, "invalid_iss")
	if err := s.r.At(s.c).CheckIssuer(t.Context(), "", true); (err != nil) != s.d.promisesIss {
		t.Errorf("no iss, promised %v: %v", s.d.promisesIss, err)
	}
}

// cellPKCE: the upstream has compared challenge and verifier in every other cell.
func cellPKCE(t *testing.T, s *strict) {
	req := s.consent()
	req.Verifier = "another-verifier-0123456789-0123456789-012345"
	_, err := s.r.At(s.c).Exchange(t.Context(), req)
	if kind := KindOf(err); kind != KindDenied {
		t.Errorf("another verifier: %v", err)
	}
	off := map[string]any{"pkce": false}
	for name, v := range s.c.Config {
		off[name] = v
	}
	s.c.Config = off
	s.login()
}

func cellToken(t *testing.T, s *strict) {
	req := s.consent()
	got, err := s.r.At(s.c).Exchange(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	p := s.held(got)
	if got.Refresh.Reveal() != p.refresh || got.ExpiresIn != s.life() || got.RefreshExpiresIn != s.d.refreshLife || got.Flags != nil {
		t.Errorf("access for %v, refresh for %v, flags %v", got.ExpiresIn, got.RefreshExpiresIn, got.Flags)
	}
	if s.d.openID && got.ID == "" {
		t.Error("the id_token is lost")
	}
	if _, err := s.r.At(s.c).Exchange(t.Context(), req); KindOf(err) != KindDenied {
		t.Errorf("the same code again: %v", err)
	}
	req = s.consent()
	req.RedirectURI += "&y=1"
	if _, err := s.r.At(s.c).Exchange(t.Context(), req); err == nil {
		t.Error("another redirect_uri passed")
	}
}

// cellScopes: what was granted is told in the upstream's spelling, and what was not
// is missed in ours.
func cellScopes(t *testing.T, s *strict) {
	asked := s.asked()
	got := s.login()
	if got.Missing != nil {
		t.Errorf("asked for %v, granted %v, missing %v", asked, got.Scopes, got.Missing)
	}
	told := s.echo([]string{"x"})["scope"] != nil || s.echo([]string{"x"})["scopes"] != nil
	if told {
		if diff := cmp.Diff(s.spelled(s.echoed(asked)), got.Scopes); diff != "" {
			t.Error(diff)
		}
	}
	if s.d.narrowed != nil {
		s.c.Scopes = s.d.narrowed
	}
	asked = s.echoed(s.asked())
	if !told || len(asked) < 2 {
		return
	}
	last := asked[len(asked)-1]
	s.do(func() { s.granted = asked[:len(asked)-1] })
	if diff := cmp.Diff([]string{last}, s.login().Missing); diff != "" {
		t.Errorf("%s was not granted: %s", last, diff)
	}
}

// echoed are the scopes that an upstream tells of: not offline_access.
func (s *strict) echoed(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool { return scope == "offline_access" })
}

func cellUserInfo(t *testing.T, s *strict) {
	tokens := s.login()
	got, err := s.r.At(s.c).Identify(t.Context(), tokens, "the-nonce")
	if err != nil {
		t.Fatalf("%v: %s", err, texts(err))
	}
	if got.Raw == nil {
		t.Error("without raw")
	}
	got.Raw = nil
	if diff := cmp.Diff(s.d.user, got); diff != "" {
		t.Error(diff)
	}
	s.expire(tokens)
	if _, err := s.r.At(s.c).UserInfo(t.Context(), tokens.Access); KindOf(err) != KindDenied {
		t.Errorf("an expired token: %v", err)
	}
	// Trap 19: an address or a login is no account; people change and inherit them.
	for _, body := range []string{`{}`, `{"sub":"","id":null,"uuid":7.5}`, `[]`,
		`{"email":"ada@x.example","email_verified":true,"login":"ada","username":"ada","preferred_username":"ada"}`} {
		s.do(func() {
			for key := range s.d.resources {
				s.instead[placeOf(key)] = reply(200, "application/json", body)
			}
		})
		if _, err := s.r.At(s.c).UserInfo(t.Context(), tokens.Access); KindOf(err) != KindProtocol {
			t.Errorf("nobody is named by %s: %v", body, err)
		}
	}
}

func cellDevice(t *testing.T, s *strict) {
	if s.typ.Device != (s.d.deviceURL != "") {
		t.Fatalf("the type has a device flow: %v, the upstream at %q", s.typ.Device, s.d.deviceURL)
	}
	if !s.typ.Device {
		if n := s.asks(func() { _, err := s.r.At(s.c).BeginDevice(t.Context()); want(t, err, KindRefused, "") }); n != 0 {
			t.Errorf("%d requests", n)
		}
		return
	}
	for _, end := range []DeviceState{DeviceDone, DeviceExpired, DeviceDeclined} {
		device, err := s.r.At(s.c).BeginDevice(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if device.VerificationURI != strictDevicePage || device.UserCode != "AB-CD" || device.Interval.Seconds() != 5 || device.ExpiresIn.Minutes() != 15 {
			t.Errorf("%+v", device)
		}
		for _, state := range []DeviceState{DevicePending, DeviceSlowDown, end} {
			s.do(func() { s.devices[device.Code.Reveal()].state = state })
			poll, err := s.r.At(s.c).PollDevice(t.Context(), device.Code)
			if err != nil || poll.State != state || (poll.Tokens.Access != "") != (state == DeviceDone) {
				t.Errorf("%s: %+v, %v", state, poll, err)
			}
		}
		if _, err := s.r.At(s.c).PollDevice(t.Context(), device.Code); end == DeviceDone && KindOf(err) != KindDenied {
			t.Errorf("the same device code again: %v", err)
		}
	}
}
