package providers

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func cellRefresh(t *testing.T, s *strict) {
	if s.typ.Rotates != (s.d.rotation == rotates) {
		t.Errorf("the type says that a refresh token works once: %v", s.typ.Rotates)
	}
	old := s.login()
	fresh, err := s.r.At(s.c).Refresh(t.Context(), old)
	if err != nil {
		t.Fatalf("%v: %s", err, texts(err))
	}
	if s.typ.idToken != "" && !s.d.openID { // the dialect's id_token is none
		fresh.Flags = slices.DeleteFunc(fresh.Flags, func(flag string) bool { return flag == FlagUnverifiedID })
	}
	if fresh.Access == old.Access || fresh.ExpiresIn != s.life() || len(fresh.Flags) > 0 || fresh.Missing != nil {
		t.Errorf("refreshed for %v, flags %v, missing %v", fresh.ExpiresIn, fresh.Flags, fresh.Missing)
	}
	if fresh.RefreshExpiresIn != s.d.refreshLife {
		t.Errorf("the refresh token is good for %v, want %v", fresh.RefreshExpiresIn, s.d.refreshLife)
	}
	if (fresh.Refresh == "") != (s.d.rotation == keeps) {
		t.Errorf("the answer has a refresh token: %v", fresh.Refresh != "")
	}
	if fresh.Refresh == "" {
		fresh.Refresh = old.Refresh
	}
	if _, err := s.r.At(s.c).Refresh(t.Context(), fresh); err != nil {
		t.Errorf("the next refresh: %v", err)
	}
	s.replay(old)
}

// replay sends the first refresh token again, which the upstream judges in its
// way.
func (s *strict) replay(old Tokens) {
	t := s.t
	s.do(func() { s.replaying = true })
	_, err := s.r.At(s.c).Refresh(t.Context(), old)
	if alive := s.d.rotation != rotates || s.d.grace; (err == nil) != alive {
		t.Errorf("the old refresh token, valid %v: %v", alive, err)
	}
	s.do(func() {
		s.graceOver = true
		for _, p := range s.pairs {
			p.refreshRevoked = true
		}
	})
	if _, err := s.r.At(s.c).Refresh(t.Context(), old); KindOf(err) != KindDenied {
		t.Errorf("an invalid refresh token: %v", err)
	}
}

// cellOldAccess: what the type says is what the upstream does (R7).
func cellOldAccess(t *testing.T, s *strict) {
	old := s.login()
	if _, err := s.r.At(s.c).Refresh(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	_, err := s.r.At(s.c).UserInfo(t.Context(), old.Access)
	switch {
	case s.typ.RefreshKillsAccess && KindOf(err) != KindDenied:
		t.Errorf("the type says that the old access token is no longer valid: %v", err)
	case !s.typ.RefreshKillsAccess && err != nil:
		t.Errorf("the type says that the old access token stays valid: %v", err)
	}
}

func cellCheck(t *testing.T, s *strict) {
	tokens := s.login()
	got, err := s.r.At(s.c).Check(t.Context(), tokens)
	if err != nil || !got.Valid {
		t.Fatalf("a good token: %+v, %v", got, err)
	}
	if s.d.checkTellsScopes {
		if diff := cmp.Diff(s.spelled(s.echoed(s.asked())), got.Scopes); diff != "" {
			t.Error(diff)
		}
	} else if got.Scopes != nil {
		t.Errorf("scopes %v out of thin air", got.Scopes)
	}
	s.expire(tokens)
	if got, err := s.r.At(s.c).Check(t.Context(), tokens); err != nil || got.Valid {
		t.Errorf("an expired token: %+v, %v", got, err)
	}
}

func cellReset(t *testing.T, s *strict) {
	old := s.login()
	if !s.typ.ResetsInPlace {
		if n := s.asks(func() { _, err := s.r.At(s.c).Reset(t.Context(), old); want(t, err, KindRefused, "") }); n != 0 {
			t.Errorf("%d requests", n)
		}
		return
	}
	fresh, err := s.r.At(s.c).Reset(t.Context(), old)
	if err != nil || fresh.Access == old.Access {
		t.Fatalf("%v", err)
	}
	if _, err := s.r.At(s.c).UserInfo(t.Context(), old.Access); KindOf(err) != KindDenied {
		t.Errorf("the old access token: %v", err)
	}
	if _, err := s.r.At(s.c).UserInfo(t.Context(), fresh.Access); err != nil {
		t.Errorf("the new access token: %v", err)
	}
	if _, err := s.r.At(s.c).Reset(t.Context(), old); KindOf(err) != KindDenied {
		t.Errorf("the old one again: %v", err)
	}
}
