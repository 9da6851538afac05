package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// diskIsFull has SQLite on a file system of a few megabytes, and fills that: once
// before tokens are asked for, and once while the upstream has already rotated.
// The second is the worse one, since tokens that cannot be kept are lost unless
// the process holds on to them until there is space (R1).
func diskIsFull(s *scene) result {
	folder := smallDisk(s, 16<<20)
	upstream := processes.StartUpstream()
	s.Cleanup(upstream.Close)
	x := &site{scene: s, Grantd: &processes.Grantd{Binary: s.binary, Upstream: upstream, RedisURL: "memory:",
		DatabaseURL: "sqlite:" + filepath.Join(folder, "grantd.db"), Keyset: filepath.Join(s.TempDir(), "keyset.json")}}
	s.must(x.Prepare(s.ctx))
	var err error
	x.token, err = x.Token(s.ctx, "acme", "root", models.RoleAdmin)
	s.must(err)
	x.Upstream.SetAccessTTL(time.Second) // and not by our record: SQLite is not to be written to by two processes
	api := x.client(x.start("serve"))
	p := x.provider(api, "test")
	ids := x.consents(api, p.ID, 10)
	x.until("every token is no longer valid", func() bool { return x.Upstream.Stats().LiveAccessTokens == 0 })

	before := x.Upstream.Stats().Calls[testidp.Refresh]
	filled := fill(s, folder)
	refused := 0
	for _, id := range ids {
		refused += refusedCleanly(x, api, id)
	}
	_, err = api.Authorize(s.ctx, p.ID, client.AuthorizeRequest{})
	if status := statusOf(err); status != http.StatusServiceUnavailable && status != http.StatusInternalServerError {
		s.Errorf("a consent was begun on a full disk with %v", err)
	}
	sent := x.Upstream.Stats().Calls[testidp.Refresh] - before
	s.must(os.Remove(filled))
	x.fetched(api, ids[1:])

	x.Upstream.Inject(testidp.Fault{Endpoint: testidp.Refresh, AnswerLatencyMS: 2000, Times: 1})
	before = x.Upstream.Stats().Calls[testidp.Refresh]
	go api.Token(s.ctx, ids[0]) // it is told to come back
	x.until("the upstream is asked", func() bool { return x.Upstream.Stats().Calls[testidp.Refresh] > before })
	filled = fill(s, folder)
	x.until("the caller of an invalid token is told to come back", func() bool { return refusedCleanly(x, api, ids[0]) == 1 })
	s.must(os.Remove(filled))
	space := time.Now()
	x.Upstream.SetAccessTTL(time.Hour)
	r := result{lost: x.fetched(api, ids), recovered: time.Since(space)}
	r.spent = x.Upstream.Stats().RefreshReused
	r.note = fmt.Sprintf("%d of %d callers were refused with 503, for whom the upstream was asked %d times; tokens that came while there was no space were kept once there was", refused, len(ids), sent)
	return r
}

// refusedCleanly asks once, and reports 1 for a refusal.
func refusedCleanly(x *site, c *client.Client, id string) int {
	x.Helper()
	_, err := c.Token(x.ctx, id)
	if err == nil {
		return 0
	}
	refusal, ok := errors.AsType[*client.Error](err)
	if !ok || refusal.Status < 500 || refusal.RetryAfter <= 0 {
		x.Errorf("on a full disk a caller was told %v", err)
	}
	return 1
}

// fill takes all the space there is, and returns what takes it.
func fill(s *scene, folder string) string {
	s.Helper()
	path := filepath.Join(folder, "filler")
	f, err := os.Create(path)
	s.must(err)
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for {
			if _, err := f.Write(make([]byte, size)); err != nil {
				break
			}
		}
	}
	return path
}
