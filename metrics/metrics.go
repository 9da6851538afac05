package metrics

import (
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// Metrics is what one process counts. It is safe for concurrent use.
type Metrics struct {
	registry   *prometheus.Registry
	counters   map[string]*prometheus.CounterVec
	gauges     map[string]*prometheus.GaugeVec
	histograms map[string]*prometheus.HistogramVec
	allowed    map[string][]label

	fetched map[fetch]prometheus.Counter // every fetch counts here, and finding a counter by its labels costs more than counting
	swept   atomic.Int64                 // Unix milliseconds of when a sweep last ended well
}

type fetch struct {
	result    string
	freshness Freshness
}

// New makes the metrics of a process, with all counters at 0.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		counters: map[string]*prometheus.CounterVec{}, gauges: map[string]*prometheus.GaugeVec{}, histograms: map[string]*prometheus.HistogramVec{},
		allowed: map[string][]label{}, fetched: map[fetch]prometheus.Counter{},
	}
	for _, d := range definitions {
		m.allowed[d.name] = d.labels // calls are counted before Watch is called, and meanwhile
		if !d.snapshot && !d.asked {
			m.define(d)
		}
	}
	m.gauges[buildInfo].WithLabelValues(version, runtime.Version()).Set(1)
	for _, result := range append([]string{served}, codes...) {
		for _, freshness := range []Freshness{Fresh, RefreshIn, NoToken} {
			m.fetched[fetch{result, freshness}] = m.counters[tokenFetches].WithLabelValues(result, string(freshness))
		}
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) define(d definition) {
	names := make([]string, len(d.labels))
	for i, l := range d.labels {
		names[i] = l.name
	}
	switch d.kind {
	case counter:
		m.counters[d.name] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.name, Help: d.help}, names)
		m.registry.MustRegister(m.counters[d.name])
		for _, values := range combinations(d.labels) { // a counter that appears with its first event hides that event from rate()
			m.counters[d.name].WithLabelValues(values...)
		}
	case gauge:
		m.gauges[d.name] = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.name, Help: d.help}, names)
		m.registry.MustRegister(m.gauges[d.name])
		if len(names) == 0 {
			m.gauges[d.name].WithLabelValues()
		}
	case histogram:
		m.histograms[d.name] = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.name, Help: d.help, Buckets: d.buckets}, names)
		m.registry.MustRegister(m.histograms[d.name])
	}
}

// combinations returns every combination of the values of labels, none where a label is
// open.
func combinations(labels []label) [][]string {
	all := [][]string{nil}
	for _, l := range labels {
		var longer [][]string
		for _, begun := range all {
			for _, v := range l.values {
				longer = append(longer, append(slices.Clone(begun), v))
			}
		}
		all = longer
	}
	return all
}

// closed replaces values that a metric's labels do not have by "other".
func (m *Metrics) closed(name string, values []string) []string {
	for i, l := range m.allowed[name] {
		if l.open == "" && !slices.Contains(l.values, values[i]) {
			values[i] = other
		}
	}
	return values
}

func (m *Metrics) count(name string, n float64, values ...string) {
	m.counters[name].WithLabelValues(m.closed(name, values)...).Add(n)
}

func (m *Metrics) observe(name string, v float64, values ...string) {
	m.histograms[name].WithLabelValues(m.closed(name, values)...).Observe(v)
}

// Handler serves everything in Prometheus' format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Requests returns what counts the requests of a route that were answered with a status.
// Callers keep it: finding it costs more than counting.
func (m *Metrics) Requests(route, method string, status int) prometheus.Counter {
	return m.counters[httpRequests].WithLabelValues(route, method, strconv.Itoa(status))
}

// RequestTimes returns what times the requests of a route. Callers keep it, too.
func (m *Metrics) RequestTimes(route, method string) prometheus.Observer {
	return m.histograms[httpSeconds].WithLabelValues(route, method)
}

// TokenFetched counts a fetch of an access token: l is what was served, err why nothing was.
func (m *Metrics) TokenFetched(l *models.Linked, err error) {
	f := fetch{served, Fresh}
	switch {
	case err != nil:
		f = fetch{string(models.CodeOf(err)), NoToken}
	case l.RefreshDue():
		f.freshness = RefreshIn
	}
	if c, ok := m.fetched[f]; ok {
		c.Inc()
	}
}

