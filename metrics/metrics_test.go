package metrics_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/metrics"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/testidp"
)

func TestMain(m *testing.M) { brokertest.Main(m) }

// docs/metrics.md is what the definitions say. GRANTD_WRITE=1 writes it.
func TestTheDocumentIsCurrent(t *testing.T) {
	const path = "../docs/metrics.md"
	if os.Getenv("GRANTD_WRITE") == "1" {
		if err := os.WriteFile(path, []byte(metrics.Document()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != metrics.Document() {
		t.Error("docs/metrics.md differs from metrics/definitions.go: GRANTD_WRITE=1 go test ./metrics writes it anew")
	}
}

// scrape reads what a process tells, and holds that every label value is in its list.
func scrape(t *testing.T, url string) (map[string]*dto.MetricFamily, []byte) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	closed := metrics.Closed()
	for name, family := range families {
		if !strings.HasPrefix(name, "grantd_") {
			continue
		}
		labels, defined := closed[name]
		if !defined {
			t.Errorf("%s is told and not defined", name)
		}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				values, known := labels[l.GetName()]
				if !known || values != nil && !slices.Contains(values, l.GetValue()) {
					t.Errorf("%s has %s=%q, which is not in its list", name, l.GetName(), l.GetValue())
				}
			}
		}
	}
	return families, body
}

// value adds up the series of a metric that have the labels, given as name, value, ….
func value(families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	var sum float64
	for _, m := range families[name].GetMetric() {
		has := map[string]string{}
		for _, l := range m.GetLabel() {
			has[l.GetName()] = l.GetValue()
		}
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && has[labels[i]] == labels[i+1]
		}
		if fits {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// A service at work tells what it does, on both databases.
func TestWhatAServiceDoesIsCounted(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		h := brokertest.New(t, &brokertest.Options{Backend: b})
		ctx := t.Context()
		// Its address does not exist, so the events below wait for it to be confirmed.
		if _, err := h.Admin.Client.CreateWebhook(ctx, client.NewWebhook{URL: "https://app.example.test/"}); err != nil {
			t.Fatal(err)
		}
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		gone := h.Consent(t, h.Colleague, p, "grace")

		if _, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Service.Token(ctx, h.Colleague.Caller, a.ID, 0); err == nil {
			t.Fatal("a colleague got the token")
		}
		if _, err := h.Service.Reset(ctx, h.User.Caller, a.ID); err != nil {
			t.Fatal(err)
		}
		if err := h.Service.Disconnect(ctx, h.Colleague.Caller, gone.ID); err != nil {
			t.Fatal(err)
		}
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Error: "invalid_grant", Times: 1})
		if _, err := h.Service.Reset(ctx, h.User.Caller, a.ID); err == nil {
			t.Fatal("a refresh that the upstream refused succeeded")
		}
		stats, err := h.Service.StartStats(ctx, h.Admin.Caller)
		if err != nil {
			t.Fatal(err)
		}
		brokertest.Eventually(t, "the statistics are counted", func() bool {
			j, err := h.Service.Job(ctx, h.Admin.Caller, stats.ID)
			return err == nil && j.Status == models.JobCompleted
		})

		brokertest.Eventually(t, "events wait for the webhook", func() bool {
			waiting, err := h.Store.WaitingDeliveries(ctx)
			return err == nil && slices.ContainsFunc(waiting, func(w store.WaitingDeliveries) bool { return w.Wait == store.WaitsUnconfirmed && w.N >= 5 })
		})

		brokertest.Eventually(t, "a sweep is over", func() bool {
			families, _ := scrape(t, h.MetricsURL)
			return value(families, "grantd_sweeps_total", "outcome", "done") > 0
		})
		families, body := scrape(t, h.MetricsURL)
		for _, want := range []struct {
			n      float64
			name   string
			labels []string
		}{
			{1, "grantd_token_fetches_total", []string{"result", "served", "freshness", "fresh"}},
			{1, "grantd_token_fetches_total", []string{"result", "not_found"}},
			{1, "grantd_refreshes_total", []string{"type", "test", "outcome", "tokens"}},
			{1, "grantd_refreshes_total", []string{"type", "test", "outcome", "ended"}},
			{2, "grantd_refresh_duration_seconds", []string{"type", "test"}},
			{1, "grantd_authorizations_expired_total", []string{"reason", "upstream"}},
			{2, "grantd_consents_begun_total", []string{"channel", "api"}},
			{2, "grantd_consents_ended_total", []string{"step", "exchanged", "outcome", "done"}},
			{1, "grantd_revocations_total", []string{"outcome", "revoked"}},
			{3, "grantd_upstream_calls_total", []string{"type", "test", "class", "token", "status", "2xx"}},
			{1, "grantd_upstream_calls_total", []string{"type", "test", "class", "token", "status", "4xx"}},
			{1, "grantd_dependency_up", []string{"dependency", "sql"}},
			{1, "grantd_dependency_up", []string{"dependency", "redis"}},
			{1, "grantd_connections", []string{"status", "expired"}},
			{0, "grantd_connections", []string{"status", "active"}},
			{0, "grantd_jobs", []string{"type", "DELETE_PROVIDER"}},
			{5, "grantd_webhook_deliveries_waiting", []string{"wait", "unconfirmed"}}, // two consents, a disconnect, an expiry, a job
			{0, "grantd_webhook_deliveries_waiting", []string{"wait", "off"}},
			{1, "grantd_build_info", []string{"version", "test"}},
			{0, "grantd_snapshot_errors_total", nil},
		} {
			if got := value(families, want.name, want.labels...); got != want.n {
				t.Errorf("%s%v is %v, want %v", want.name, want.labels, got, want.n)
			}
		}
		for _, some := range [][]string{{"grantd_jobs_ended_total", "type", "STATS", "status", "COMPLETED"}, {"grantd_upstream_calls_total", "type", "test", "class", "revoke"},
			{"grantd_tasks_total", "kind", "job:stats"}, {"grantd_sweep_duration_seconds", "part", "retention"}, {"grantd_database_connections_max"}} {
			if value(families, some[0], some[1:]...) == 0 {
				t.Errorf("%v is 0", some)
			}
		}
		for name := range metrics.Closed() {
			// What has open labels appears with the first request over HTTP, of which there was none, and a histogram with its first value.
			if families[name] == nil && !strings.HasSuffix(name, "_seconds") && !strings.HasPrefix(name, "grantd_http_") && name != "grantd_budget_left_ratio" {
				t.Errorf("%s is not told", name)
			}
		}
		promtool(t, body)
	})
}

