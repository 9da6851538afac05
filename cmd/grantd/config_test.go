package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestConfigNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{
		"LISTEN=8080", "LISTEN=localhost:http://", "LISTEN=127.0.0.1:99999",
		"PUBLIC_URL=grantd.example.com", "PUBLIC_URL=ftp://x", "PUBLIC_URL=https://u:hunter2@x", "PUBLIC_URL=https://x?y", "PUBLIC_URL=https://x#y",
		"DATABASE_URL=mysql://u:hunter2@h/db", "DATABASE_URL=sqlite:", "DATABASE_URL=sqlite:///x.db", "DATABASE_URL=postgres:h/db", "DATABASE_URL=grantd.db",
		"REDIS_URL=localhost:6379", "REDIS_URL=http://:hunter2@h", "REDIS_URL=memory",
		"UPSTREAM_ALLOW=https://git.example.com", "UPSTREAM_ALLOW=git.example.com/x", "UPSTREAM_ALLOW=a.example,b:port",
		"REDIRECT_ALLOW=app.example.com", "REDIRECT_ALLOW=https://app.example.com/", "REDIRECT_ALLOW=https://*/x", "REDIRECT_ALLOW=https://App.example",
		"TEST_PROVIDER=localhost:9000", "TEST_PROVIDER=http://localhost:9000/base",
		"TRUSTED_PROXIES=proxy", "TRUSTED_PROXIES=10.0.0.0/33",
		"METRICS_LISTEN=9090", "LOG_LEVEL=loud", "LOG_FORMAT=xml", "DRAIN_DELAY=-1s", "DRAIN_DELAY=2h",
		"FETCH_CONNECTIONS=0", "FETCH_CONNECTIONS=3", "REVOKE_CONCURRENCY=0", "REVOKE_CONCURRENCY=1000", "REFRESH_CONCURRENCY=0", "REFRESH_CONCURRENCY=5000",
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			name, _, _ := strings.Cut(setting, "=")
			o := grantd(t, []string{"GRANTD_" + setting}, "config")
			mustFail(t, o, exitUsage, "grantd: GRANTD_"+name+": ")
			if strings.Contains(o.out+o.err, "hunter2") {
				t.Error("shows the password")
			}
		})
	}
}

func TestConfigSaysEverythingAtOnce(t *testing.T) {
	t.Parallel()
	o := grantd(t, []string{"GRANTD_LISTEN=x", "GRANTD_LOG_LEVEL=x", "GRANTD_DATABASE_URL=postgres://h/db",
		"GRANTD_KEEP_JOBS=30 days", "GRANTD_DRAIN_DELAY=soon", "GRANTD_REVOKE_CONCURRENCY=many", "GRANTD_PUBLIC_ULR=https://x"}, "config")
	for _, name := range []string{"GRANTD_LISTEN: ", "GRANTD_LOG_LEVEL: ", "GRANTD_KEYSET: ", "GRANTD_KEEP_JOBS: ", "GRANTD_DRAIN_DELAY: ",
		"GRANTD_REVOKE_CONCURRENCY: ", "GRANTD_PUBLIC_ULR is not a setting and has no effect; did you mean GRANTD_PUBLIC_URL?"} {
		mustFail(t, o, exitUsage, name)
	}
}

func TestConfigTakesWhatIsRight(t *testing.T) {
	t.Parallel()
	mustRun(t, []string{
		"GRANTD_LISTEN=:8080", "GRANTD_PUBLIC_URL=https://grantd.example.com/base/",
		"GRANTD_DATABASE_URL=postgresql://u@h1,h2/db?sslmode=disable", "GRANTD_KEYSET=/k",
		"GRANTD_REDIS_URL=redis-sentinel://h:1,h2:2/master",
		"GRANTD_UPSTREAM_ALLOW=git.example.com, localhost:9000,10.0.0.0/8,::1,[::1]:80,192.168.1.1,",
		"GRANTD_REDIRECT_ALLOW=https://app.example.com,http://localhost:3000", "GRANTD_TEST_PROVIDER=http://127.0.0.1:9000/",
		"GRANTD_TRUSTED_PROXIES=10.0.0.0/8,::1", "GRANTD_METRICS_LISTEN=:9090",
		"GRANTD_LOG_LEVEL=debug", "GRANTD_LOG_FORMAT=json", "GRANTD_ALLOW_ASYNC_COMMIT=true", "GRANTD_DRAIN_DELAY=5s",
		"GRANTD_REVOKE_CONCURRENCY=64", "GRANTD_REFRESH_CONCURRENCY=64", "GRANTD_FETCH_CONNECTIONS=2",
	}, "config")
}

// A misspelt variable had no effect and was not mentioned.
func TestAMisspeltVariableIsMentioned(t *testing.T) {
	t.Parallel()
	vars, _ := prepared(t)
	vars = append(vars, "GRANTD_DATABSE_URL=postgres://h/db", "GRANTD_TEST_REQUIRE_SERVICES=1")
	const want = "GRANTD_DATABSE_URL is not a setting and has no effect; did you mean GRANTD_DATABASE_URL?"
	if o := mustRun(t, vars, "token", "list"); strings.Count(o.err, want) != 1 || strings.Contains(o.err, "REQUIRE") {
		t.Errorf("token list says %q", o.err)
	}
	ctx, stop := context.WithCancel(t.Context())
	log := signalling{text: "is listening", found: stop}
	if code := run(ctx, []string{"serve"}, console{nil, io.Discard, &log}, append(vars, "GRANTD_LISTEN=127.0.0.1:0", "GRANTD_DRAIN_DELAY=0s")); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, log.String())
	}
	if strings.Count(log.String(), want) != 1 {
		t.Errorf("serve says %s", log.String())
	}
}

func TestDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "90m": 90 * time.Minute, "0s": 0, "-1s": -time.Second} {
		if got, err := parseDuration(text); got != want || err != nil {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "30", "-1d", "1.5d", "30 d", "1d-2h", "99999999d", "1d2d"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}

// TestConfigShowsWhatIsInForce: a flag wins over a variable, that over the
// default, and an empty variable is none.
func TestConfigShowsWhatIsInForce(t *testing.T) {
	t.Parallel()
	o := mustRun(t, []string{"GRANTD_DATA=/env", "GRANTD_LOG_LEVEL=warn", "GRANTD_LOG_FORMAT=", "GRANTD_UPSTREAM_ALLOW=a.example, b.example"},
		"config", "--data", "/flag", "--listen=0.0.0.0:1234")
	lines := map[string]bool{}
	for line := range strings.Lines(o.out) {
		lines[strings.Join(strings.Fields(line), " ")] = true
	}
	for _, want := range []string{
		"GRANTD_DATA /flag flag",
		"GRANTD_DATABASE_URL sqlite:/flag/grantd.db default",
		"GRANTD_KEYSET /flag/keyset.json default",
		"GRANTD_LISTEN 0.0.0.0:1234 flag",
		"GRANTD_PUBLIC_URL http://localhost:1234 default",
		"GRANTD_REDIS_URL memory: default",
		"GRANTD_LOG_LEVEL warn environment",
		"GRANTD_LOG_FORMAT text default",
		"GRANTD_UPSTREAM_ALLOW a.example,b.example environment",
		"GRANTD_TEST_PROVIDER - not set",
		"GRANTD_ALLOW_ASYNC_COMMIT false default",
	} {
		if !lines[want] {
			t.Errorf("does not say %q:\n%s", want, o.out)
		}
	}
}

// Finding F9: the password of a database URL that was no URL, such as libpq's keywords or
// one with a slash missing, was printed by `grantd config`.
func TestRedact(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"host=h user=u password=hunter2", "user = u dbname = hunter2", "postgres:/u:hunter2@h/db", "postgres:u:hunter2@h/db",
		"u:hunter2@h:6379", "h:6379,password=hunter2", "postgresql:hunter2@h"} {
		if got := redact(value); got != redacted {
			t.Errorf("redact(%q) = %q", value, got)
		}
		o := grantd(t, []string{"GRANTD_DATABASE_URL=" + value, "GRANTD_REDIS_URL=" + value, "GRANTD_PUBLIC_URL=" + value, "GRANTD_TEST_PROVIDER=" + value}, "config")
		if strings.Contains(o.out+o.err, "hunter2") {
			t.Errorf("config prints the password of %q:\n%s%s", value, o.out, o.err)
		}
	}
	for value, want := range map[string]string{
		"":                                  "",
		"127.0.0.1:8080":                    "127.0.0.1:8080",
		"a.example,b.example:9000":          "a.example,b.example:9000",
		"memory:":                           "memory:",
		"sqlite:/a@b:c/grantd.db":           "sqlite:/a@b:c/grantd.db",
		"postgres://u@h/db":                 "postgres://u@h/db",
		"postgres://u:hunter2@h/db":         "postgres://u:[redacted]@h/db",
		"postgres://u:hun/ter@2@h/db":       "postgres://u:[redacted]@h/db",
		"postgres://u:hunter%2@h:port/db":   "postgres://u:[redacted]@h:port/db",
		"postgres://h/db?password=hunter2":  "postgres://h/db?password=[redacted]",
		"postgres://h/db?a=b&sslpassword=h": "postgres://h/db?a=b&sslpassword=[redacted]",
		"redis://:hunter2@h:6379/0":         "redis://:[redacted]@h:6379/0",
		"redis-sentinel://u:hunter2@a:1,b:2/m?db=1&sentinel_password=h2&x=y": "redis-sentinel://u:[redacted]@a:1,b:2/m?db=1&sentinel_password=[redacted]&x=y",
	} {
		if got := redact(value); got != want {
			t.Errorf("redact(%q) = %q, want %q", value, got, want)
		}
	}
}

// TestAPIAndWorkerNeedWhatTheyCanShare: on memory: each process would ring a
// bell that the other cannot hear.
func TestAPIAndWorkerNeedWhatTheyCanShare(t *testing.T) {
	t.Parallel()
	data := "GRANTD_DATA=" + filepath.Join(t.TempDir(), "data")
	for _, command := range []string{"api", "worker"} {
		mustFail(t, grantd(t, []string{data, "GRANTD_DATABASE_URL=postgres://h/db", "GRANTD_KEYSET=/k"}, command), exitUsage, "GRANTD_REDIS_URL: `grantd "+command)
		mustFail(t, grantd(t, []string{data, "GRANTD_REDIS_URL=redis://h"}, command), exitUsage, "GRANTD_DATABASE_URL: `grantd "+command)
	}
}

func TestTheServiceDoesNotStartOnAMistypedRedis(t *testing.T) {
	t.Parallel()
	vars := []string{"GRANTD_DATA=" + t.TempDir(), "GRANTD_LISTEN=127.0.0.1:0", "GRANTD_REDIS_URL=redis://:hunter2@h:port/0"}
	o := grantd(t, vars, "serve")
	mustFail(t, o, exitFailure, "GRANTD_REDIS_URL")
	if strings.Contains(o.err, "hunter2") {
		t.Error("shows the password")
	}
}
