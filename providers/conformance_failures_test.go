package providers

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/grantd/grantd/models"
)

// call is one that an upstream can refuse.
type call int

const (
	exchanging call = iota
	refreshing
	askingUser
	checking
	revoking
	beginning // a device flow
	polling
)

var callNames = map[call]string{exchanging: "exchange", refreshing: "refresh", askingUser: "user info", checking: "check",
	revoking: "revoke", beginning: "begin device", polling: "poll device"}

// make makes the call.
func (c call) make(ctx context.Context, s *strict) (outcome models.Outcome, err error) {
	switch c {
	case exchanging:
		_, err = s.r.At(s.c).Exchange(ctx, ExchangeRequest{Code: theCode, RedirectURI: strictCallback, Verifier: theVerifier})
	case refreshing:
		_, err = s.r.At(s.c).Refresh(ctx, theTokens())
	case askingUser:
		_, err = s.r.At(s.c).UserInfo(ctx, theAccess)
	case checking:
		_, err = s.r.At(s.c).Check(ctx, theTokens())
	case revoking:
		outcome, err = s.r.At(s.c).Revoke(ctx, theTokens(), models.RevokeGrant)
	case beginning:
		_, err = s.r.At(s.c).BeginDevice(ctx)
	case polling:
		_, err = s.r.At(s.c).PollDevice(ctx, theCode)
	}
	return outcome, err
}

// possible are the calls that this upstream answers.
func (s *strict) possible() []call {
	calls := []call{exchanging, refreshing, askingUser, checking}
	if s.d.revokeURL != "" || s.d.needsAccess {
		calls = append(calls, revoking)
	}
	if s.d.deviceURL != "" {
		calls = append(calls, beginning, polling)
	}
	return calls
}

// every answers everything but documents in one way.
func (s *strict) every(answer http.HandlerFunc) {
	s.do(func() {
		places := []string{s.d.tokenURL, s.d.revokeURL, s.d.introspectURL, s.d.deviceURL}
		for key := range s.d.resources {
			places = append(places, placeOf(key))
		}
		for key := range s.d.special {
			places = append(places, placeOf(key))
		}
		for _, place := range places {
			s.instead[place] = answer
		}
	})
}

// cellRefusedClient: a client secret that is wrong ends nobody's grant.
func cellRefusedClient(t *testing.T, s *strict) {
	req, tokens := s.consent(), s.login()
	s.c.Secret = "wrong/+%:"
	if _, err := s.r.At(s.c).Exchange(t.Context(), req); KindOf(err) != KindClient {
		t.Errorf("exchange: %v", err)
	}
	if _, err := s.r.At(s.c).Refresh(t.Context(), tokens); KindOf(err) != KindClient {
		t.Errorf("refresh: %v", err)
	}
	if s.revokes(tokens) && !s.d.revokesUnasked {
		if outcome, err := s.r.At(s.c).Revoke(t.Context(), tokens, models.RevokeGrant); KindOf(err) != KindClient {
			t.Errorf("revoke: %q, %v", outcome, err)
		}
	}
}

// cellFailures: what may befall any call of any type.
func cellFailures(t *testing.T, s *strict) {
	elsewhere := func(w http.ResponseWriter, r *http.Request) {
		reply(307, "text/html", "", "Location", "https://stolen.example.com/")(w, r) // no place of the upstream
	}
	for _, c := range s.possible() {
		for name, tc := range map[string]struct {
			answer http.HandlerFunc
			kinds  []Kind
		}{
			"a gateway's page":         {reply(502, "text/html", htmlPage), []Kind{KindTransient}},
			"a 500 ends nothing":       {reply(500, "application/json", `{"error":"invalid_grant"}`), []Kind{KindTransient}},
			"throttled":                {reply(429, "text/plain", "Retry later", "Retry-After", "7"), []Kind{KindTransient}},
			"lost":                     {hangUp, []Kind{KindTransient}},
			"trap 29: sent elsewhere":  {elsewhere, []Kind{KindProtocol, KindRefused, KindTransient}},
			"a page in place of words": {reply(200, "text/html", htmlPage), []Kind{KindTransient, KindProtocol, ""}},
		} {
			s.every(tc.answer)
			outcome, err := c.make(t.Context(), s)
			kind := KindOf(err)
			allowed := false
			for _, k := range tc.kinds {
				allowed = allowed || kind == k
			}
			if !allowed || kind == "" && c != revoking {
				t.Errorf("%s, %s: %q %q %v", callNames[c], name, kind, outcome, err)
				continue
			}
			if name == "throttled" && failed(t, err).RetryAfter != 7*time.Second {
				t.Errorf("%s: Retry-After was not heard", callNames[c])
			}
			if spends := c == exchanging || c == refreshing || c == polling; name == "lost" && spends && !failed(t, err).Ambiguous {
				t.Errorf("R3: %s: a lost answer passes for none", callNames[c])
			}
		}
	}
}

// cellFixtures: answers that were seen in the wild, or documented.
func cellFixtures(t *testing.T, s *strict) {
	for _, f := range s.d.fixtures {
		s.every(reply(f.says.status, "application/json", f.says.body))
		outcome, err := f.call.make(t.Context(), s)
		if KindOf(err) != f.kind || outcome != f.outcome {
			t.Errorf("%s: %q %q, want %q %q", f.name, KindOf(err), outcome, f.kind, f.outcome)
			continue
		}
		if f.kind != "" && failed(t, err).Code != f.code {
			t.Errorf("%s: code %q, want %q", f.name, failed(t, err).Code, f.code)
		}
	}
}
