package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Snapshot is what the database and Redis know of all processes together.
type Snapshot struct {
	Jobs     []store.OpenJobs
	Pauses   map[store.Class]int64
	Troubled map[models.Trouble]int64
	// Connections are those of the last STATS job of each organisation; CountedAge is the age
	// of the oldest of these jobs.
	Connections map[models.AuthorizationStatus]int64
	CountedAge  time.Duration
	Queues      []jobs.QueueSize
	Deliveries  []store.WaitingDeliveries
}

// Sources are what is asked when somebody scrapes.
type Sources struct {
	// Reach asks Redis and the database whether they answer.
	Reach func(ctx context.Context) map[Dependency]error
	// Snapshot is nil in processes that are no workers.
	Snapshot func(ctx context.Context) (Snapshot, error)
	// Pool tells how the connections to the database are used.
	Pool func() store.PoolStats
}

const (
	scrapeTimeout = 5 * time.Second
	// snapshotLife is how long a snapshot is told again: however many scrape, the database is
	// asked no more often.
	snapshotLife = 10 * time.Second
)

// Watch has the sources asked with each scrape.
func (m *Metrics) Watch(s Sources) {
	c := &collector{m: m, sources: s, described: map[string]*prometheus.Desc{}}
	if s.Snapshot != nil {
		m.swept.CompareAndSwap(0, time.Now().UnixMilli())
	}
	for _, d := range definitions {
		if d.asked && d.told == "all" || s.Snapshot != nil && (d.snapshot || d.asked) {
			names := make([]string, len(d.labels))
			for i, l := range d.labels {
				names[i] = l.name
			}
			c.described[d.name] = prometheus.NewDesc(d.name, d.help, names, nil)
		}
	}
	m.registry.MustRegister(c)
}

// collector implements prometheus.Collector.
type collector struct {
	m         *Metrics
	sources   Sources
	described map[string]*prometheus.Desc

	mu    sync.Mutex
	taken time.Time
	last  Snapshot
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.described {
		to <- d
	}
}

// Collect implements prometheus.Collector. Where a source does not answer its metrics are
// missing, and that is counted.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	send := func(t prometheus.ValueType, name string, v float64, values []string) {
		to <- prometheus.MustNewConstMetric(c.described[name], t, v, c.m.closed(name, values)...)
	}
	tell := func(name string, v float64, values ...string) { send(prometheus.GaugeValue, name, v, values) }
	pool := c.sources.Pool()
	tell(poolConnections, float64(pool.Used), string(ConnectionUsed))
	tell(poolConnections, float64(pool.Idle), string(ConnectionIdle))
	tell(poolMax, float64(pool.Max))
	send(prometheus.CounterValue, poolWaits, float64(pool.Waits), nil)
	send(prometheus.CounterValue, poolWaited, pool.Waited.Seconds(), nil)
	for dependency, err := range c.sources.Reach(ctx) {
		tell(dependencyUp, boolean(err == nil), string(dependency))
	}
	if c.sources.Snapshot == nil {
		return
	}
	tell(sweepLag, time.Since(time.UnixMilli(c.m.swept.Load())).Seconds())
	s, err := c.snapshot(ctx)
	if err != nil {
		c.m.count(snapshotErrors, 1)
		return
	}
	for _, j := range s.Jobs {
		tell(jobsNow, float64(j.N), string(j.Type), string(j.Status))
		tell(jobsOldest, j.Oldest.Seconds(), string(j.Type), string(j.Status))
	}
	for class, n := range s.Pauses {
		tell(pausesNow, float64(n), string(class))
	}
	for trouble, n := range s.Troubled {
		tell(troubledProviders, float64(n), string(trouble))
	}
	for status, n := range s.Connections {
		tell(connections, float64(n), string(status))
	}
	tell(connectionsAge, s.CountedAge.Seconds())
	for _, q := range s.Queues {
		tell(queueTasks, float64(q.Pending), q.Queue, string(TaskPending))
		tell(queueTasks, float64(q.Active), q.Queue, string(TaskActive))
		tell(queueOldest, q.Oldest.Seconds(), q.Queue)
	}
	for _, d := range s.Deliveries {
		tell(deliveriesWaiting, float64(d.N), string(d.Wait))
		tell(deliveriesOldest, d.Oldest.Seconds(), string(d.Wait))
	}
}

// snapshot returns one that is young enough, or takes one.
func (c *collector) snapshot(ctx context.Context) (Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.taken) < snapshotLife {
		return c.last, nil
	}
	s, err := c.sources.Snapshot(ctx)
	if err == nil {
		c.last, c.taken = s, time.Now()
	}
	return s, err
}

func boolean(v bool) float64 {
	if v {
		return 1
	}
	return 0
}
