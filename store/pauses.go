package store

import (
	"context"
	"time"
)

// Class is a kind of endpoint: an upstream that throttles one need not throttle
// the others.
type Class string

// The classes. The last three are no endpoints and never the host's: ClassClient
// is the token endpoint while it refuses the provider's client (R5), the two paces
// are where work in the background has used up its share of what the upstream
// takes in an hour; people's own calls do not wait for these.
const (
	ClassToken      Class = "token"
	ClassRevoke     Class = "revoke"
	ClassAPI        Class = "api" // user info, and whether a token is good
	ClassClient     Class = "client"
	ClassTokenPace  Class = "token_pace"
	ClassRevokePace Class = "revoke_pace"
)

func (c Class) isEndpoint() bool { return c == ClassToken || c == ClassRevoke || c == ClassAPI }

// Pause is how long an upstream is left alone for one provider, or with no
// provider for all who use the host (S3).
type Pause struct {
	ProviderID string
	Host       string
	Class      Class
	Until      time.Time
}

// Pause leaves an upstream alone for the given time, or for longer if that was
// decided before. When three providers met it, it is the host's.
func (s *Store) Pause(ctx context.Context, provider, host string, class Class, d time.Duration) error {
	return s.Tx(ctx, func(tx *Store) error {
		if err := tx.pause(provider, host, class, d); err != nil {
			return err
		}
		var met int64
		err := tx.db.Raw(`SELECT count(*) FROM pauses WHERE host = ? AND class = ? AND provider_id <> '' AND until > ?`,
			host, class, tx.now()).Row().Scan(&met)
		if err != nil || met < 3 || !class.isEndpoint() {
			return err
		}
		return tx.pause("", host, class, d)
	})
}

func (s *Store) pause(provider, host string, class Class, d time.Duration) error {
	return s.db.Exec(`INSERT INTO pauses (provider_id, host, class, until) VALUES (?, ?, ?, ?)
		ON CONFLICT (provider_id, host, class) DO UPDATE SET until = excluded.until WHERE pauses.until < excluded.until`,
		provider, host, class, s.in(d)).Error
}

// Gate is whether an upstream may be called.
type Gate struct {
	Wait  time.Duration // 0 lets the call through
	Class Class         // what there is to wait for
	Probe bool          // the call is the one that finds out whether a pause is over
}

// Pass asks whether an upstream may be called. After a pause one caller is let
// through as a probe, and the others wait for as long as probeFor; EndPause tells
// that the probe went well.
func (s *Store) Pass(ctx context.Context, provider, host string, probeFor time.Duration, classes ...Class) (Gate, error) {
	pauses, now, err := s.pauses(ctx, provider, host, classes)
	if err != nil {
		return Gate{}, err
	}
	for _, p := range pauses {
		if wait := p.Until.Sub(now); wait > 0 {
			return Gate{Wait: wait, Class: p.Class}, nil
		}
	}
	for _, p := range pauses {
		mine, err := changed(s.db.WithContext(ctx).Model(&Pause{}).
			Where("provider_id = ? AND host = ? AND class = ? AND until <= ?", p.ProviderID, p.Host, p.Class, s.now()).
			Update("until", s.in(probeFor)))
		if err != nil {
			return Gate{}, err
		}
		if !mine {
			return Gate{Wait: probeFor, Class: p.Class}, nil
		}
	}
	return Gate{Probe: len(pauses) > 0}, nil
}

func (s *Store) pauses(ctx context.Context, provider, host string, classes []Class) ([]Pause, time.Time, error) {
	var pauses []Pause
	err := s.db.WithContext(ctx).
		Where("provider_id IN ? AND host = ? AND class IN ?", []string{provider, ""}, host, classes).
		Order("provider_id").Find(&pauses).Error
	if err != nil || len(pauses) == 0 {
		return nil, time.Time{}, err
	}
	now, err := s.Now(ctx)
	return pauses, now, err
}

// PauseOf returns how long an upstream is still left alone, nil when there is no
// pause, and whether it is over and waits for a probe.
func (s *Store) PauseOf(ctx context.Context, provider, host string, class Class) (*time.Duration, bool, error) {
	pauses, now, err := s.pauses(ctx, provider, host, []Class{class})
	if err != nil || len(pauses) == 0 {
		return nil, false, err
	}
	var left time.Duration
	for _, p := range pauses {
		left = max(left, p.Until.Sub(now))
	}
	return &left, left <= 0, nil
}

// EndPause lets everybody call again.
func (s *Store) EndPause(ctx context.Context, provider, host string, classes ...Class) error {
	return s.db.WithContext(ctx).Where("provider_id IN ? AND host = ? AND class IN ?", []string{provider, ""}, host, classes).
		Delete(&Pause{}).Error
}

// ForgetPauses deletes pauses that ended long ago without a probe.
func (s *Store) ForgetPauses(ctx context.Context, retention time.Duration) error {
	return s.db.WithContext(ctx).Where("until <= ?", s.in(-retention)).Delete(&Pause{}).Error
}
