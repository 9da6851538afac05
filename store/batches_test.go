package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// held delays the store's hot queries. Each is sent on began, and goes on when release
// can be received from.
type held struct {
	began   chan []string
	release chan struct{}
}

func hold(s *store.Store) held {
	h := held{make(chan []string, 100), make(chan struct{})}
	store.OnFetch(s, func(ids []string) {
		h.began <- ids
		<-h.release
	})
	return h
}

// Finding S-A: the number of round trips bounds how many tokens are fetched. Who asks while
// a query is under way is answered by the next, together with all others who did.
func TestFetchesShareTheNextQuery(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		var ids []string
		for i := range 200 {
			ids = append(ids, f.authorization(t, fmt.Sprint(i), time.Hour).ID)
		}
		h := hold(f.Store)
		var all sync.WaitGroup
		fetch := func(id string) {
			all.Go(func() {
				if l, err := f.Fetchable(ctx, id); err != nil || l.Authorization.ID != id || l.Credential.ID == "" || l.Now.IsZero() {
					t.Errorf("fetching %s read %s of %s, %v", id, l.Authorization.ID, l.Now, err)
				}
			})
		}
		fetch(ids[0])
		if first := <-h.began; len(first) != 1 || first[0] != ids[0] {
			t.Errorf("the first query is for %v", first)
		}
		for _, id := range append(ids, ids[:100]...) {
			fetch(id)
		}
		brokertest.Eventually(t, "the others wait", func() bool { return store.Waiting(f.Store) == 300 })
		close(h.release)
		all.Wait()
		close(h.began)
		asked, sizes := map[string]int{}, []int{}
		for batch := range h.began {
			seen := map[string]bool{}
			for _, id := range batch {
				asked[id]++
				if seen[id] {
					t.Errorf("a query names %s twice", id)
				}
				seen[id] = true
			}
			sizes = append(sizes, len(batch))
		}
		// A query ends where the 129th id would begin, and who waits behind that is in the next.
		if len(sizes) > 3 || slices.Max(sizes) != 128 || sizes[0] != 128 || len(asked) != 200 {
			t.Errorf("the others took queries for %v ids, together for %d", sizes, len(asked))
		}
	})
}

// A caller who leaves is not asked for any more, and the others are answered.
func TestACallerWhoLeavesABatchHarmsNobody(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		stays, leaves := f.authorization(t, "1", time.Hour).ID, f.authorization(t, "2", time.Hour).ID
		h := hold(f.Store)
		fetch := func(ctx context.Context, id string) chan error {
			done := make(chan error, 1)
			go func() { _, err := f.Fetchable(ctx, id); done <- err }()
			return done
		}
		leaving, leave := context.WithTimeout(ctx, time.Hour)
		first := fetch(leaving, leaves)
		<-h.began
		second, third := fetch(leaving, leaves), fetch(ctx, stays)
		brokertest.Eventually(t, "two wait", func() bool { return store.Waiting(f.Store) == 2 })
		leave()
		for _, done := range []chan error{first, second} { // although the query is delayed
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("who left is told %v", err)
			}
		}
		close(h.release)
		if err := <-third; err != nil {
			t.Errorf("who stayed is told %v", err)
		}
		if next := <-h.began; len(next) != 1 || next[0] != stays {
			t.Errorf("the next query is for %v, want only who stayed", next)
		}
	})
}

// PostgreSQL refuses a text with NUL in it, and with it the whole statement.
func TestAnIDThatCannotBeAskedForFailsAlone(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		good := f.authorization(t, "1", time.Hour).ID
		h := hold(f.Store)
		results := map[string]chan error{}
		for _, id := range []string{"first", good, "a\x00b", "absent"} {
			done := make(chan error, 1)
			results[id] = done
			go func() { _, err := f.Fetchable(ctx, id); done <- err }()
			if id == "first" {
				<-h.began
			}
		}
		brokertest.Eventually(t, "three wait", func() bool { return store.Waiting(f.Store) == 3 })
		close(h.release)
		if err := <-results[good]; err != nil {
			t.Errorf("what is there is answered with %v", err)
		}
		if err := <-results["absent"]; !store.IsNotFound(err) {
			t.Errorf("what is not there is answered with %v", err)
		}
		if err := <-results["a\x00b"]; err == nil || store.IsUnavailable(err) {
			t.Errorf("what cannot be asked for is answered with %v", err)
		}
	})
}

