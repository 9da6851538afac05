package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/grantd/grantd/models"
)

// InsertJob keeps a new job, due for the sweeper after the given time in case the
// bell is not heard. ErrDuplicate means that its key was used.
func (s *Store) InsertJob(ctx context.Context, j *models.Job, sweepIn time.Duration) error {
	return s.Tx(ctx, func(tx *Store) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		j.CreatedAt, j.DueAt = now, now.Add(sweepIn)
		return taken(tx.db.Create(j).Error, models.Error{Message: "Such a job already exists."})
	})
}

// Job returns the job with this id.
func (s *Store) Job(ctx context.Context, id string) (models.Job, error) {
	var j models.Job
	return j, found(s.db.WithContext(ctx).First(&j, "id = ?", id).Error, "Job")
}

// Rung is a job whose bell is to be rung.
type Rung struct {
	ID   string
	Type models.JobType
	Ring int64
}

// RingDueJobs returns unfinished jobs that nobody seems to be working on, of each
// organisation some, and moves each to its next ring and due time, so that replicas
// sweeping at once share them out (O1).
func (s *Store) RingDueJobs(ctx context.Context, next time.Duration, limit int) ([]Rung, error) {
	return claimOfEach(ctx, s, unfinishedJobs, limit, func(org string, limit int) (rung []Rung, err error) {
		return rung, s.db.WithContext(ctx).Raw(`UPDATE jobs SET ring = ring + 1, due_at = ? WHERE `+s.dialect.rowsOf(unfinishedJobs.of(""))+`
			RETURNING id, type, ring`, s.in(next), org, s.now(), limit).Scan(&rung).Error
	})
}

// RingJob moves an unfinished job to its next ring. It returns false when the
// job has ended.
func (s *Store) RingJob(ctx context.Context, id string, next time.Duration) (Rung, bool, error) {
	var rung []Rung
	err := s.db.WithContext(ctx).Raw(`UPDATE jobs SET ring = ring + 1, due_at = ?
		WHERE id = ? AND status IN ('PENDING', 'RUNNING') RETURNING id, type, ring`, s.in(next), id).Scan(&rung).Error
	if err != nil || len(rung) == 0 {
		return Rung{}, false, err
	}
	return rung[0], true, nil
}

// PostponeJob tells the sweeper that somebody is at work for the given time.
func (s *Store) PostponeJob(ctx context.Context, id string, d time.Duration) error {
	return s.db.WithContext(ctx).Model(&models.Job{}).Where("id = ?", id).Update("due_at", s.in(d)).Error
}

// StartJob moves a job from PENDING to RUNNING and reports whether this call did.
func (s *Store) StartJob(ctx context.Context, id string) (bool, error) {
	return changed(s.db.WithContext(ctx).Model(&models.Job{}).Where("id = ? AND status = ?", id, models.JobPending).
		Updates(map[string]any{"status": models.JobRunning, "started_at": s.now()}))
}

// StartJobAlone is StartJob for a job that one worker does from beginning to end: nobody
// else starts it within the given time, after which the worker that did must have died, and
// the sweeper does not enqueue it before that.
func (s *Store) StartJobAlone(ctx context.Context, id string, within time.Duration) (bool, error) {
	return changed(s.db.WithContext(ctx).Model(&models.Job{}).
		Where("id = ? AND (status = 'PENDING' OR status = 'RUNNING' AND started_at <= ?)", id, s.in(-within)).
		Updates(map[string]any{"status": models.JobRunning, "started_at": s.now(), "due_at": s.in(within)}))
}

// SetTotal records how many items a deletion has and the first of their ids. The
// caller holds the provider, so that nothing joins meanwhile (D2).
func (s *Store) SetTotal(ctx context.Context, job string, total int64, sample models.Strings) error {
	return s.db.WithContext(ctx).Model(&models.Job{}).Where("id = ?", job).
		Updates(map[string]any{"total": total, "sample_ids": sample}).Error
}

// AddToTotal counts items that joined a running deletion.
func (s *Store) AddToTotal(ctx context.Context, job string, n int64) error {
	return s.db.WithContext(ctx).Model(&models.Job{}).Where("id = ? AND status = ?", job, models.JobRunning).
		Update("total", gorm.Expr("total + ?", n)).Error
}

// AddSettled counts what a job settled that is no item of its own.
func (s *Store) AddSettled(ctx context.Context, job string, o models.Outcome, n int64) error {
	column := string(o)
	return s.db.WithContext(ctx).Model(&models.Job{}).Where("id = ?", job).
		Updates(map[string]any{"total": gorm.Expr("total + ?", n), column: gorm.Expr(column+" + ?", n)}).Error
}

