package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/grantd/grantd/models"
)

// TakePoll lets one caller ask the upstream about a device flow that was just
// read, and reports whether it is this one: not before the time for the next poll
// has come by the database's clock, whichever caller asks and on however many replicas, and
// not while another poll is under way, which gets this long. A flow left behind by
// a poll that never ended is taken over.
func (s *Store) TakePoll(ctx context.Context, f models.Flow, attempt string, lease time.Duration) (bool, error) {
	return changed(s.flow(ctx, f.ID, models.FlowOpen, models.FlowClaimed).
		Where("channel = ? AND poll_attempt = ?", models.ChannelDevice, f.PollAttempt).
		Where("next_poll_at <= ? AND expires_at > ?", s.now(), s.now()).
		Updates(map[string]any{"status": models.FlowClaimed, "claimed_at": s.now(), "next_poll_at": s.in(lease), "poll_attempt": attempt}))
}

// Poll is how a poll ended that brought no tokens and did not end the flow.
type Poll struct {
	Attempt  string
	Next     time.Duration // until the next one
	Interval time.Duration // from now on
	Failures int           // in a row
	// Lost: the code may be spent, by this poll or one before it.
	Lost bool
}

// SavePoll opens a flow for its next poll. It does nothing if somebody else has
// taken the flow over.
func (s *Store) SavePoll(ctx context.Context, id string, p Poll) error {
	values := map[string]any{"status": models.FlowOpen, "next_poll_at": s.in(p.Next), "poll_interval": p.Interval, "poll_failures": p.Failures}
	if !p.Lost {
		values["poll_attempt"] = ""
	}
	return s.polled(ctx, id, p.Attempt).Updates(values).Error
}

// FailPoll ends the flow that a poll was about, and reports whether that was still
// for this poll to say.
func (s *Store) FailPoll(ctx context.Context, id, attempt, reason string) (bool, error) {
	r := s.polled(ctx, id, attempt).Updates(map[string]any{"status": models.FlowFailed, "failure": reason})
	s.flowsEnded(models.FlowClaimed, reason, r.RowsAffected)
	return changed(r)
}

func (s *Store) polled(ctx context.Context, id, attempt string) *gorm.DB {
	return s.flow(ctx, id, models.FlowClaimed).Where("poll_attempt = ?", attempt)
}
