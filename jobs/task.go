package jobs

import "time"

// The queues. Slices of a deletion have one of their own, so that a long
// deletion does not hold up what somebody is waiting for.
const (
	QueueDefault = "default"
	QueueSlices  = "slices"
)

// Queues says how many tasks of each queue a worker runs at once. They mostly wait, for
// upstreams and for places of their organisation; what they may have in flight is limited
// apart from this. The broker divides these places among the organisations.
var Queues = map[string]int{QueueDefault: 64, QueueSlices: 32}

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
