package providers

import (
	"testing"

	"github.com/grantd/grantd/models"
)

// revokes reports whether the upstream takes tokens back at all. Where it does
// not, nothing may be sent and nothing be claimed.
func (s *strict) revokes(tokens Tokens) bool {
	s.t.Helper()
	if s.d.revokeURL != "" || s.d.needsAccess {
		return true
	}
	n := s.asks(func() {
		for _, scope := range []models.RevokeScope{models.RevokeGrant, models.RevokeToken} {
			if outcome, err := s.r.At(s.c).Revoke(s.t.Context(), tokens, scope); outcome != models.OutcomeUnsupported || err != nil {
				s.t.Errorf("nothing can be revoked, got %q, %v", outcome, err)
			}
		}
	})
	if n != 0 || s.typ.RevokesAccessAlone || s.typ.RevokeNeedsAccess {
		s.t.Errorf("nothing can be revoked, yet %d requests and claims to the contrary", n)
	}
	return false
}

func (s *strict) mustRevoke(tokens Tokens, scope models.RevokeScope) {
	s.t.Helper()
	if outcome, err := s.r.At(s.c).Revoke(s.t.Context(), tokens, scope); outcome != models.OutcomeRevoked || err != nil {
		s.t.Errorf("%s: %q, %v", scope, outcome, err)
	}
}

// again: a revocation may be repeated.
func (s *strict) again(tokens Tokens, scope models.RevokeScope) {
	s.t.Helper()
	outcome, err := s.r.At(s.c).Revoke(s.t.Context(), tokens, scope)
	if err != nil || outcome != models.OutcomeRevoked && outcome != models.OutcomeAlreadyRevoked {
		s.t.Errorf("again: %q, %v", outcome, err)
	}
}

func cellRevokeGrant(t *testing.T, s *strict) {
	first, second := s.login(), s.login()
	if !s.revokes(first) {
		return
	}
	s.mustRevoke(second, models.RevokeGrant)
	if access, refresh := s.is(second); access || refresh {
		t.Errorf("valid after the revocation: access %v, refresh %v", access, refresh)
	}
	access, refresh := s.is(first)
	if s.d.grantKillsAll && (access || refresh) {
		t.Error("the rest of the grant is still valid")
	}
	s.again(second, models.RevokeGrant)
}

// cellRevokePair: RevokesSingly promises that a newer consent survives (D1).
func cellRevokePair(t *testing.T, s *strict) {
	first, second := s.login(), s.login()
	if !s.revokes(first) {
		return
	}
	s.mustRevoke(first, models.RevokeToken)
	if access, refresh := s.is(first); access || refresh != s.d.refreshOutlives {
		t.Errorf("valid after the revocation: access %v, refresh %v", access, refresh)
	}
	access, refresh := s.is(second)
	if alone := access && refresh; alone != s.typ.RevokesSingly {
		t.Errorf("the type says that one pair is revoked alone: %v, it was: %v", s.typ.RevokesSingly, alone)
	}
	s.again(first, models.RevokeToken)
}

// cellRevokeAccess: RevokesAccessAlone promises that the refresh token survives.
func cellRevokeAccess(t *testing.T, s *strict) {
	tokens := s.login()
	if !s.revokes(tokens) {
		return
	}
	outcome, err := s.r.At(s.c).RevokeAccess(t.Context(), tokens.Access)
	access, refresh := s.is(tokens)
	if err != nil || outcome == models.OutcomeRevoked && access {
		t.Errorf("%q, %v, and the access token lives: %v", outcome, err, access)
	}
	if s.typ.RevokesAccessAlone && (access || !refresh) {
		t.Errorf("the type says that the refresh token stays valid; access %v, refresh %v", access, refresh)
	}
	// A type that keeps the refresh token is asked to; one that does not may still
	// have nothing to revoke with.
	if !s.typ.RevokesAccessAlone && !access && refresh {
		t.Error("the type says that an access token cannot be revoked alone, and it was")
	}
}

// cellRevokeExpired: an access token that expired says nothing about the refresh
// token, which must not survive.
func cellRevokeExpired(t *testing.T, s *strict) {
	tokens := s.login()
	if !s.revokes(tokens) {
		return
	}
	if s.typ.RevokeNeedsAccess != s.d.needsAccess {
		t.Errorf("the type says that a living access token is needed: %v", s.typ.RevokeNeedsAccess)
	}
	s.expire(tokens)
	outcome, err := s.r.At(s.c).Revoke(t.Context(), tokens, models.RevokeToken)
	_, refresh := s.is(tokens)
	switch {
	case err != nil:
		t.Error(err)
	case s.d.needsAccess && outcome == models.OutcomeRevoked:
		t.Error("an expired access token was no proof, and all the same revoked")
	case !s.d.needsAccess && refresh:
		t.Errorf("trap 13: the refresh token survived, %q", outcome)
	}
	if outcome, err := s.r.At(s.c).Revoke(t.Context(), Tokens{}, models.RevokeGrant); outcome != models.OutcomeNoLiveToken || err != nil {
		t.Errorf("nothing to send: %q, %v", outcome, err)
	}
}
