package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts tasks by kind, never by an id.
type metrics struct {
	tasks  *prometheus.CounterVec
	took   *prometheus.HistogramVec
	sweeps *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		tasks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "grantd_tasks_total", Help: "Tasks that were run.",
		}, []string{"kind", "outcome"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "grantd_task_duration_seconds", Help: "How long tasks took.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"kind"}),
		sweeps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "grantd_sweeps_total", Help: "Sweeps for work that is due.",
		}, []string{"outcome"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.tasks, m.took, m.sweeps} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) ran(kind string, err error, took time.Duration) {
	m.tasks.WithLabelValues(kind, outcome(err)).Inc()
	m.took.WithLabelValues(kind).Observe(took.Seconds())
}

func (m *metrics) swept(err error) { m.sweeps.WithLabelValues(outcome(err)).Inc() }

func outcome(err error) string {
	if err != nil {
		return "failed"
	}
	return "done"
}
