package services

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func client(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	must(t, err)
	o.ContextTimeoutEnabled = true
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// afterKill returns what is left of a key when Redis was killed and came back.
func afterKill(t *testing.T, s *Server) (string, error) {
	t.Helper()
	must(t, client(t, s.URL).Set(t.Context(), "key", "kept", 0).Err())
	must(t, s.Kill())
	must(t, s.Start(t.Context()))
	return client(t, s.URL).Get(t.Context(), "key").Result()
}

func TestRedisIsEmptyAfterAKill(t *testing.T) {
	t.Parallel()
	if got, err := afterKill(t, own(t, StartRedis)); !errors.Is(err, redis.Nil) {
		t.Fatalf("key = %q, %v", got, err)
	}
}

func TestRedisWithAppendOnlyKeepsItsData(t *testing.T) {
	t.Parallel()
	if got, err := afterKill(t, own(t, StartRedis, "appendonly yes")); got != "kept" {
		t.Fatalf("key = %q, %v", got, err)
	}
}

func TestPausedRedisHangsAndGoesOn(t *testing.T) {
	t.Parallel()
	s := own(t, StartRedis)
	c := client(t, s.URL)
	must(t, c.Ping(t.Context()).Err())
	must(t, s.Pause())
	if err := c.Ping(soon(t)).Err(); err == nil {
		t.Error("a paused Redis answers")
	}
	must(t, s.Resume())
	must(t, c.Ping(t.Context()).Err())
}

func TestAServerThatIsGoneCannotBePaused(t *testing.T) {
	t.Parallel()
	s := own(t, StartRedis)
	must(t, s.Stop())
	must(t, s.Stop())
	if s.Pause() == nil {
		t.Error("paused")
	}
}

// A port may be taken between finding it free and listening. Another server
// that answers there must not pass for ours.
func TestAServerNoticesThatItsPortIsTaken(t *testing.T) {
	t.Parallel()
	s := own(t, StartRedis)
	must(t, s.Stop())
	squatter, err := net.Listen("tcp", s.Addr)
	must(t, err)
	err = s.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("err = %v", err)
	}
	must(t, squatter.Close())
	must(t, s.Start(t.Context()))
}

func TestEachRedisDatabaseIsItsOwn(t *testing.T) {
	t.Parallel()
	one, two := RedisDatabase(t), RedisDatabase(t)
	must(t, client(t, one).Set(t.Context(), "mine", 1, 0).Err())
	if n := client(t, two).DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%s and %s hold %d keys", one, two, n)
	}
}

func TestARedisDatabaseComesBackEmpty(t *testing.T) {
	t.Parallel()
	s := &Set{RedisURL: own(t, StartRedis).URL}
	first, drop, err := s.NewRedis(t.Context())
	must(t, err)
	must(t, client(t, first).Set(t.Context(), "key", 1, 0).Err())
	drop()
	again, _, err := s.NewRedis(t.Context())
	must(t, err)
	if n := client(t, again).DBSize(t.Context()).Val(); again != first || n != 0 {
		t.Errorf("got %s after %s, with %d keys", again, first, n)
	}
}

func TestRedisDatabasesRunOut(t *testing.T) {
	t.Parallel()
	s := &Set{RedisURL: own(t, StartRedis).URL}
	must(t, client(t, s.RedisURL).Set(t.Context(), lastKey, ourDatabases-2, 0).Err())
	last, _, err := s.NewRedis(t.Context())
	must(t, err)
	must(t, client(t, last).Ping(t.Context()).Err())
	if url, _, err := s.NewRedis(t.Context()); err == nil {
		t.Errorf("got %s", url)
	}
}

// Somebody may point the tests at a Redis that holds their data.
func TestAForeignRedisIsNeverEmptied(t *testing.T) {
	t.Parallel()
	s := &Set{RedisURL: own(t, StartRedis, "databases 16").URL}
	url, drop, err := s.NewRedis(context.Background())
	must(t, err)
	c := client(t, s.RedisURL)
	must(t, c.Set(t.Context(), "theirs", 1, 0).Err())
	drop()
	if n := c.Exists(t.Context(), "theirs").Val(); url != s.RedisURL || n != 1 {
		t.Errorf("url = %s, keys left = %d", url, n)
	}
}
