package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// embedded starts an instance in a folder of the test's.
func embedded(t *testing.T, change func(*Config)) *instance {
	t.Helper()
	cfg := (&Config{LogLevel: "error", LogFormat: "text"}).embedded(t.TempDir(), "")
	if change != nil {
		change(cfg)
	}
	in, err := start(t.Context(), cfg, roles{api: true, worker: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.stop(); err != nil {
			t.Error(err)
		}
	})
	return in
}

func status(t *testing.T, url string) int {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// TestR2_ItStopsBeingReadyWhileItStillAnswers: a load balancer that looks at
// /readyz must see the end coming before connections are refused.
func TestR2_ItStopsBeingReadyWhileItStillAnswers(t *testing.T) {
	t.Parallel()
	in := embedded(t, nil)
	if got := status(t, in.url+"/readyz"); got != http.StatusOK {
		t.Fatalf("/readyz is %d at first", got)
	}
	var ready, alive int
	look := stopper{"look", func(context.Context) error {
		ready, alive = status(t, in.url+"/readyz"), status(t, in.url+"/healthz")
		return nil
	}}
	// The last part to start is readiness, so this runs right after it.
	in.stops = slices.Insert(in.stops, len(in.stops)-1, look)
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	if ready != http.StatusServiceUnavailable || alive != http.StatusOK {
		t.Errorf("while draining /readyz is %d and /healthz %d", ready, alive)
	}
	if _, err := http.Get(in.url + "/healthz"); err == nil {
		t.Error("it still answers")
	}
}

// TestR2_PartsStopInReverse, each also when another fails, and the database at
// the very end.
func TestR2_PartsStopInReverse(t *testing.T) {
	t.Parallel()
	in := &instance{}
	var order []string
	for _, part := range []string{"database", "redis", "token calls", "requests"} {
		in.onStop(part, func(context.Context) error {
			order = append(order, part)
			if part == "token calls" {
				return errors.New("still one under way")
			}
			return nil
		})
	}
	if err := in.stop(); err == nil || !strings.Contains(err.Error(), "stopping token calls") {
		t.Errorf("err = %v", err)
	}
	if want := []string{"requests", "token calls", "redis", "database"}; !slices.Equal(order, want) {
		t.Errorf("stopped in the order %v", order)
	}
}

func TestTheOrderOfARealInstance(t *testing.T) {
	t.Parallel()
	in := embedded(t, func(c *Config) { c.MetricsListen = "127.0.0.1:0" })
	var parts []string
	for _, s := range slices.Backward(in.stops) {
		parts = append(parts, s.part)
	}
	want := []string{"readiness", "requests", "requests", "worker", "token calls", "counted fetches", "pace", "bell", "redis", "database",
		"the lock on the database", "traces", "GRANTD_METRICS_LISTEN", "GRANTD_LISTEN"}
	if !slices.Equal(parts, want) {
		t.Errorf("order\n%v\nwant\n%v", parts, want)
	}
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	vars, _ := home(t)
	mustFail(t, grantd(t, append(vars, "GRANTD_LISTEN="+taken.Addr().String()), "serve"), exitFailure, "grantd: GRANTD_LISTEN: ")
	mustFail(t, grantd(t, append(vars, "GRANTD_LISTEN=127.0.0.1:0", "GRANTD_METRICS_LISTEN="+taken.Addr().String()), "serve"), exitFailure, "GRANTD_METRICS_LISTEN: ")
}

// Two servers on one SQLite file both started, and each behaved as if it were alone.
func TestTwoServersDoNotShareASQLiteFile(t *testing.T) {
	t.Parallel()
	vars, data := home(t)
	vars = append(vars, "GRANTD_LISTEN=127.0.0.1:0", "GRANTD_DRAIN_DELAY=0s")
	ctx, stop := context.WithCancel(t.Context())
	listening, ended := make(chan struct{}), make(chan int)
	log := signalling{text: "is listening", found: func() { close(listening) }}
	go func() { ended <- run(ctx, []string{"serve"}, console{nil, io.Discard, &log}, vars) }()
	<-listening
	mustFail(t, grantd(t, vars, "serve"), exitFailure, "another grantd serves the database "+filepath.Join(data, "grantd.db"))
	mustRun(t, vars, "token", "create", "--org", "acme", "--user", "ada", "--role", "admin")

	for _, name := range []string{"grantd.db", "grantd.db-wal", "grantd.db-shm", "grantd.db.lock"} {
		if m := mode(t, filepath.Join(data, name)); m != 0o600 {
			t.Errorf("%s has mode %04o", name, m)
		}
	}
	stop()
	if code := <-ended; code != exitOK {
		t.Errorf("the first one ended with %d\n%s", code, log.String())
	}
	again, cancel := context.WithCancel(t.Context())
	next := signalling{text: "is listening", found: cancel}
	if code := run(again, []string{"serve"}, console{nil, io.Discard, &next}, vars); code != exitOK {
		t.Errorf("after the end of the first one, the second does not start: %s", next.String())
	}
}

// Without Redis a start said nothing at all about it.
func TestAStartWithoutRedisSaysSo(t *testing.T) {
	t.Parallel()
	vars, _ := home(t)
	ctx, stop := context.WithCancel(t.Context())
	log := signalling{text: "is listening", found: stop}
	vars = append(vars, "GRANTD_LISTEN=127.0.0.1:0", "GRANTD_DRAIN_DELAY=0s", "GRANTD_REDIS_URL=redis://:hunter2@127.0.0.1:1/0", "GRANTD_LOG_FORMAT=json",
		"GRANTD_PUBLIC_URL=https://grantd.example.com/base")
	if code := run(ctx, []string{"serve"}, console{nil, io.Discard, &log}, vars); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, log.String())
	}
	if n := strings.Count(log.String(), "Redis does not answer"); n != 1 {
		t.Errorf("it says %d times that Redis does not answer:\n%s", n, log.String())
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Error("shows the password")
	}
	if !strings.Contains(log.String(), `"docs":"https://grantd.example.com/base/docs"`) {
		t.Errorf("the documentation's public address is not told:\n%s", log.String())
	}
}

func TestURLOf(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080",
		":8080":          "http://localhost:8080",
		"0.0.0.0:8080":   "http://localhost:8080",
		"[::]:8080":      "http://localhost:8080",
		"[::1]:8080":     "http://[::1]:8080",
		"grantd:80":      "http://grantd:80",
	} {
		if got := urlOf(addr); got != want {
			t.Errorf("urlOf(%q) = %q, want %q", addr, got, want)
		}
	}
}
