package client

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// away is a grantd that a test switches off, and whose tokens have a number and a life.
type away struct {
	mu     sync.Mutex // the store renews in the background
	off    bool
	status int           // other than 201
	life   time.Duration // of a token; 0 for one that does not expire
	given  int
	lasts  []string // what was asked for with minTtl
}

func (a *away) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.off:
		return nil, errNetwork
	case a.status != 0:
		return says(a.status, `{"message":"No."}`), nil
	}
	a.given++
	if ttl := r.URL.Query().Get("minTtl"); ttl != "" {
		a.lasts = append(a.lasts, ttl)
	}
	expires := ""
	if a.life > 0 {
		expires = `,"expiresAt":"` + time.Now().Add(a.life).Format(time.RFC3339Nano) + `"`
	}
	return says(201, fmt.Sprintf(`{"accessToken":"t%d"%s}`, a.given, expires)), nil
}

// becomes changes what it answers.
func (a *away) becomes(status int, off bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status, a.off = status, off
}

// gave returns how many tokens it gave, and the minTtl of those that had one.
func (a *away) gave() (int, []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.given, slices.Clone(a.lasts)
}

// keeps returns how many tokens the store keeps.
func keeps(s *Store) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept)
}

// served is what the store answers now: a token, or what the error is about.
func served(t *testing.T, s *Store) string {
	t.Helper()
	token, err := s.Token(t.Context(), "a")
	switch {
	case err == nil:
		return token.AccessToken.Reveal()
	case errors.Is(err, ErrUnavailable):
		return "away"
	}
	return "refused"
}

func want(t *testing.T, what, got, wanted string) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s: %q, want %q", what, got, wanted)
	}
}

func inStore(t *testing.T, g *away, test func(*testing.T, *Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, NewStore(t.Context(), New("https://grantd.example", "tok", &http.Client{Transport: g})))
	})
}

// Design: a kept token is served while grantd is away, for ten minutes at most.
func TestAStoreBridgesARestart(t *testing.T) {
	t.Parallel()
	g := &away{life: time.Hour}
	inStore(t, g, func(t *testing.T, s *Store) {
		want(t, "at first", served(t, s), "t1")
		want(t, "grantd is asked each time", served(t, s), "t2")
		g.becomes(0, true)
		want(t, "while grantd is away", served(t, s), "t2")
		time.Sleep(9 * time.Minute)
		want(t, "after nine minutes", served(t, s), "t2")
		time.Sleep(2 * time.Minute)
		want(t, "after eleven minutes", served(t, s), "away")
		g.becomes(0, false)
		time.Sleep(time.Second)
		if got := served(t, s); got == "away" || got == "t2" {
			t.Errorf("when grantd is back: %q", got)
		}
	})
}

func TestAStoreServesNothingThatHasExpired(t *testing.T) {
	t.Parallel()
	g := &away{life: time.Minute}
	inStore(t, g, func(t *testing.T, s *Store) {
		served(t, s)
		g.becomes(0, true)
		time.Sleep(59 * time.Second)
		want(t, "before it expires", served(t, s), "t1")
		time.Sleep(time.Second)
		want(t, "when it expires", served(t, s), "away")
	})
}

// What grantd refuses is not served any more, not even while grantd is away again.
func TestAStoreDropsWhatGrantdRefuses(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 403, 404, 410} {
		g := &away{}
		inStore(t, g, func(t *testing.T, s *Store) {
			served(t, s)
			g.becomes(status, false)
			want(t, "refused", served(t, s), "refused")
			g.becomes(0, true)
			want(t, fmt.Sprint("away after ", status), served(t, s), "away")
		})
	}
	// Others, such as that the upstream is down, are told, and drop nothing.
	g := &away{}
	inStore(t, g, func(t *testing.T, s *Store) {
		served(t, s)
		g.becomes(502, false)
		want(t, "the upstream is down", served(t, s), "refused")
		g.becomes(0, true)
		want(t, "away after 502", served(t, s), "t1")
	})
}

// An answer that was asked for before a refusal, and comes after it, counts no more.
func TestAStoreDoesNotKeepAnAnswerThatCameTooLate(t *testing.T) {
	t.Parallel()
	inStore(t, &away{off: true}, func(t *testing.T, s *Store) {
		asked := time.Now()
		s.learn("a", asked, Token{AccessToken: "old"}, nil, true)
		time.Sleep(time.Second)
		s.learn("a", time.Now(), Token{}, &Error{Status: 404}, true)
		s.learn("a", asked, Token{AccessToken: "old"}, nil, true)
		want(t, "served", served(t, s), "away")
	})
}

// What is in use is renewed ahead, with tokens that live long enough; what nobody wants any more is not.
func TestAStoreRenewsAhead(t *testing.T) {
	t.Parallel()
	g := &away{life: 20 * time.Minute}
	inStore(t, g, func(t *testing.T, s *Store) {
		served(t, s)
		time.Sleep(12 * time.Minute)
		synctest.Wait()
		if given, lasts := g.gave(); given != 3 || fmt.Sprint(lasts) != "[600 600]" {
			t.Errorf("after 12 minutes %d tokens were given, with %v", given, lasts)
		}
		g.becomes(0, true)
		want(t, "what was renewed", served(t, s), "t3")
		g.becomes(0, false)
		time.Sleep(2 * time.Hour)
		before, _ := g.gave()
		time.Sleep(time.Hour)
		if given, _ := g.gave(); given != before || keeps(s) != 0 {
			t.Errorf("%d tokens were given that nobody wants, and %d are kept", given-before, keeps(s))
		}
	})
}

// A grantd that does not answer costs a caller who can be served three seconds once, and then nothing.
func TestAStoreDoesNotWaitForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := false
		s := NewStore(t.Context(), over(func(r *http.Request) (*http.Response, error) {
			if hangs {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return says(201, `{"accessToken":"t1"}`), nil
		}))
		served(t, s)
		hangs = true
		began := time.Now()
		want(t, "served", served(t, s), "t1")
		want(t, "served at once", served(t, s), "t1")
		if took := time.Since(began); took != storePatient {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAStoreIsBounded(t *testing.T) {
	t.Parallel()
	inStore(t, &away{}, func(t *testing.T, s *Store) {
		for n := range storeEntries + 10 {
			s.learn(fmt.Sprint(n), time.Now(), Token{}, nil, true)
			if n == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		s.mu.Lock()
		first := s.kept["0"]
		s.mu.Unlock()
		if n := keeps(s); n != storeEntries || first != nil {
			t.Errorf("%d are kept, the first of them: %v", n, first != nil)
		}
	})
}
