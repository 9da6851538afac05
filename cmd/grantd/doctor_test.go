package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grantd/grantd/secrets"
)

func TestDoctorFindsNothingWrongBesideARunningServer(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	in := embedded(t, func(c *Config) {
		c.Data = data
		c.DatabaseURL, c.Keyset = "sqlite:"+filepath.Join(data, "grantd.db"), filepath.Join(data, "keyset.json")
	})
	o := mustRun(t, []string{"GRANTD_DATA=" + data, "GRANTD_PUBLIC_URL=" + in.url, "GRANTD_METRICS_LISTEN=127.0.0.1:9090"}, "doctor", "--reach")
	for _, want := range []string{"ok    settings", "ok    database", "ok    clock", "ok    keyset", "ok    redis", "ok    public URL", "ok    providers"} {
		if !strings.Contains(o.out, want) {
			t.Errorf("it does not say %q:\n%s", want, o.out)
		}
	}
}

func TestDoctorSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	keyset := filepath.Join(data, "keyset.json")
	in := embedded(t, func(c *Config) {
		c.Data, c.DatabaseURL, c.Keyset = data, "sqlite:"+filepath.Join(data, "grantd.db"), keyset
	})
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	free.Close()
	other := filepath.Join(t.TempDir(), "other.json")
	if err := (secrets.File{Path: other}).Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	readable := filepath.Join(t.TempDir(), "readable.json")
	content, err := os.ReadFile(keyset)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(readable, content, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		vars []string
		want string
	}{
		"a setting that cannot be used":   {[]string{"GRANTD_LISTEN=nowhere"}, "WRONG settings: GRANTD_LISTEN"},
		"no database":                     {[]string{"GRANTD_DATA=" + t.TempDir()}, "WRONG database: there is no database at"},
		"a database that does not answer": {[]string{"GRANTD_DATABASE_URL=postgres://grantd:hidden@" + nobody + "/grantd?connect_timeout=2"}, "WRONG database: GRANTD_DATABASE_URL"},
		"another keyset":                  {[]string{"GRANTD_KEYSET=" + other}, "WRONG keyset: it is not the one that this database was filled with"},
		"a keyset that others may read":   {[]string{"GRANTD_KEYSET=" + readable}, "WRONG keyset: GRANTD_KEYSET"},
		"a Redis that does not answer":    {[]string{"GRANTD_REDIS_URL=redis://:hidden@" + nobody + "/0"}, "WRONG redis"},
		"a public URL in clear":           {[]string{"GRANTD_PUBLIC_URL=http://grantd.example.com"}, "WRONG public URL: http://grantd.example.com is not https"},
		"a public URL of nobody":          {[]string{"GRANTD_PUBLIC_URL=http://" + nobody}, "WRONG public URL: http://" + nobody + "/healthz does not answer 200"},
	} {
		vars := append([]string{"GRANTD_DATA=" + data, "GRANTD_KEYSET=" + keyset}, c.vars...)
		o := grantd(t, vars, "doctor", "--reach")
		if o.code != exitFailure || !strings.Contains(o.out, c.want) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s", name, o.code, exitFailure, c.want, o.out)
		}
		if strings.Contains(o.out+o.err, "hidden") {
			t.Errorf("%s: a password is printed:\n%s%s", name, o.out, o.err)
		}
	}
	if o := grantd(t, []string{"GRANTD_DATA=" + data, "GRANTD_LISTN=1"}, "doctor"); !strings.Contains(o.out, "note  settings: GRANTD_LISTN") {
		t.Errorf("it does not note a misspelt setting:\n%s", o.out)
	}
}

func TestHealthAsksTheProcessBesideIt(t *testing.T) {
	t.Parallel()
	in := embedded(t, nil)
	address := strings.TrimPrefix(in.url, "http://")
	if o := mustRun(t, []string{"GRANTD_LISTEN=" + address}, "health"); !strings.Contains(o.out, `"status":"ok"`) {
		t.Errorf("it says %q", o.out)
	}
	mustRun(t, []string{"GRANTD_LISTEN=127.0.0.1:1", "GRANTD_METRICS_LISTEN=" + address}, "health", "--live")
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	mustFail(t, grantd(t, []string{"GRANTD_LISTEN=" + address}, "health"), exitFailure, "does not answer")

	ill := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
	}))
	defer ill.Close()
	mustFail(t, grantd(t, nil, "health", "--at", ill.URL), exitFailure, "HTTP 503")
}
