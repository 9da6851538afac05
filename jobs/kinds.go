package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/hibiken/asynq"
)

// The kinds of task. Their names and payloads are a contract between releases: during a
// deploy old workers meet new tasks.
var (
	// DeleteProvider works on a slice of a provider's deletion. Several tasks of one job
	// run at the same time, each with a ring and a slice of its own.
	DeleteProvider = Kind[JobRing]{"job:delete_provider", QueueSlices}
	// RevokeUser works on a slice of revoking all that a user granted.
	RevokeUser = Kind[JobRing]{"job:revoke_user", QueueSlices}
	// ResetProvider works on a slice of replacing all tokens of a provider.
	ResetProvider = Kind[JobRing]{"job:reset_provider", QueueSlices}
	// Stats counts an organisation's authorizations.
	Stats = Kind[JobRing]{"job:stats", QueueDefault}
	// Revoke revokes a single authorization that was disconnected.
	Revoke = Kind[AuthorizationRing]{"authorization:revoke", QueueDefault}
)

// KindNames returns the names of all kinds.
func KindNames() []string {
	return []string{DeleteProvider.Name, RevokeUser.Name, ResetProvider.Name, Stats.Name, Revoke.Name}
}

// Kind is a kind of task: the name that workers know it by, the queue that it waits in,
// and P, what its payload says.
type Kind[P payload] struct {
	Name  string
	Queue string
}

// payload names a row in SQL and says which ring this is.
type payload interface {
	row() (id string, ring int64)
}

// JobRing is the payload of a task about a job.
type JobRing struct {
	JobID string `json:"jobId"`
	Ring  int64  `json:"ring"`
}

func (r JobRing) row() (string, int64) { return r.JobID, r.Ring }

// AuthorizationRing is the payload of a task about one authorization.
type AuthorizationRing struct {
	AuthorizationID string `json:"authorizationId"`
	Ring            int64  `json:"ring"`
}

func (r AuthorizationRing) row() (string, int64) { return r.AuthorizationID, r.Ring }

// Task makes the task of one ring. The ring is part of the task's id because asynq
// blocks the id of a task that it archived.
func (k Kind[P]) Task(p P) Task {
	encoded, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("jobs: payload of %s: %v", k.Name, err)) // only ids and numbers: cannot happen
	}
	id, ring := p.row()
	return Task{Kind: k.Name, Queue: k.Queue, ID: id + ":" + strconv.FormatInt(ring, 10), Payload: encoded}
}

// Parse reads a payload and refuses one that names no row.
func (k Kind[P]) Parse(encoded []byte) (P, error) {
	var p P
	err := json.Unmarshal(encoded, &p)
	if id, _ := p.row(); err == nil && id == "" {
		err = errors.New("the id is missing")
	}
	if err != nil {
		return p, fmt.Errorf("payload of %s: %w: %w", k.Name, err, asynq.SkipRetry)
	}
	return p, nil
}

// Handler does the tasks of one kind.
type Handler struct {
	Kind string
	Run  func(ctx context.Context, payload []byte) error
}

// Handle returns the handler that calls do with the id of the row that a task names.
func (k Kind[P]) Handle(do func(ctx context.Context, id string) error) Handler {
	return Handler{Kind: k.Name, Run: func(ctx context.Context, encoded []byte) error {
		p, err := k.Parse(encoded)
		if err != nil {
			return err
		}
		id, _ := p.row()
		return do(ctx, id)
	}}
}
