package client

import (
	"context"
	"errors"
	"sync"
	"time"
)

// How long a Store keeps tokens, and how it asks for them.
const (
	keepTokens   = 10 * time.Minute // after grantd gave it out
	storePatient = 3 * time.Second  // for grantd, where there is a kept token
	storePause   = time.Second      // in which kept tokens are served without asking, after grantd was away
	wantedFor    = 30 * time.Minute // after it was asked for last, a token is renewed
	storeEntries = 10_000           // authorizations at most
)

// Store is tokens of many authorizations that outlast a restart of grantd. It asks grantd for each token, as [Client] does,
// and keeps the answer. Only while grantd cannot be reached ([ErrUnavailable]) it serves what it kept: not longer than 10
// minutes after grantd gave it out, and never past its expiry. An answer 401, 403, 404 or 410 drops what is kept, and every
// other error of grantd's is returned. What was asked for in the last half hour is renewed ahead, so that there is
// something to serve. Kept tokens are in this process's memory alone. It is safe for concurrent use.
type Store struct {
	client *Client

	mu        sync.Mutex
	kept      map[string]*keptToken
	awayUntil time.Time // grantd was away a moment ago
	wake      chan struct{}
}

type keptToken struct {
	token   Token
	got     time.Time // when it was asked for
	wanted  time.Time // when somebody asked last
	renewAt time.Time
	dropped bool // grantd refused it at got
}

// NewStore returns a store of what c may fetch. It renews tokens until ctx ends.
func NewStore(ctx context.Context, c *Client) *Store {
	s := &Store{client: c.Once(), kept: map[string]*keptToken{}, wake: make(chan struct{}, 1)}
	go s.renew(ctx)
	return s
}

// Token returns a token of an authorization that can be used now: from grantd, or while that cannot be reached, the one
// that it gave out before.
func (s *Store) Token(ctx context.Context, authorization string) (Token, error) {
	kept, away := s.servable(authorization)
	if kept != nil && away {
		return *kept, nil
	}
	asking, cancel := ctx, context.CancelFunc(func() {})
	if kept != nil {
		asking, cancel = context.WithTimeout(ctx, storePatient)
	}
	defer cancel()
	asked := time.Now()
	t, err := s.client.Token(asking, authorization)
	if ctx.Err() == nil && asking.Err() != nil {
		err = errors.Join(ErrUnavailable, err)
	}
	s.learn(authorization, asked, t, err, true)
	if err != nil && errors.Is(err, ErrUnavailable) && ctx.Err() == nil {
		if kept, _ := s.servable(authorization); kept != nil {
			return *kept, nil
		}
	}
	return t, err
}

// servable is the kept token that may be served if grantd is away, and whether it was a moment ago.
func (s *Store) servable(authorization string) (*Token, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, now := s.kept[authorization], time.Now()
	if k == nil || k.dropped || now.Sub(k.got) >= keepTokens || k.token.ExpiresAt != nil && !now.Before(*k.token.ExpiresAt) {
		return nil, false
	}
	k.wanted = now
	token := k.token
	return &token, now.Before(s.awayUntil)
}

// learn keeps what grantd answered. wanted tells that somebody waits for it.
func (s *Store) learn(authorization string, asked time.Time, t Token, err error, wanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.keep(authorization, asked, t, wanted)
	case errors.Is(err, ErrUnavailable):
		s.awayUntil = time.Now().Add(storePause)
	case errors.Is(err, ErrUnauthenticated), errors.Is(err, ErrForbidden), errors.Is(err, ErrNotFound), errors.Is(err, ErrConsentNeeded):
		if k := s.kept[authorization]; k != nil && !asked.Before(k.got) {
			*k = keptToken{got: asked, dropped: true} // an answer that was asked for before and comes later does not count
		}
	}
}

// keep replaces what is kept of an authorization. The caller has locked s.
func (s *Store) keep(authorization string, asked time.Time, t Token, wanted bool) {
	s.awayUntil = time.Time{}
	k := s.kept[authorization]
	if k == nil && !wanted || k != nil && asked.Before(k.got) {
		return
	}
	if k == nil {
		s.makeRoom()
		k = &keptToken{}
		s.kept[authorization] = k
	}
	k.token, k.got, k.dropped = t, asked, false
	if wanted {
		k.wanted = asked
	}
	k.renewAt = asked.Add(keepTokens / 2)
	if t.ExpiresAt != nil {
		if half := asked.Add(max(storePause, t.ExpiresAt.Sub(asked)/2)); half.Before(k.renewAt) {
			k.renewAt = half
		}
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// makeRoom drops what cannot be served any more and, where the store is full, what was wanted the longest ago.
func (s *Store) makeRoom() {
	if len(s.kept) < storeEntries {
		return
	}
	var oldest string
	for id, k := range s.kept {
		if time.Since(k.got) >= keepTokens {
			delete(s.kept, id)
		} else if oldest == "" || k.wanted.Before(s.kept[oldest].wanted) {
			oldest = id
		}
	}
	if len(s.kept) >= storeEntries {
		delete(s.kept, oldest)
	}
}

// renew fetches kept tokens anew before they can be served no more, until ctx ends.
func (s *Store) renew(ctx context.Context) {
	timer := time.NewTimer(keepTokens)
	defer timer.Stop()
	for {
		due, next := s.due()
		for _, authorization := range due {
			s.renewOne(ctx, authorization)
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
	}
}

func (s *Store) renewOne(ctx context.Context, authorization string) {
	patient, cancel := context.WithTimeout(ctx, 10*storePatient)
	defer cancel()
	asked := time.Now()
	t, err := s.client.TokenFor(patient, authorization, keepTokens)
	if ctx.Err() == nil && patient.Err() != nil {
		err = errors.Join(ErrUnavailable, err)
	}
	s.learn(authorization, asked, t, err, false)
}

// due lists what is to be renewed now, forgets what nobody wants any more, and tells how long to wait for the next. What
// fails is tried again a while later.
func (s *Store) due() (ids []string, next time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	next = keepTokens
	for id, k := range s.kept {
		if k.dropped {
			if now.Sub(k.got) >= keepTokens {
				delete(s.kept, id)
			}
			continue
		}
		if now.Sub(k.wanted) >= wantedFor {
			delete(s.kept, id)
			continue
		}
		if !now.Before(k.renewAt) {
			ids = append(ids, id)
			k.renewAt = now.Add(keepTokens / 20)
		}
		next = min(next, k.renewAt.Sub(now))
	}
	return ids, max(next, storePause)
}
