package store

import (
	"context"
	"slices"

	"github.com/grantd/grantd/models"
)

// RefusedRow is a row of items of one job whose revocation was refused to the client, with
// none accepted between (D4).
type RefusedRow struct {
	Items    []string
	Users    []string // theirs
	Accepted bool     // the job had an item accepted before
	// Waiting says that an item is pending which is not in the row, WaitingOther that one
	// of another user is.
	Waiting, WaitingOther bool
}

// AddRefused adds to a job's row, and returns it. An item that was accepted begins it again.
func (s *Store) AddRefused(ctx context.Context, job string, of Items, refused []string, accepted bool) (RefusedRow, error) {
	var row RefusedRow
	err := s.Tx(ctx, func(tx *Store) error {
		var all []models.Job
		err := tx.db.Raw("SELECT "+tx.columns("jobs", models.Job{})+" FROM jobs WHERE id = ?"+tx.dialect.lock, job).Scan(&all).Error
		if err != nil || len(all) == 0 {
			return err
		}
		j := all[0]
		row = RefusedRow{Accepted: accepted || j.Revoked+j.AlreadyRevoked > 0}
		if !accepted {
			row.Items = slices.Concat(j.RefusedItems, refused)
			slices.Sort(row.Items)
			row.Items = slices.Compact(row.Items)
		}
		err = tx.db.Model(&models.Job{}).Where("id = ?", job).Update("refused_items", models.Strings(row.Items)).Error
		if err != nil || len(row.Items) == 0 {
			return err
		}
		err = tx.db.Raw("SELECT DISTINCT user_id FROM authorizations WHERE id IN ?", row.Items).Scan(&row.Users).Error
		if err != nil {
			return err
		}
		pending := "SELECT EXISTS (SELECT 1 FROM authorizations WHERE " + of.column + " = ? AND outcome IS NULL AND "
		if err = tx.db.Raw(pending+"id NOT IN ?)", of.id, row.Items).Scan(&row.Waiting).Error; err != nil {
			return err
		}
		return tx.db.Raw(pending+"user_id NOT IN ?)", of.id, row.Users).Scan(&row.WaitingOther).Error
	})
	return row, err
}