// Finding S-A: refreshes and fetches shared their connections, so that a herd of refreshes
// kept every fresh token waiting. The hot query has its own.
func TestAFetchWaitsForNothingElse(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		f := newFixture(t, b)
		a := f.authorization(t, "1", time.Hour)
		s := must(store.Open(ctx, store.Options{URL: f.url, MaxConns: 2}))(t)
		defer s.Close()
		holders := 2
		if b == brokertest.Embedded {
			holders = 1 // that is all its connections
		}
		var began, all sync.WaitGroup
		done := make(chan struct{})
		for range holders {
			began.Add(1)
			all.Go(func() {
				err := s.Tx(ctx, func(tx *store.Store) error {
					_, err := tx.Linked(ctx, a.ID)
					began.Done()
					<-done
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		began.Wait()
		must(s.Fetchable(ctx, a.ID))(t)
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		if _, err := s.FetchableAll(short, []string{a.ID}); b == brokertest.Servers && !store.IsUnavailable(err) {
			t.Errorf("who asks for many at once takes the connection of those who wait: %v", err)
		}
		close(done)
		all.Wait()
		if b == brokertest.Servers {
			oneLine(t, s, a.ID)
		}
	})
}

// oneLine: while statements wait for a connection at any time, who asks for many at once has a
// turn, and the time that they wait is counted.
func oneLine(t *testing.T, s *store.Store, id string) {
	t.Helper()
	before := s.PoolStats().Waited
	var all sync.WaitGroup
	enough, stop := context.WithCancel(ctx)
	for range 8 {
		all.Go(func() {
			for enough.Err() == nil {
				if _, err := s.Now(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		if _, err := s.FetchableAll(ctx, []string{id}); err != nil {
			t.Errorf("reading many at once has no turn: %v", err)
			break
		}
	}
	stop()
	all.Wait()
	if s.PoolStats().Waited == before {
		t.Error("the time that statements wait for a connection is not counted")
	}
}

// A connection that was cut off is found out by the query that is sent on it.
func TestAFetchSurvivesItsConnection(t *testing.T) {
	url := services.Database(t)
	f := fixture{Store: brokertest.OpenStore(t, url, nil), url: url}
	f.insertProvider(t)
	a := f.authorization(t, "1", time.Hour)
	db := brokertest.SQL(t, url)
	for range 20 {
		must(f.Fetchable(ctx, a.ID))(t)
		var cut int
		err := db.QueryRow(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE 'SELECT a.id%'`).Scan(&cut)
		if err != nil || cut == 0 {
			t.Fatalf("cut off %d connections, %v", cut, err)
		}
	}
}

// H1: what was unlinked, switched off or deleted before a fetch began is never served,
// however many share its query.
func TestH1_AFetchSeesWhatWasCommittedBefore(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		const sides, rounds = 4, 110
		done := make(chan struct{})
		var load, all sync.WaitGroup
		for side := range sides {
			p := models.Provider{ID: id(), OrgID: "acme", Name: "P", Slug: fmt.Sprint("p", side), Type: "github", Status: models.ProviderActive,
				ClientID: "c", SecureConfigID: id(), SecretVersion: 1}
			if err := f.InsertProvider(ctx, &p, &models.SecureConfig{ID: p.SecureConfigID, ProviderID: p.ID, Sealed: []byte("sealed")}); err != nil {
				t.Fatal(err)
			}
			f.provider = p
			a, person := f.authorization(t, "1", time.Hour), fmt.Sprint("person", side)
			db := brokertest.SQL(t, f.url)
			must(db.Exec("UPDATE authorizations SET user_id = $1 WHERE id = $2", person, a.ID))(t)
			for range 8 {
				load.Go(func() {
					for {
						select {
						case <-done:
							return
						default:
						}
						if _, err := f.Fetchable(ctx, a.ID); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			all.Go(func() {
				see := func(what string, as func(models.Linked) bool) {
					if l, err := f.Fetchable(ctx, a.ID); err != nil || !as(l) {
						t.Errorf("%s, and then read: unlinked %v, provider %s, %v", what, l.Authorization.UnlinkedAt, l.Provider.Status, err)
					}
				}
				set := func(statement string, args ...any) {
					if _, err := db.Exec(statement, args...); err != nil {
						t.Error(err)
					}
				}
				linked := func(l models.Linked) bool { return l.Authorization.UnlinkedAt == nil }
				for range rounds {
					if _, err := f.Unlink(ctx, a.ID); err != nil {
						t.Error(err)
					}
					see("unlinked", func(l models.Linked) bool { return !linked(l) })
					set("UPDATE authorizations SET unlinked_at = NULL, item_due_at = created_at WHERE id = $1", a.ID)
					see("linked", linked)
					if err := f.RevokeUser(ctx, "acme", person, person); err != nil {
						t.Error(err)
					}
					see("revoked with all of its user", func(l models.Linked) bool { return !linked(l) })
					set("DELETE FROM user_revocations WHERE user_id = $1", person)
					for _, status := range []models.ProviderStatus{models.ProviderDisabled, models.ProviderActive, models.ProviderDeleted, models.ProviderActive} {
						set("UPDATE providers SET status = $1 WHERE id = $2", status, p.ID)
						see("turned "+string(status), func(l models.Linked) bool { return l.Provider.Status == status })
					}
				}
			})
		}
		all.Wait()
		close(done)
		load.Wait()
	})
}

// Finding S-F: reads have a connection of their own, and a log whose readers never pause
// could not be written back.
func TestTheLogStaysShortWhileTokensAreFetched(t *testing.T) {
	f := newFixture(t, brokertest.Embedded)
	var ids []string
	for i := range 50 {
		ids = append(ids, f.authorization(t, fmt.Sprint(i), time.Hour).ID)
	}
	done := make(chan struct{})
	var load sync.WaitGroup
	for i := range 16 {
		load.Go(func() {
			for at := i; ; at++ {
				select {
				case <-done:
					return
				default:
				}
				if _, err := f.Fetchable(ctx, ids[at%len(ids)]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	const limit = 64 << 20
	path := strings.TrimPrefix(f.url, "sqlite:") + "-wal"
	large := []byte(strings.Repeat("x", 64<<10))
	most, written := int64(0), 0
	for written < limit*5/4 {
		p := f.provider
		p.Config = models.Settings{"x": string(large), "n": written}
		if err := f.SaveProvider(ctx, &p); err != nil {
			t.Fatal(err)
		}
		written += len(large)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, info.Size())
	}
	close(done)
	load.Wait()
	if most == 0 || most > limit {
		t.Errorf("the log grew to %d bytes", most)
	}
	t.Logf("%d bytes written, the log had at most %d", written, most)
}

// Values in PostgreSQL's text format would be read as numbers and times of any kind.
func TestQueriesMustUseTheBinaryFormat(t *testing.T) {
	url := services.Database(t)
	with := func(mode string) string {
		if strings.Contains(url, "?") {
			return url + "&default_query_exec_mode=" + mode
		}
		return url + "?default_query_exec_mode=" + mode
	}
	for _, mode := range []string{"simple_protocol", "exec"} {
		_, err := store.Open(ctx, store.Options{URL: with(mode)})
		if err == nil || !strings.Contains(err.Error(), "default_query_exec_mode must not be exec or simple_protocol") {
			t.Errorf("with %s it opens and says %v", mode, err)
		}
	}
	f := fixture{Store: brokertest.OpenStore(t, url, nil), url: url}
	f.insertProvider(t)
	a := f.authorization(t, "1", time.Hour)
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec"} {
		s := must(store.Open(ctx, store.Options{URL: with(mode)}))(t)
		if l, err := s.Fetchable(ctx, a.ID); err != nil || l.Credential.Generation != 1 {
			t.Errorf("with %s it reads %+v, %v", mode, l.Credential, err)
		}
		s.Close()
	}
}
