package jobs

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
)

func redisOptions(dial func(context.Context, string, string) (net.Conn, error)) redis.UniversalOptions {
	return redis.UniversalOptions{Dialer: dial}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url, name string
		want      redis.UniversalOptions
	}{
		{"redis://cache", "redis://cache:6379/0", redis.UniversalOptions{Addrs: []string{"cache:6379"}}},
		{"redis://me:s3cret@cache:7000/5", "redis://cache:7000/5", redis.UniversalOptions{
			Addrs: []string{"cache:7000"}, DB: 5, Username: "me", Password: "s3cret"}},
		{"redis://:s%2Fcret@[::1]:7000", "redis://[::1]:7000/0", redis.UniversalOptions{
			Addrs: []string{"[::1]:7000"}, Password: "s/cret"}},
		{"redis-sentinel://:s3cret@a:1,b,c:3/main?db=2&sentinel_password=s3cret2", "redis-sentinel://a:1,b:26379,c:3/main?db=2",
			redis.UniversalOptions{Addrs: []string{"a:1", "b:26379", "c:3"}, MasterName: "main", DB: 2,
				Password: "s3cret", SentinelPassword: "s3cret2"}},
		{"redis-sentinel://me:s%40cret@a/main", "redis-sentinel://a:26379/main?db=0",
			redis.UniversalOptions{Addrs: []string{"a:26379"}, MasterName: "main", Username: "me", Password: "s@cret"}},
	} {
		r := open(t, c.url)
		if diff := cmp.Diff(fmt.Sprintf("%+v", c.want), fmt.Sprintf("%+v", r.options)); diff != "" || r.String() != c.name {
			t.Errorf("%s: %s\n%s", c.url, r, diff)
		}
	}
}

func TestTLSChecksTheServersName(t *testing.T) {
	t.Parallel()
	r := open(t, "rediss://cache.example")
	if tls := r.options.TLSConfig; tls == nil || tls.ServerName != "cache.example" || r.String() != "rediss://cache.example:6379/0" {
		t.Errorf("%s with %+v", r, tls)
	}
}

// A mistyped URL is often one whose password was not encoded. Its error goes to
// the log.
func TestErrorsNeverShowThePassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "s3cret", "cache:6379", "http://:s3cret@cache", "memory://s3cret", "memory:s3cret",
		"redis://:s3cret@cache:port", "redis://:s3/cret@cache:6379/0", "redis://:1/s3cret@cache:6379/0",
		"redis://:1?s3cret@cache:6379/0", "redis://:1#s3cret@cache:6379/0", "redis://:s3%cret@cache",
		"redis://cache/s3cret", "redis://cache/-1", "redis://cache/1/2", "redis://cache?db=1",
		"redis-sentinel://:s3cret@a:1", "redis-sentinel://:s3cret@a:1/", "redis-sentinel://:s3cret@/main",
		"redis-sentinel://:s3cret@a:1,,b/main", "redis-sentinel://:s3cret@a:x/main", "redis-sentinel://:s3%cret@a/main",
		"redis-sentinel://:s3cret@a/main?db=s3cret", "redis-sentinel://:s3/cret@a:1,b:2/main", "redis-sentinel://a/main#s3cret",
	} {
		_, err := OpenRedis(url)
		if err == nil {
			t.Errorf("%q is taken", url)
		} else if s := err.Error(); strings.Contains(s, "cret") || !strings.HasPrefix(s, "GRANTD_REDIS_URL: ") {
			t.Errorf("%q: %s", url, s)
		}
	}
}

func TestRedisPrintsWithoutPassword(t *testing.T) {
	t.Parallel()
	r := open(t, "redis://me:s3cret@cache:7000/5")
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("start", "redis", r)
	for _, p := range []string{r.String(), fmt.Sprintf("%+v", r), fmt.Sprintf("%#v", r), fmt.Sprintf("%q", r), logged.String()} {
		if strings.Contains(p, "s3cret") || !strings.Contains(p, "cache:7000") {
			t.Errorf("prints %s", p)
		}
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		must(t, r.Ping(t.Context()))
		if r.InMemory() != (r.String() == "memory:") {
			t.Error("does not know where it lives")
		}
	})
	nobody := open(t, "redis://:s3cret@127.0.0.1:1")
	err := nobody.Ping(t.Context())
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("err = %v", err)
	}
}

// TestKeysExpireInMemory: without a clock of its own, the lock of a worker that
// went away would stay forever.
func TestKeysExpireInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, err := OpenRedis("memory:")
		must(t, err)
		must(t, r.probe.Set(t.Context(), "lock", "mine", 2*time.Second).Err())
		time.Sleep(2*time.Second - tick)
		if r.probe.Exists(t.Context(), "lock").Val() != 1 {
			t.Error("it expired too early")
		}
		time.Sleep(2 * tick)
		if r.probe.Exists(t.Context(), "lock").Val() != 0 {
			t.Error("it never expires")
		}
		must(t, r.Close()) // and leaves no goroutine, or the bubble would say so
	})
}

func TestMemoryIsGoneAfterClose(t *testing.T) {
	t.Parallel()
	r, err := OpenRedis("memory:")
	must(t, err)
	late := r.impatientClient()
	must(t, r.Close())
	if late.Ping(t.Context()).Err() == nil {
		t.Error("a late client woke it up again")
	}
	must(t, late.Close())
}

func TestTwoMemoriesAreTwo(t *testing.T) {
	t.Parallel()
	one, two := open(t, "memory:"), open(t, "memory:")
	must(t, one.probe.Set(t.Context(), "key", 1, 0).Err())
	if two.probe.Exists(t.Context(), "key").Val() != 0 {
		t.Error("they share their data")
	}
}
