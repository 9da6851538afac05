package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

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

// newTask makes the task of ring number ring for the row id. The ring is part of
// the task's id because asynq blocks the id of a task that it archived.
func newTask(kind, queue, id string, ring int64, payload any) Task {
	encoded, err := json.Marshal(payload)
	if err != nil {
		panic(fmt.Sprintf("jobs: payload of %s: %v", kind, err)) // only ids and numbers: cannot happen
	}
	return Task{Kind: kind, Queue: queue, ID: id + ":" + strconv.FormatInt(ring, 10), Payload: encoded}
}

// parse reads a payload and refuses one that names no row.
func parse[P any](kind string, payload []byte, id func(P) string) (P, error) {
	var p P
	err := json.Unmarshal(payload, &p)
	if err == nil && id(p) == "" {
		err = errors.New("the id is missing")
	}
	if err != nil {
		return p, fmt.Errorf("payload of %s: %w", kind, err)
	}
	return p, nil
}