// promtool holds Prometheus' conventions against what a process tells.
func promtool(t *testing.T, told []byte) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("GRANTD_TEST_REQUIRE_SERVICES") == "1" {
			t.Fatal("promtool is not installed; Debian has it in the package prometheus")
		}
		t.Skip("left out: promtool check metrics, for want of promtool")
	}
	cmd := exec.CommandContext(t.Context(), path, "check", "metrics")
	cmd.Stdin = bytes.NewReader(told)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// A value that is in no list counts as "other", so that no database and no upstream can make up
// labels.
func TestUnknownValuesCountAsOther(t *testing.T) {
	m := metrics.New("1")
	m.UpstreamCalled(providers.Call{Type: "made up", Class: providers.CallToken, Status: 204, Took: time.Second})
	m.PauseBegun("made up", store.ClassToken)
	m.TaskRan("made up", errors.New("failed"), time.Second)
	m.SweepPart("made up", time.Second)
	changes := m.Changes()
	changes.JobEnded("MADE_UP", models.JobError)
	changes.Revoked("made_up", 3)
	changes.Expired("made_up")
	changes.FlowsEnded("made_up", "issuer", 2)
	server := httptest.NewServer(m.Handler())
	defer server.Close()
	families, _ := scrape(t, server.URL)
	for name, n := range map[string]float64{"grantd_upstream_calls_total": 1, "grantd_pauses_begun_total": 1, "grantd_tasks_total": 1,
		"grantd_jobs_ended_total": 1, "grantd_revocations_total": 3, "grantd_consents_ended_total": 2} {
		label := map[string]string{"grantd_tasks_total": "kind", "grantd_revocations_total": "outcome", "grantd_consents_ended_total": "step"}[name]
		if label == "" {
			label = "type"
		}
		if got := value(families, name, label, "other"); got != n {
			t.Errorf("%s counts %v others, want %v", name, got, n)
		}
	}
	if value(families, "grantd_authorizations_expired_total", "reason", "upstream") != 1 {
		t.Error("an upstream's own error code is not counted as upstream")
	}
}

// The lists in the definitions are those of the code.
func TestNoValueIsMissingFromALabel(t *testing.T) {
	h := brokertest.New(t, nil)
	brokertest.Eventually(t, "a sweep is over", func() bool {
		families, _ := scrape(t, h.MetricsURL)
		return value(families, "grantd_sweeps_total") > 0
	})
	families, _ := scrape(t, h.MetricsURL)
	for _, part := range metrics.SweepParts {
		if value(families, "grantd_sweep_duration_seconds", "part", part) == 0 {
			t.Errorf("a sweep has no part %q", part)
		}
	}
	if value(families, "grantd_sweep_duration_seconds", "part", "other") > 0 {
		t.Error("a part of a sweep is not in the list")
	}
	kinds := metrics.Closed()["grantd_tasks_total"]["kind"]
	for _, task := range h.Service.Tasks() {
		if !slices.Contains(kinds, task.Kind) {
			t.Errorf("the kind of task %s is not in the list", task.Kind)
		}
	}
}

// Where the database does not answer, what it knows is missing, and that is counted.
func TestADatabaseThatIsAwayIsTold(t *testing.T) {
	h := brokertest.New(t, nil)
	if err := h.Store.Close(); err != nil {
		t.Fatal(err)
	}
	families, _ := scrape(t, h.MetricsURL)
	if value(families, "grantd_dependency_up", "dependency", "sql") != 0 || families["grantd_dependency_up"] == nil {
		t.Error("the database is told to be up")
	}
	if families["grantd_jobs"] != nil {
		t.Error("jobs are told that nobody counted")
	}
	if families, _ = scrape(t, h.MetricsURL); value(families, "grantd_snapshot_errors_total") == 0 {
		t.Error("the failed snapshot is not counted")
	}
}
