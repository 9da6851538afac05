// Package deploy holds that what is in deploy/ works: each file is judged by the program that
// reads it.
package deploy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/metrics"
)

const root = "../.."

// program finds a program, or leaves the test out for want of it.
func program(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if sbin := "/usr/sbin/" + name; errors.Is(err, exec.ErrNotFound) {
		if _, err2 := os.Stat(sbin); err2 == nil {
			return sbin
		}
	}
	if err != nil {
		if os.Getenv("GRANTD_TEST_REQUIRE_SERVICES") == "1" {
			t.Fatalf("%s is not installed; Debian has it in the package %s", name, debian)
		}
		t.Skipf("left out for want of %s", name)
	}
	return path
}

// must runs a program, which has to end with 0.
func must(t *testing.T, dir, path string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(path), strings.Join(args, " "), err, out)
	}
	return string(out)
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

var alertName = regexp.MustCompile(`(?m)^ +- alert: (\S+)$`)

func alerts(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, m := range alertName.FindAllStringSubmatch(read(t, "deploy/prometheus/alerts.yml"), -1) {
		names = append(names, m[1])
	}
	if len(names) < 10 {
		t.Fatalf("only %d alerts were found", len(names))
	}
	return names
}

// Every alert fires in a test of promtool's, is quiet while all is well, and says in a section
// of its own what it means and what to do.
func TestEveryAlertFiresAndIsExplained(t *testing.T) {
	tests, manual := read(t, "deploy/prometheus/alerts_test.yml"), read(t, "docs/operations.md")
	for _, name := range alerts(t) {
		fires := regexp.MustCompile(`(?m)^ +alertname: ` + name + `\n +exp_alerts:\n +- exp_labels: `)
		if !fires.MatchString(tests) {
			t.Errorf("%s does not fire in alerts_test.yml", name)
		}
		if !strings.Contains(tests, "alertname: "+name+", exp_alerts: []}") {
			t.Errorf("%s is not held to be quiet in alerts_test.yml", name)
		}
		_, section, found := strings.Cut(manual, "\n### "+name+"\n")
		section, _, _ = strings.Cut(section, "\n### ")
		if !found || !strings.Contains(section, "**Look at**") || !strings.Contains(section, "**Do**") {
			t.Errorf("docs/operations.md has no section for %s that says what it means, what to look at and what to do", name)
		}
	}
	promtool := program(t, "promtool", "prometheus")
	dir := filepath.Join(root, "deploy/prometheus")
	must(t, dir, promtool, "check", "config", "prometheus.yml")
	must(t, dir, promtool, "test", "rules", "alerts_test.yml")
}

var metric = regexp.MustCompile(`\bgrantd_[a-z_]+`)

// Alerts and dashboard ask for metrics that there are, with labels that they have.
func TestAlertsAndDashboardAskForMetricsThatThereAre(t *testing.T) {
	names := metrics.Names()
	dashboard := read(t, "deploy/grafana/dashboards/grantd.json")
	for where, content := range map[string]string{"alerts.yml": read(t, "deploy/prometheus/alerts.yml"), "grantd.json": dashboard} {
		for _, name := range metric.FindAllString(content, -1) {
			bare := name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				bare = strings.TrimSuffix(bare, suffix)
			}
			if !slices.Contains(names, name) && !slices.Contains(names, bare) {
				t.Errorf("%s asks for %s, which there is not", where, name)
			}
		}
	}
	for _, name := range names {
		if !strings.Contains(dashboard, name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
	var parsed struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(dashboard), &parsed); err != nil {
		t.Fatal(err)
	}
	// The expressions are judged as recording rules.
	var rules bytes.Buffer
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for _, p := range parsed.Panels {
		if p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d has no title or asks for nothing", p.ID)
		}
		for i, target := range p.Targets {
			quoted, err := json.Marshal(target.Expr)
			if err != nil {
				t.Fatal(err)
			}
			rules.WriteString("      - record: panel:" + string(rune('a'+p.ID/26)) + string(rune('a'+p.ID%26)) + string(rune('a'+i)) + "\n        expr: " + string(quoted) + "\n")
		}
	}
	promtool := program(t, "promtool", "prometheus")
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, rules.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, ".", promtool, "check", "rules", file)
}

// The units are read by systemd without complaint, and leave little open.
func TestSystemdUnitsAreHardened(t *testing.T) {
	analyze := program(t, "systemd-analyze", "systemd")
	units, err := filepath.Glob(filepath.Join(root, "deploy/systemd/*.service"))
	if err != nil || len(units) == 0 {
		t.Fatalf("there are no units: %v", err)
	}
	for _, unit := range units {
		if out := must(t, ".", analyze, "security", "--offline=true", "--threshold=20", "--no-pager", unit); !strings.Contains(out, "exposure level") {
			t.Errorf("systemd-analyze said nothing of %s:\n%s", unit, out)
		}
	}
}

// nginx takes the example, and logs no query.
func TestNginxTakesTheExample(t *testing.T) {
	nginx := program(t, "nginx", "nginx")
	dir := t.TempDir()
	certificate(t, dir)
	site := strings.NewReplacer("/etc/ssl/grantd", dir, "/var/log/nginx", dir).Replace(read(t, "deploy/nginx/grantd.conf"))
	main := "pid " + dir + "/pid;\nerror_log " + dir + "/error.log;\nevents {}\nhttp {\n" + site + "\n}\n"
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(main), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, dir, nginx, "-t", "-p", dir, "-c", file)
	for _, logs := range []string{"$request ", "\"$request\"", "$request_uri", "$args", "$query_string", "$http_referer"} {
		if strings.Contains(site, logs) {
			t.Errorf("the example uses %s, which holds codes and states", logs)
		}
	}
}

// certificate writes a key pair that nginx can load.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"fullchain.pem": {Type: "CERTIFICATE", Bytes: cert}, "privkey.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Caddy takes the example, written as `caddy fmt` writes it.
func TestCaddyTakesTheExample(t *testing.T) {
	caddy := program(t, "caddy", "caddy")
	file := filepath.Join(root, "deploy/caddy/Caddyfile")
	t.Setenv("HOME", t.TempDir())
	must(t, ".", caddy, "validate", "--adapter", "caddyfile", "--config", file)
	if formatted := must(t, ".", caddy, "fmt", file); formatted != read(t, "deploy/caddy/Caddyfile") {
		t.Error("caddy fmt would change the example")
	}
}

// unchecked are files that no program judges here, with what would.
var unchecked = map[string]string{
	"deploy/grafana/provisioning/dashboards/grantd.yml":      "Grafana",
	"deploy/grafana/provisioning/datasources/prometheus.yml": "Grafana",
}

// checked are the files that the tests of this package, or those of cmd/grantd and of the module in deploy/helm, judge.
var checked = regexp.MustCompile(`^deploy/(prometheus/(alerts|alerts_test|prometheus)\.yml|grafana/dashboards/grantd\.json|nginx/grantd\.conf|caddy/Caddyfile|systemd/[a-z@]+\.service|compose/issuers\.json|helm/.*|import/(from-(coder|nango|vault)|import)\.sh)$`)

// No file comes into deploy/ unchecked without being named as such.
func TestEveryFileIsChecked(t *testing.T) {
	err := filepath.WalkDir(filepath.Join(root, "deploy"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if unchecked[filepath.ToSlash(name)] == "" && !checked.MatchString(filepath.ToSlash(name)) {
			t.Errorf("%s is checked by nothing", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
