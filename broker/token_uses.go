package broker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/grantd/grantd/models"
)

// tokenUses remembers which API tokens were used, until that is written down together
// with the counts of fetches. Requests are told apart by the hour only: a token that
// is in use causes one write in it.
type tokenUses struct {
	mu   sync.Mutex
	used map[string]bool
}

// add is called where a token's row was read, which a process does every ten seconds
// at most.
func (u *tokenUses) add(t models.APIToken, now time.Time) {
	if t.LastUsedAt != nil && now.Sub(*t.LastUsedAt) < useNoted {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.used == nil {
		u.used = map[string]bool{}
	}
	if len(u.used) < callerLimit {
		u.used[t.ID] = true
	}
}

func (u *tokenUses) take() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	ids := make([]string, 0, len(u.used))
	for id := range u.used {
		ids = append(ids, id)
	}
	u.used = nil
	slices.Sort(ids)
	return ids
}

// flushUses writes down which API tokens were used. What fails is not tried again: the
// next time that the token's row is read does that.
func (s *Service) flushUses(ctx context.Context) error {
	ids := s.uses.take()
	if len(ids) == 0 {
		return nil
	}
	return s.store.NoteTokenUses(ctx, ids, useNoted)
}
