package models

import "time"

// JobType is a kind of job.
type JobType string

// The kinds.
const (
	JobDeleteProvider JobType = "DELETE_PROVIDER"
	JobResetProvider  JobType = "RESET_PROVIDER"
	JobRevokeUser     JobType = "REVOKE_USER"
	JobStats          JobType = "STATS"
)

// JobTypes lists every kind of job.
var JobTypes = []JobType{JobDeleteProvider, JobResetProvider, JobRevokeUser, JobStats}

// JobStatus is where a job stands: PENDING → RUNNING → COMPLETED or ERROR.
type JobStatus string

// The statuses.
const (
	JobPending   JobStatus = "PENDING"
	JobRunning   JobStatus = "RUNNING"
	JobCompleted JobStatus = "COMPLETED"
	JobError     JobStatus = "ERROR"
)

// JobStatuses lists every status of a job.
var JobStatuses = []JobStatus{JobPending, JobRunning, JobCompleted, JobError}

// Final reports whether nothing more will happen to a job in this status.
func (s JobStatus) Final() bool { return s == JobCompleted || s == JobError }

// Detail is one named value of a job: a string, or a list of strings.
type Detail struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

// Job is work that outlives the request which asked for it. The row is the
// truth; the task in Redis is only the doorbell.
type Job struct {
	ID         string     `gorm:"primaryKey" json:"id"`
	OrgID      string     `json:"orgId"`
	Type       JobType    `json:"type"`
	Name       string     `json:"name"`
	Status     JobStatus  `json:"status"`
	ProviderID *string    `json:"-"` // of a deletion or a reset
	UserID     *string    `json:"-"` // whose authorizations a REVOKE_USER job takes
	StartedAt  *time.Time `json:"startedAt"`
	FinishedAt *time.Time `json:"finishedAt"`
	// Details is what is read: derived from the columns below for a deletion,
	// stored for the others.
	Details Details `json:"details"`

	Resumes   *string `json:"-"` // the job in ERROR that this one goes on with
	Force     bool    `json:"-"` // give up on the upstream
	DedupeKey *string `json:"-"` // at most one job per key
	Failure   string  `json:"-"` // why it ended in ERROR, safe to show

	Total          int64   `json:"-"`
	Revoked        int64   `json:"-"`
	AlreadyRevoked int64   `json:"-"`
	Superseded     int64   `json:"-"`
	NoLiveToken    int64   `json:"-"`
	Unsupported    int64   `json:"-"`
	Failed         int64   `json:"-"`
	Abandoned      int64   `json:"-"`
	Kept           int64   `json:"-"` // of the superseded: tokens that are kept, to be revoked with the grant's last authorization
	Spared         int64   `json:"-"` // authorizations whose grant was not revoked whole, because of another organisation's
	SampleIDs      Strings `json:"-"` // the first authorizations, capped

	RefusedItems Strings `json:"-"` // authorizations whose revocation the upstream refused to the client, in a row

	Ring      int64     `json:"-"` // how often the bell was rung; part of the task's id
	DueAt     time.Time `json:"-"` // when the sweeper rings again
	CreatedBy string    `json:"-"`
	CreatedAt time.Time `json:"-"`
}

// Revokes reports whether the job takes authorizations back upstream, one item
// after the other.
func (j Job) Revokes() bool { return j.Type == JobDeleteProvider || j.Type == JobRevokeUser }

// Count returns how many items ended with the outcome.
func (j Job) Count(o Outcome) int64 {
	switch o {
	case OutcomeRevoked:
		return j.Revoked
	case OutcomeAlreadyRevoked:
		return j.AlreadyRevoked
	case OutcomeSuperseded:
		return j.Superseded
	case OutcomeNoLiveToken:
		return j.NoLiveToken
	case OutcomeUnsupported:
		return j.Unsupported
	case OutcomeFailed:
		return j.Failed
	case OutcomeAbandoned:
		return j.Abandoned
	default: // an outcome that only a reset has
		return 0
	}
}

// Settled returns how many items have an outcome.
func (j Job) Settled() int64 {
	var n int64
	for _, o := range Outcomes {
		n += j.Count(o)
	}
	return n
}
