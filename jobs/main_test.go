package jobs

import (
	"log/slog"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest/services"
)

func TestMain(m *testing.M) {
	LogTo(slog.New(slog.DiscardHandler)) // the tests take Redis away on purpose
	services.Main(m)
}

func open(t *testing.T, url string) *Redis {
	t.Helper()
	r, err := OpenRedis(url)
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()) })
	return r
}

func newBell(t *testing.T, r *Redis) *Bell {
	t.Helper()
	b := NewBell(r)
	t.Cleanup(func() { must(t, b.Close()) })
	return b
}

// onEachRedis runs a test on the Redis in this process and on a real one.
func onEachRedis(t *testing.T, test func(t *testing.T, r *Redis)) {
	t.Run("memory", func(t *testing.T) { t.Parallel(); test(t, open(t, "memory:")) })
	t.Run("redis", func(t *testing.T) { t.Parallel(); test(t, open(t, services.RedisDatabase(t))) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls until ok, for what another goroutine or process does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("never happened: ", what)
		case <-poll.C:
		}
	}
}
