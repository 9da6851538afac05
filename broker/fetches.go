package broker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// fetchCounter counts token fetches in memory, so that the hot path writes
// nothing. A process that is killed loses the counts of the last second (H2).
type fetchCounter struct {
	mu     sync.Mutex
	counts map[fetchKey]*int64
}

type fetchKey struct {
	authorization    string
	org, user, token string // of the caller
	minute           int64  // Unix time of its start, in minutes
}

func (f *fetchCounter) add(authorization string, c models.Caller, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = map[fetchKey]*int64{}
	}
	k := fetchKey{authorization, c.OrgID, c.UserID, c.TokenID, now.Unix() / 60}
	if n := f.counts[k]; n != nil {
		*n++
		return
	}
	k.authorization = strings.Clone(authorization) // which is part of a longer text
	f.counts[k] = new(int64(1))
}

func (f *fetchCounter) take() map[fetchKey]*int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := f.counts
	f.counts = make(map[fetchKey]*int64, len(counts)) // the next second is much like the last
	return counts
}

func (f *fetchCounter) giveBack(counts map[fetchKey]*int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = map[fetchKey]*int64{}
	}
	for k, n := range counts {
		if now := f.counts[k]; now != nil {
			*now += *n
		} else {
			f.counts[k] = n
		}
	}
}

// FlushFetches writes down the token fetches counted since the last time, and which API
// tokens were used.
func (s *Service) FlushFetches(ctx context.Context) error {
	return errors.Join(s.flushUses(ctx), s.flushCounts(ctx))
}

func (s *Service) flushCounts(ctx context.Context) error {
	counts := s.fetches.take()
	if len(counts) == 0 {
		return nil
	}
	rows := make([]store.Fetches, 0, len(counts))
	for k, n := range counts {
		rows = append(rows, store.Fetches{AuthorizationID: k.authorization, Caller: models.Caller{OrgID: k.org, UserID: k.user, TokenID: k.token}, Minute: time.Unix(k.minute*60, 0), N: *n})
	}
	err := s.store.AddFetches(ctx, rows)
	switch {
	case err == nil:
		s.countFetchedDays(ctx, rows)
		return s.noteUse(ctx, rows)
	case models.CodeOf(err) != models.CodeInternal: // it is about the database, or the process stops
		s.fetches.giveBack(counts)
		return err
	}
	for _, row := range rows { // one of them is to blame, and must not keep the others (T4)
		if err := s.store.AddFetches(ctx, []store.Fetches{row}); err != nil {
			s.log.Error("a count of token fetches cannot be stored and is dropped", "authorization", row.AuthorizationID, "error", err)
		}
	}
	return s.noteUse(ctx, rows)
}

// noteUse notes which tokens are in use, so that they are refreshed before anybody asks
// again. Where that fails, the next fetch does it.
func (s *Service) noteUse(ctx context.Context, rows []store.Fetches) error {
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.AuthorizationID
	}
	slices.Sort(ids)
	return s.store.NoteUse(ctx, slices.Compact(ids), recentUse, useStep)
}
