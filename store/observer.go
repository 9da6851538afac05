package store

import "github.com/grantd/grantd/models"

// Observer is told of changes once they are committed, by the process that made them and by
// no other: a change is a conditional write, so that each is told once. Fields may be nil.
type Observer struct {
	FlowBegun func(models.Channel)
	// FlowsEnded is told the status that flows had when they ended, and why they failed; "" means
	// that they are done.
	FlowsEnded func(at models.FlowStatus, failure string, n int64)
	JobEnded   func(models.JobType, models.JobStatus)
	Revoked    func(o models.Outcome, n int)
	Expired    func(models.Reason) // an authorization, for a reason of ours or an error code
	Told       func()              // an event is in the outbox
}

// Observe has o told of changes from now on. It is called before the store is used.
func (s *Store) Observe(o Observer) { *s.observer = o }

// committed has tell called when the change is committed, which outside of a transaction it is.
func (s *Store) committed(tell func()) {
	if s.inTx {
		*s.afterTx = append(*s.afterTx, tell)
		return
	}
	tell()
}

func (s *Store) flowsEnded(at models.FlowStatus, failure string, n int64) {
	if f := s.observer.FlowsEnded; f != nil && n > 0 {
		s.committed(func() { f(at, failure, n) })
	}
}

func (s *Store) expired(reason string) {
	if f := s.observer.Expired; f != nil {
		s.committed(func() { f(models.Reason(reason)) })
	}
}
