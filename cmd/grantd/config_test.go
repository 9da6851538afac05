package main

import (
	"path/filepath"
	"strings"
	"testing"
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
		"REVOKE_CONCURRENCY=0", "REVOKE_CONCURRENCY=1000",
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
	o := grantd(t, []string{"GRANTD_LISTEN=x", "GRANTD_LOG_LEVEL=x", "GRANTD_DATABASE_URL=postgres://h/db"}, "config")
	for _, name := range []string{"GRANTD_LISTEN: ", "GRANTD_LOG_LEVEL: ", "GRANTD_KEYSET: "} {
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
		"GRANTD_REVOKE_CONCURRENCY=64",
	}, "config")
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

func TestRedact(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"":                                  "",
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
