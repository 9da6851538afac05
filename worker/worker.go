package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/metrics"
	"github.com/grantd/grantd/traces"
)

// Options are what a Worker is made of.
type Options struct {
	Service *broker.Service
	Redis   *jobs.Redis
	// Log defaults to none.
	Log *slog.Logger
	// SweepEvery is the pause between sweeps; 0 means 2 s.
	SweepEvery time.Duration
	// Grace is how long Shutdown lets tasks finish; 0 means 8 s.
	Grace time.Duration
	// Metrics defaults to some that nobody reads.
	Metrics *metrics.Metrics
	// Traces gets a span for each task; nil for none.
	Traces *traces.Tracer
}

// Worker works on what the bell announces, and sweeps.
type Worker struct {
	service   *broker.Service
	sweepOnce func(context.Context) error
	deliver   func(context.Context) // events, until the context ends
	redis     *jobs.Redis
	log       *slog.Logger
	every     time.Duration
	grace     time.Duration
	metrics   *metrics.Metrics
	traces    *traces.Tracer
	kinds     map[string]task

	listener  *jobs.Listener
	servers   []*asynq.Server
	stopSweep context.CancelFunc
	sweeping  sync.WaitGroup
	// delivering is what delivers events to webhooks.
	delivering sync.WaitGroup
	stopTasks  context.CancelFunc
	tasks      sync.WaitGroup
}

// New builds a Worker. It opens nothing and starts nothing.
func New(o Options) (*Worker, error) {
	if o.Service == nil || o.Redis == nil {
		return nil, errors.New("a worker needs a service and a Redis")
	}
	w := &Worker{
		service: o.Service, sweepOnce: o.Service.Sweep, deliver: o.Service.DeliverEvents, redis: o.Redis, log: o.Log,
		every: o.SweepEvery, grace: o.Grace, metrics: o.Metrics, traces: o.Traces,
	}
	w.setDefaults()
	w.kinds = tasksOf(w.service)
	return w, nil
}

func (w *Worker) setDefaults() {
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.metrics == nil {
		w.metrics = metrics.New("")
	}
	if w.every <= 0 {
		w.every = 2 * time.Second
	}
	if w.grace <= 0 {
		w.grace = 8 * time.Second
	}
}

// Start begins to sweep, to listen and to deliver events, and returns. A Redis that is away is no
// error: asynq asks until it is back, and sweeping needs SQL only.
func (w *Worker) Start() error {
	taskContext, stopTasks := context.WithCancel(context.Background())
	w.stopTasks = stopTasks
	w.listener = jobs.NewListener(w.redis)
	for queue, places := range jobs.Queues {
		server := asynq.NewServer(w.listener, w.config(taskContext, queue, places))
		if err := server.Start(asynq.HandlerFunc(w.process)); err != nil {
			return fmt.Errorf("starting to listen for tasks: %w", err)
		}
		w.servers = append(w.servers, server)
	}
	sweepContext, stopSweep := context.WithCancel(context.Background())
	w.stopSweep = stopSweep
	w.sweeping.Go(func() { w.sweepUntil(sweepContext) })
	w.delivering.Go(func() { w.deliverUntil(sweepContext) })
	return nil
}

// config is for one queue: with a server of its own it cannot be kept waiting by
// the other. It leaves out asynq's retries: tasks are enqueued without.
func (w *Worker) config(ctx context.Context, queue string, concurrency int) asynq.Config {
	redis := complaint{log: w.log, what: "asking Redis for tasks"}
	return asynq.Config{
		BaseContext: func() context.Context { return ctx },
		Concurrency: concurrency,
		Queues:      map[string]int{queue: 1},
		// The Listener decides how long a request to an empty queue is delayed; what asynq
		// sleeps comes on top of it.
		TaskCheckInterval:        2 * time.Millisecond,
		DelayedTaskCheckInterval: time.Second,
		ShutdownTimeout:          w.grace,
		Logger:                   quietLog{w.log},
		LogLevel:                 asynq.DebugLevel,
		HealthCheckInterval:      5 * time.Second,
		HealthCheckFunc:          redis.note,
	}
}

// What Shutdown waits for at most, beyond the grace: asynq, which may be waiting
// for a Redis that hangs, and tasks that were told to stop.
const (
	waitForRedis = 2 * time.Second
	waitForTasks = 3 * time.Second
)

// Shutdown stops sweeping and listening, lets tasks finish for a while, then
// cancels them and waits a little more. What they leave undone is in SQL.
func (w *Worker) Shutdown() {
	if w.stopSweep == nil {
		return
	}
	w.service.StopSlices()
	w.stopSweep()
	w.sweeping.Wait()
	w.listener.Close()
	if !within(w.grace, w.delivering.Wait) {
		w.log.Warn("receivers of webhooks did not answer in time; what was sent to them is sent again")
	}
	if !within(w.grace+waitForRedis, w.shutdownServers) {
		w.log.Warn("Redis did not let the worker go")
	}
	w.stopTasks()
	if !within(waitForTasks, w.tasks.Wait) {
		w.log.Warn("tasks did not stop in time; the next sweep takes them over")
	}
}

func (w *Worker) shutdownServers() {
	var all sync.WaitGroup
	for _, server := range w.servers {
		all.Go(server.Shutdown)
	}
	all.Wait()
}

// within reports whether f returned in time.
func within(d time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}
