package jobs

import "time"

// The queues. Slices of a deletion have one of their own, so that a long
// deletion does not hold up what somebody is waiting for.
const (
	QueueDefault = "default"
	QueueSlices  = "slices"
)

// Queues says by what to divide a worker's concurrency for each queue. A slice has
// many revocations in flight, so that few of them keep a process busy.
var Queues = map[string]int{QueueDefault: 1, QueueSlices: 2}

// taskTimeout bounds one run. It is far above a slice's 5 s plus the calls in
// flight; a run that meets it has hung.
const taskTimeout = 60 * time.Second

// Task is one ring of the bell. No kind is ever retried or retained by asynq:
// a task that failed is rung again by the sweeper, as SQL decides.
type Task struct {
	Kind    string // the name that the worker's handlers are registered under
	Queue   string
	ID      string // of the row and the ring: the same ring is never queued twice
	Payload []byte
}
