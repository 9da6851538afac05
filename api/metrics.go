package api

import (
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics counts requests by the pattern of their route, never by an id.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec

	mu    sync.RWMutex
	known map[series]observers
}

// series is what requests are counted apart by. What waited is counted and not
// timed.
type series struct {
	route, method string
	status        int
	waited        bool
}

// observers are kept: finding them by their labels costs more than counting.
type observers struct {
	requests prometheus.Counter
	took     prometheus.Observer // nil for what waited
}

func newMetrics(r *prometheus.Registry) *metrics {
	if r == nil {
		r = prometheus.NewRegistry()
	}
	m := &metrics{
		registry: r,
		known:    map[series]observers{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "grantd_http_requests_total",
			Help: "Requests answered.",
		}, []string{"route", "method", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "grantd_http_request_duration_seconds",
			Help:    "How long requests took, but for those that wait for a job.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "method"}),
	}
	r.MustRegister(m.requests, m.took)
	register(r, collectors.NewGoCollector())
	register(r, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// register puts up with a collector that is there already: the worker in the
// same process brings the same ones.
func register(r *prometheus.Registry, c prometheus.Collector) {
	var twice prometheus.AlreadyRegisteredError
	if err := r.Register(c); err != nil && !errors.As(err, &twice) {
		panic(err)
	}
}

func (m *metrics) observe(s series, took time.Duration) {
	o := m.observers(s)
	o.requests.Inc()
	if o.took != nil {
		o.took.Observe(took.Seconds())
	}
}

// observers remembers as many as there are routes, methods and statuses.
func (m *metrics) observers(s series) observers {
	m.mu.RLock()
	o, ok := m.known[s]
	m.mu.RUnlock()
	if ok {
		return o
	}
	o.requests = m.requests.WithLabelValues(s.route, s.method, strconv.Itoa(s.status))
	if !s.waited {
		o.took = m.took.WithLabelValues(s.route, s.method)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[s] = o
	return o
}

func (m *metrics) handler() http.Handler {
	h := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		h.ServeHTTP(w, r)
	})
}