// FinishJob ends a job that has not ended, and reports whether this call did.
// details is nil where they are derived.
func (s *Store) FinishJob(ctx context.Context, id string, status models.JobStatus, failure string, details models.Details) (bool, error) {
	row := map[string]any{"status": status, "failure": failure, "finished_at": s.now()}
	if details != nil {
		row["details"] = details
	}
	var ended []models.Job
	err := s.Tx(ctx, func(tx *Store) error {
		r := tx.db.Model(&ended).Clauses(clause.Returning{Columns: []clause.Column{{Name: "id"}, {Name: "org_id"}, {Name: "type"}, {Name: "user_id"}, {Name: "created_by"}}}).Where("id = ? AND status IN ('PENDING', 'RUNNING')", id).Updates(row)
		if r.Error != nil || len(ended) == 0 || ended[0].CreatedBy == "" { // what grantd does by itself every hour is no news
			return r.Error
		}
		ended[0].Status = status
		return tx.Tell(ctx, ended[0].Event())
	})
	if f := s.observer.JobEnded; f != nil && err == nil && len(ended) > 0 {
		s.committed(func() { f(ended[0].Type, status) })
	}
	return err == nil && len(ended) > 0, err
}

// JobByKey returns the job that has the key, ErrNotFound when none has.
func (s *Store) JobByKey(ctx context.Context, key string) (models.Job, error) {
	var j models.Job
	return j, found(s.db.WithContext(ctx).First(&j, "dedupe_key = ?", key).Error, "Job")
}

// FreeJobKey lets another job have the key of one that has ended.
func (s *Store) FreeJobKey(ctx context.Context, key string) error {
	return s.db.WithContext(ctx).Model(&models.Job{}).Where("dedupe_key = ?", key).Update("dedupe_key", nil).Error
}

// SetDetails shows how far an unfinished job is.
func (s *Store) SetDetails(ctx context.Context, id string, d models.Details) error {
	return s.db.WithContext(ctx).Model(&models.Job{}).
		Where("id = ? AND status IN ('PENDING', 'RUNNING')", id).Update("details", d).Error
}

// ForceJob makes an unfinished job give up on the upstream.
func (s *Store) ForceJob(ctx context.Context, id string) error {
	return s.db.WithContext(ctx).Model(&models.Job{}).
		Where("id = ? AND status IN ('PENDING', 'RUNNING')", id).Update("force", true).Error
}

// ForgetJobs deletes jobs that ended longer ago than the retention, and the
// outcomes that were kept for them; but not the failed deletion of a provider that
// is still there to be resumed. It deletes at most about most outcomes, at most batch in a
// statement; a job that has more is deleted by later calls.
func (s *Store) ForgetJobs(ctx context.Context, retention time.Duration, limit, batch, most int) error {
	var ids []string
	err := s.db.WithContext(ctx).Model(&models.Job{}).Where("finished_at <= ?", s.in(-retention)).
		Where("NOT EXISTS (SELECT 1 FROM providers p WHERE p.delete_job_id = jobs.id)").Order("finished_at").Limit(limit).Pluck("id", &ids).Error
	for _, id := range ids { // each by itself: one that fails keeps no other
		if most <= 0 {
			break
		}
		n, failed := s.forgetJob(ctx, id, batch, most)
		most -= n
		err = errors.Join(err, failed)
	}
	return err
}

// forgetJob deletes the outcomes of a job, until it has deleted most or more, and the job
// with the last of them. It returns how many outcomes it deleted.
func (s *Store) forgetJob(ctx context.Context, id string, batch, most int) (int, error) {
	deleted := 0
	for _, outcomes := range []string{"authorizations WHERE outcome IS NOT NULL AND job_id = ? ORDER BY id",
		"retried_items WHERE job_id = ? ORDER BY authorization_id", "reset_items WHERE job_id = ? ORDER BY authorization_id"} {
		table, _, _ := strings.Cut(outcomes, " ")
		for {
			r := s.db.WithContext(ctx).Exec("DELETE FROM "+table+" WHERE "+s.dialect.rowsOf(outcomes+" LIMIT ?"), id, batch)
			deleted += int(r.RowsAffected)
			if r.Error != nil {
				return deleted, r.Error
			}
			if r.RowsAffected < int64(batch) {
				break
			}
			if deleted >= most {
				return deleted, nil
			}
		}
	}
	return deleted, s.db.WithContext(ctx).Exec("DELETE FROM jobs WHERE id = ?", id).Error
}
