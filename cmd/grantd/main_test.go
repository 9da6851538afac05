package main

import (
	"bytes"
	"context"
	"runtime/debug"
	"strings"
	"testing"
)

// outcome is how a command ended.
type outcome struct {
	code     int
	out, err string
}

// grantd runs a command line with nothing in its environment but vars.
func grantd(t *testing.T, vars []string, args ...string) outcome {
	t.Helper()
	var out, err bytes.Buffer
	code := run(t.Context(), args, console{strings.NewReader(""), &out, &err}, vars)
	return outcome{code, out.String(), err.String()}
}

// mustRun is grantd where nothing may fail.
func mustRun(t *testing.T, vars []string, args ...string) outcome {
	t.Helper()
	o := grantd(t, vars, args...)
	if o.code != exitOK {
		t.Fatalf("grantd %s: exit code %d\n%s", strings.Join(args, " "), o.code, o.err)
	}
	return o
}

// mustFail expects an exit code and a text on standard error.
func mustFail(t *testing.T, o outcome, code int, text string) {
	t.Helper()
	if o.code != code || !strings.Contains(o.err, text) {
		t.Errorf("exit code %d, standard error:\n%s\nwant %d and %q", o.code, o.err, code, text)
	}
}

func TestACommandLineThatIsWrongIsUsage(t *testing.T) {
	t.Parallel()
	mustFail(t, grantd(t, nil, "sreve"), exitUsage, `Run "grantd --help"`)
	mustFail(t, grantd(t, nil, "help", "sreve"), exitUsage, "sreve")
	mustFail(t, grantd(t, nil, "serve", "--bogus"), exitUsage, `Run "grantd serve --help"`)
	mustFail(t, grantd(t, nil, "token", "create", "--org", "o"), exitUsage, "--role")
	mustFail(t, grantd(t, []string{"GRANTD_ALLOW_ASYNC_COMMIT=perhaps"}, "serve"), exitUsage, "GRANTD_ALLOW_ASYNC_COMMIT")
	mustFail(t, grantd(t, []string{"GRANTD_DRAIN_DELAY=7"}, "serve"), exitUsage, "GRANTD_DRAIN_DELAY")
	mustFail(t, grantd(t, []string{"GRANTD_REVOKE_CONCURRENCY=many"}, "serve"), exitUsage, "GRANTD_REVOKE_CONCURRENCY: \"many\" is not a number")
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"help"}, {"--help"}} {
		o := mustRun(t, nil, args...)
		for _, want := range []string{"Usage: grantd <command>", "connections       List", "serve       Run API", "grantd help settings"} {
			if !strings.Contains(o.out, want) {
				t.Errorf("grantd %v does not say %q:\n%s", args, want, o.out)
			}
		}
	}
	// The help of a command was mostly the settings that all commands share.
	for _, args := range [][]string{{"token", "create", "--help"}, {"help", "token", "create"}} {
		o := mustRun(t, nil, args...)
		if lines := strings.Count(o.out, "\n"); lines > 40 || !strings.Contains(o.out, "--role") || strings.Contains(o.out, "--drain-delay") {
			t.Errorf("grantd %v prints %d lines:\n%s", args, lines, o.out)
		}
	}
	settings := mustRun(t, nil, "help", "settings").out
	for _, want := range []string{"--database-url, $GRANTD_DATABASE_URL\n", "--listen, $GRANTD_LISTEN (default 127.0.0.1:8080)"} {
		if !strings.Contains(settings, want) {
			t.Errorf("the settings do not say %q:\n%s", want, settings)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"version", "--version"} {
		if o := mustRun(t, nil, arg); !strings.HasPrefix(o.out, "grantd ") {
			t.Errorf("%s prints %q", arg, o.out)
		}
	}
	commit := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}
	for want, info := range map[string]*debug.BuildInfo{
		"v1.2.3":                   {Main: debug.Module{Version: "v1.2.3"}, Settings: commit},
		"devel-0123456789ab-dirty": {Main: debug.Module{Version: "(devel)"}, Settings: commit},
		"devel-0123456789ab":       {Settings: commit[:1]},
		"devel":                    {},
	} {
		if got := versionOf(info); got != want {
			t.Errorf("version %q, want %q", got, want)
		}
	}
}

// TestACommandThatIsToldToStopStops: whatever has begun is ended in order.
func TestACommandThatIsToldToStopStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	log := signalling{text: "no API token yet", found: cancel}
	vars := []string{"GRANTD_DATA=" + t.TempDir(), "GRANTD_LISTEN=127.0.0.1:0", "GRANTD_DRAIN_DELAY=0s"}
	if code := run(ctx, []string{"serve"}, console{nil, &out, &log}, vars); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, log.String())
	}
	for _, want := range []string{"is listening", "msg=stopped"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
	if out.Len() > 0 {
		t.Errorf("standard output has %q", out.String())
	}
}
