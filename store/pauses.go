package store

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Class is a kind of endpoint: an upstream that throttles one need not throttle
// the others.
type Class string

// The classes. The last three are no endpoints, and their pauses never spread to
// other providers: ClassClient is the token endpoint while it refuses the provider's
// client (R5), the two paces are where work in the background has used up its share
// of what the upstream takes in an hour; people's own calls do not wait for these.
const (
	ClassToken      Class = "token"
	ClassRevoke     Class = "revoke"
	ClassAPI        Class = "api" // user info, and whether a token is good
	ClassTokenPace  Class = "token_pace"
	ClassRevokePace Class = "revoke_pace"
)

// Classes lists every class.
var Classes = []Class{ClassToken, ClassRevoke, ClassAPI, ClassTokenPace, ClassRevokePace}

func (c Class) isEndpoint() bool { return c == ClassToken || c == ClassRevoke || c == ClassAPI }

// Pause is how long an upstream is not called for one provider, or without a
// provider for all who call that origin (S3).
type Pause struct {
	ProviderID string
	OrgID      string
	Origin     string `gorm:"column:host"` // the one that answered, "" where that is not known
	Class      Class
	Until      time.Time
	Probe      string // names the call that was let through when the time was over
}

// maxPause is how long a pause lasts at most, whatever the upstream asked for.
const maxPause = time.Hour

// manyOrgs is how many organisations have to meet a pause at one origin before it
// holds for everybody who calls that origin. One organisation can register as many
// providers as it likes, with whatever endpoints it likes.
const manyOrgs = 3

// Pause leaves an upstream alone for the given time, or for longer if that was
// decided before.
func (s *Store) Pause(ctx context.Context, p Pause, d time.Duration) error {
	if !p.Class.isEndpoint() {
		p.Origin = ""
	}
	return s.Tx(ctx, func(tx *Store) error {
		err := tx.db.Exec(`INSERT INTO pauses (provider_id, org_id, host, class, until) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (provider_id, host, class) DO UPDATE SET until = excluded.until, org_id = excluded.org_id, probe = ''
			WHERE pauses.until < excluded.until OR pauses.probe <> ''`,
			p.ProviderID, p.OrgID, p.Origin, p.Class, tx.in(min(d, maxPause))).Error
		if err != nil || p.Origin == "" {
			return err
		}
		return tx.widen(p.Origin, p.Class)
	})
}

// widen makes a pause the origin's for as long as manyOrgs organisations have met it,
// which is until the third longest of theirs ends. A provider that is only trying
// whether its pause is over has met nothing new.
func (s *Store) widen(origin string, class Class) error {
	return s.db.Exec(`INSERT INTO pauses (provider_id, host, class, until)
		SELECT '', CAST(? AS TEXT), CAST(? AS TEXT), max(until) FROM pauses
		WHERE host = ? AND class = ? AND provider_id <> '' AND org_id <> '' AND probe = '' AND until > ?
		GROUP BY org_id ORDER BY max(until) DESC LIMIT 1 OFFSET ?
		ON CONFLICT (provider_id, host, class) DO UPDATE SET until = excluded.until WHERE pauses.until < excluded.until`,
		origin, class, origin, class, s.now(), manyOrgs-1).Error
}

// Upstream is where one provider's calls go.
type Upstream struct {
	ProviderID string
	OrgID      string
	Origins    []string // none while they are not known
}

// Gate is whether an upstream may be called.
type Gate struct {
	Wait  time.Duration // 0 lets the call through
	Class Class         // what there is to wait for
	Probe bool          // the call is the one that finds out whether a pause is over

	probe   string
	classes []Class
}

// Pass asks whether an upstream may be called. After a pause each provider has one
// call let through as a probe, and its others wait for as long as probeFor; EndPause
// tells that the probe went well. Every provider has its own, so that no other
// organisation can take it and never answer.
func (s *Store) Pass(ctx context.Context, at Upstream, probeFor time.Duration, classes ...Class) (Gate, error) {
	pauses, now, err := s.pauses(ctx, at, classes)
	if err != nil || len(pauses) == 0 {
		return Gate{}, err
	}
	for _, p := range pauses {
		if wait := p.Until.Sub(now); wait > 0 {
			return Gate{Wait: wait, Class: p.Class}, nil
		}
	}
	probe := uuid.NewString()
	for _, p := range pauses {
		mine, err := changed(s.db.WithContext(ctx).Exec(`INSERT INTO pauses (provider_id, org_id, host, class, until, probe)
			VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (provider_id, host, class) DO UPDATE SET until = excluded.until, probe = excluded.probe
			WHERE pauses.until <= ? OR pauses.probe = excluded.probe`,
			at.ProviderID, at.OrgID, p.Origin, p.Class, s.in(probeFor), probe, s.now()))
		if err != nil {
			return Gate{}, err
		}
		if !mine {
			return Gate{Wait: probeFor, Class: p.Class}, nil
		}
	}
	return Gate{Probe: true, probe: probe, classes: classes}, nil
}

// pauses returns the provider's own pauses, wherever it met them, and those of the
// origins that it is about to call.
func (s *Store) pauses(ctx context.Context, at Upstream, classes []Class) ([]Pause, time.Time, error) {
	var pauses []Pause
	err := s.db.WithContext(ctx).
		Where("class IN ? AND (provider_id = ? OR provider_id = '' AND host IN ?)", classes, at.ProviderID, append([]string{""}, at.Origins...)).
		Order("provider_id, host, class").Find(&pauses).Error
	if err != nil || len(pauses) == 0 {
		return nil, time.Time{}, err
	}
	now, err := s.Now(ctx)
	return pauses, now, err
}

// PauseOf returns how long an upstream is still not to be called, nil when there is no
// pause, and whether it is over and waits for a probe.
func (s *Store) PauseOf(ctx context.Context, at Upstream, class Class) (*time.Duration, bool, error) {
	pauses, now, err := s.pauses(ctx, at, []Class{class})
	if err != nil || len(pauses) == 0 {
		return nil, false, err
	}
	var left time.Duration
	for _, p := range pauses {
		left = max(left, p.Until.Sub(now))
	}
	return &left, left <= 0, nil
}

// EndPause ends the pauses that the call of this gate was the probe for: the
// provider's own, and where its time is over that of every origin which answered.
// What others met meanwhile stays.
func (s *Store) EndPause(ctx context.Context, g Gate, answered []string) error {
	if !g.Probe {
		return nil
	}
	return s.db.WithContext(ctx).
		Where("probe = ? OR provider_id = '' AND host IN ? AND class IN ? AND until <= ?", g.probe, append([]string{""}, answered...), g.classes, s.now()).
		Delete(&Pause{}).Error
}

// ForgetPauses deletes pauses that ended long ago without a probe.
func (s *Store) ForgetPauses(ctx context.Context, retention time.Duration) error {
	return s.db.WithContext(ctx).Where("until <= ?", s.in(-retention)).Delete(&Pause{}).Error
}
