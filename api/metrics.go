package api

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grantd/grantd/metrics"
)

// requests counts requests by the pattern of their route, never by an id.
type requests struct {
	metrics *metrics.Metrics

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

func newRequests(m *metrics.Metrics) *requests {
	if m == nil {
		m = metrics.New("")
	}
	return &requests{metrics: m, known: map[series]observers{}}
}

func (r *requests) observe(s series, took time.Duration) {
	o := r.observers(s)
	o.requests.Inc()
	if o.took != nil {
		o.took.Observe(took.Seconds())
	}
}

// observers remembers as many as there are routes, methods and statuses.
func (r *requests) observers(s series) observers {
	r.mu.RLock()
	o, ok := r.known[s]
	r.mu.RUnlock()
	if ok {
		return o
	}
	o.requests = r.metrics.Requests(s.route, s.method, s.status)
	if !s.waited {
		o.took = r.metrics.RequestTimes(s.route, s.method)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[s] = o
	return o
}

func (r *requests) handler() http.Handler {
	h := r.metrics.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		h.ServeHTTP(w, req)
	})
}