// Refreshed counts a refresh by what the upstream answered, and times the answer.
func (m *Metrics) Refreshed(providerType string, o RefreshOutcome, took time.Duration) {
	m.count(refreshes, 1, providerType, string(o))
	m.observe(refreshSeconds, took.Seconds(), providerType)
}

// LeaseWaited times the wait, since began, for another process that refreshes the same tokens.
func (m *Metrics) LeaseWaited(began time.Time) { m.observe(leaseWaits, time.Since(began).Seconds()) }

// SaveWaits counts tokens that cannot be saved for now. The result is to be called when they
// are.
func (m *Metrics) SaveWaits() (saved func()) {
	waiting := m.gauges[savesWaiting].WithLabelValues()
	waiting.Inc()
	return waiting.Dec
}

// Undecryptable counts a stored secret that did not open.
func (m *Metrics) Undecryptable() { m.count(undecryptable, 1) }

// UpstreamCalled counts and times a call to an upstream. It is what providers.Options.Observe
// takes.
func (m *Metrics) UpstreamCalled(c providers.Call) {
	status := "none"
	if c.Status > 0 {
		status = strconv.Itoa(c.Status/100) + "xx"
	}
	m.count(upstreamCalls, 1, c.Type, string(c.Class), status)
	m.observe(upstreamSeconds, c.Took.Seconds(), c.Type, string(c.Class))
}

// PauseBegun counts a time for which calls of a class are put off.
func (m *Metrics) PauseBegun(providerType string, class store.Class) {
	m.count(pausesBegun, 1, providerType, string(class))
}

// BudgetAsked notes which part of an upstream's budget was left, from 0 to 1, when work in the
// background asked for calls of a class.
func (m *Metrics) BudgetAsked(providerType string, class store.Class, left float64) {
	switch class { // what is asked for ahead of callers is noted apart, and is the same budget
	case store.ClassTokenPace:
		class = store.ClassToken
	case store.ClassRevokePace:
		class = store.ClassRevoke
	case store.ClassToken, store.ClassRevoke, store.ClassAPI:
	}
	m.observe(budgetLeft, left, providerType, string(class))
}

// Changes has changes of the store counted once they are committed.
func (m *Metrics) Changes() store.Observer {
	return store.Observer{
		FlowBegun: func(c models.Channel) { m.count(consentsBegun, 1, string(c)) },
		FlowsEnded: func(at models.FlowStatus, failure string, n int64) {
			m.count(consentsEnded, float64(n), string(at), string(consentOutcome(failure)))
		},
		JobEnded: func(t models.JobType, s models.JobStatus) { m.count(jobsEnded, 1, string(t), string(s)) },
		Revoked:  func(o models.Outcome, n int) { m.count(revocations, float64(n), string(o)) },
		Expired: func(r models.Reason) {
			if models.Reasons[r] == "" { // an error code, in the upstream's words
				r = "upstream"
			}
			m.count(expirations, 1, string(r))
		},
	}
}

// DeliveryTried counts an attempt to deliver an event to a webhook. status is that of the answer, 0 for none.
func (m *Metrics) DeliveryTried(status int) {
	r := DeliveryRefused
	switch status / 100 {
	case 0:
		r = DeliveryUnanswered
	case 2:
		r = DeliveryAccepted
	}
	m.count(deliveries, 1, string(r))
}

// WebhookOff counts a webhook that was switched off, for a reason of models.
func (m *Metrics) WebhookOff(reason string) { m.count(webhooksOff, 1, reason) }

func consentOutcome(failure string) ConsentOutcome {
	switch failure {
	case "":
		return ConsentDone
	case providers.ConsentDenied, "declined":
		return ConsentDeclined
	case "expired":
		return ConsentExpired
	case "lost_response":
		return ConsentLost
	}
	return ConsentFailed
}

// TaskRan counts and times a task.
func (m *Metrics) TaskRan(kind string, err error, took time.Duration) {
	m.count(tasks, 1, kind, string(resultOf(err)))
	m.observe(taskSeconds, took.Seconds(), kind)
}

// SweepPart times a part of a sweep.
func (m *Metrics) SweepPart(part string, took time.Duration) {
	m.observe(sweepSeconds, took.Seconds(), part)
}

// Swept counts a sweep.
func (m *Metrics) Swept(err error) {
	m.count(sweeps, 1, string(resultOf(err)))
	if err == nil {
		m.swept.Store(time.Now().UnixMilli())
	}
}

func resultOf(err error) Result {
	if err != nil {
		return Failed
	}
	return Done
}
