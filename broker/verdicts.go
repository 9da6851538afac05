package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grantd/grantd/metrics"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// What a failed refresh means. The table below is the one in docs/architecture.md, and
// TestTheTableOfVerdictsIsTheOneInTheDocs compares the two.

// answer is what an upstream made of a refresh that brought no tokens.
type answer string

const (
	saysEnded    answer = "ended"              // the grant or the refresh token is over, in its words
	saysRejected answer = "token not accepted" // to a reset in place: the access token is invalid
	saysClient   answer = "client"             // it does not accept the client for this token
	saysRefused  answer = "refused"            // it refuses for a reason that says nothing of either
	saysNothing  answer = "unreadable"         // a success without readable tokens
	saysLost     answer = "lost"               // no whole answer came back
	saysNotNow   answer = "passing"            // it is down, throttles, or could not be reached
)

// classify names the answer to a refresh, or to a reset in place where there is no
// refresh token.
func classify(up *providers.Error, inPlace bool) answer {
	switch {
	case up.Kind == providers.KindDenied && inPlace:
		return saysRejected
	case up.Kind == providers.KindDenied:
		return saysEnded
	case up.Kind == providers.KindClient:
		return saysClient
	case up.Unreadable:
		return saysNothing
	case up.Ambiguous:
		return saysLost
	case up.Kind == providers.KindRefused && up.Status != 0:
		return saysRefused
	}
	return saysNotNow
}

// refreshOutcome is what is counted of the answer to a refresh.
func refreshOutcome(err error, inPlace bool) metrics.RefreshOutcome {
	if err == nil {
		return metrics.RefreshTokens
	}
	switch classify(failure(err), inPlace) {
	case saysEnded, saysRejected:
		return metrics.RefreshEnded
	case saysClient:
		return metrics.RefreshClient
	case saysRefused:
		return metrics.RefreshRefused
	case saysNothing:
		return metrics.RefreshUnreadable
	case saysLost:
		return metrics.RefreshLost
	case saysNotNow:
	}
	return metrics.RefreshUnavailable
}

// circumstances are what an answer is judged by, beside itself.
type circumstances struct {
	up          *providers.Error
	inPlace     bool          // a reset, of a token without a refresh token
	replay      bool          // of an attempt whose outcome nobody knows
	lostBefore  int           // how many attempts before have an unknown outcome
	timedOut    bool          // the call ended at its deadline, so that its lease ends soon
	trouble     bool          // the provider is in trouble, or gets into it by this answer
	askedOnce   string        // the reason of a verdict after which it was asked once more
	refused     store.Refused // the refusals so far, this one included
	now         time.Time
	witness     bool          // another grant of the provider was accepted since the first of them
	assumedLife bool          // nobody knows how long the access token lives
	backoff     time.Duration // after a passing failure
	longBackoff time.Duration // after a refusal
}

// transition is what happens to the authorization.
type transition struct {
	reason      string        // expired, for this reason; "" for no verdict
	stopServing bool          // the access token is not handed out any more
	wait        time.Duration // until it is asked again
	forSecret   bool          // or until the client secret changes
	ambiguous   bool          // the outcome is unknown
	lost        bool          // that of this attempt, not of the one before
	leaseFor    time.Duration // and may be under way for so long
}

// Reasons of verdicts, beside the upstream's own codes.
const (
	refusedRepeatedly = string(models.ReasonRefusedRepeatedly)
	refusedForDays    = string(models.ReasonRefusedForDays)
)

// verdicts is the table: the first row that fits decides.
var verdicts = []struct {
	name string
	of   []answer
	when func(c circumstances) bool
	then func(c circumstances, t Timing) transition
}{
	{"reset in place, token not accepted", []answer{saysRejected}, nil,
		func(c circumstances, _ Timing) transition {
			if c.replay {
				return transition{reason: lostResponse, stopServing: true}
			}
			return transition{reason: revokedUpstream, stopServing: true}
		}},
	{"ended, after an attempt whose answer was lost", []answer{saysEnded},
		func(c circumstances) bool { return c.replay && !c.trouble },
		func(c circumstances, _ Timing) transition {
			return transition{reason: lostResponse, stopServing: c.assumedLife}
		}},
	{"refused, while the provider is in trouble", []answer{saysEnded, saysClient, saysRefused},
		func(c circumstances) bool { return c.trouble },
		func(c circumstances, t Timing) transition {
			return transition{wait: t.ClientProbe, forSecret: true, ambiguous: c.replay}
		}},
	{"ended", []answer{saysEnded}, nil,
		func(c circumstances, _ Timing) transition {
			return transition{reason: c.up.Code, stopServing: c.assumedLife}
		}},
	{"unreadable or lost again", []answer{saysNothing, saysLost},
		func(c circumstances) bool { return c.replay },
		func(c circumstances, t Timing) transition {
			return transition{ambiguous: true, lost: true, wait: min(t.LostAgain<<min(max(c.lostBefore-1, 0), 4), longestLostAgain)}
		}},
	{"unreadable", []answer{saysNothing}, nil,
		func(_ circumstances, t Timing) transition {
			lease := t.TokenCall + t.LeaseMargin
			return transition{ambiguous: true, lost: true, leaseFor: lease, wait: lease}
		}},
	{"lost, by the deadline", []answer{saysLost},
		func(c circumstances) bool { return c.timedOut },
		func(_ circumstances, t Timing) transition {
			return transition{ambiguous: true, lost: true, leaseFor: t.LeaseMargin, wait: t.LeaseMargin}
		}},
	{"lost", []answer{saysLost}, nil,
		func(circumstances, Timing) transition {
			return transition{ambiguous: true, lost: true, leaseFor: brokenOffLease}
		}},
	{"refused again when it was asked once more", []answer{saysClient, saysRefused},
		func(c circumstances) bool { return c.askedOnce != "" },
		func(c circumstances, t Timing) transition {
			return transition{reason: c.askedOnce, wait: t.ClientProbe, forSecret: true}
		}},
	{"refused for 7 days", []answer{saysClient, saysRefused},
		func(c circumstances) bool { return !c.inPlace && c.now.Sub(c.refused.First) >= anyRefusals },
		func(c circumstances, _ Timing) transition {
			return transition{reason: refusedForDays, stopServing: c.assumedLife}
		}},
	{"refused five times alike", []answer{saysClient, saysRefused},
		func(c circumstances) bool {
			since := c.now.Sub(c.refused.Since)
			return !c.inPlace && c.refused.What != "" && c.refused.Times >= sameRefusals && (since >= sameAlone || since >= sameWithWitness && c.witness)
		},
		func(c circumstances, _ Timing) transition {
			return transition{reason: refusedRepeatedly, stopServing: c.assumedLife}
		}},
	{"client not accepted for this token", []answer{saysClient}, nil,
		func(_ circumstances, t Timing) transition { return transition{wait: t.ClientProbe, forSecret: true} }},
	{"refused", []answer{saysRefused}, nil,
		func(c circumstances, _ Timing) transition {
			return transition{wait: max(c.up.RetryAfter, c.longBackoff), forSecret: true}
		}},
	{"passing, after an attempt whose answer was lost", []answer{saysNotNow},
		func(c circumstances) bool { return c.replay },
		func(c circumstances, _ Timing) transition {
			return transition{ambiguous: true, wait: max(c.up.RetryAfter, c.backoff)}
		}},
	{"passing", []answer{saysNotNow}, nil,
		func(c circumstances, _ Timing) transition {
			return transition{wait: max(c.up.RetryAfter, c.backoff)}
		}},
}

// judge finds the row that decides.
func (c circumstances) judge(said answer, t Timing) transition {
	for _, row := range verdicts {
		if slices.Contains(row.of, said) && (row.when == nil || row.when(c)) {
			return row.then(c, t)
		}
	}
	return transition{wait: c.backoff}
}

// refreshFailed writes down how an attempt ended, and answers with it.
func (s *Service) refreshFailed(ctx context.Context, l models.Linked, attempt string, replay bool, err error) error {
	up := failure(err)
	said := classify(up, !l.Credential.HasRefreshToken)
	ctx = context.WithoutCancel(ctx)
	var f store.Failed
	var begun models.Provider
	saveErr := s.store.Tx(ctx, func(tx *store.Store) error {
		var err2 error
		if f, begun, err2 = s.judged(ctx, tx, l, attempt, said, replay, errors.Is(err, context.DeadlineExceeded), up); err2 != nil {
			return err2
		}
		saved, err := tx.SaveFailure(ctx, l.Authorization.CredentialID, l.Credential.Generation, f)
		if err != nil || !saved {
			return err
		}
		if err := tellBroken(ctx, tx, l, f.Reason); err != nil {
			return err
		}
		return tx.Audit(ctx, ownEvent(l.Authorization.OrgID, models.ActionRefreshFailed).
			provider(l.Provider.ID).authorization(l.Authorization.ID).code(f.Error).done())
	})
	if saveErr != nil {
		s.log.Error("saving a refresh's failure failed", "authorization", l.Authorization.ID, "error", saveErr)
	}
	s.log.Warn("refresh failed", "authorization", l.Authorization.ID, "provider", l.Provider.ID, "answer", string(said), "kind", up.Kind, "code", up.Code, "cause", up.Err)
	s.tellTrouble(begun)
	now, readErr := s.store.Linked(ctx, l.Authorization.ID)
	if readErr != nil || saveErr != nil || said == saysNotNow {
		return s.at(l.Provider).failed(err)
	}
	return s.answerTo(now, err)
}

// judged is what a failed attempt is remembered as, and the provider where the answer
// shows that something is wrong with it as a whole. For an answer that may show that, the
// provider is locked, so that such answers are judged one after the other.
func (s *Service) judged(ctx context.Context, tx *store.Store, l models.Linked, attempt string, said answer, replay, timedOut bool, up *providers.Error) (store.Failed, models.Provider, error) {
	p, counts := l.Provider, said == saysEnded && !replay || said == saysClient || said == saysRefused || said == saysNothing
	now, err := tx.Now(ctx)
	if err == nil && (counts || said == saysEnded) {
		p, err = tx.LockProvider(ctx, l.Provider.ID)
		if store.IsNotFound(err) {
			counts, err = false, nil
		}
	}
	if err != nil {
		return store.Failed{}, models.Provider{}, err
	}
	c := circumstances{
		up: up, inPlace: !l.Credential.HasRefreshToken, replay: replay, lostBefore: l.Credential.LostAnswers, timedOut: timedOut, now: now,
		refused: refusalsWith(l.Credential, up, now), assumedLife: l.Credential.ExpiresAt == nil && l.Credential.HasRefreshToken,
		backoff: s.backoff(l.Credential.Failures), longBackoff: s.longBackoff(l.Credential.Failures), trouble: p.InTrouble() != "",
	}
	if l.MayAskAgain() {
		c.askedOnce = l.Credential.VerdictReason
	}
	var begun models.Provider
	if counts && !c.trouble {
		of := store.Answered{At: now, AuthorizationID: l.Authorization.ID, UserID: l.Authorization.UserID, Action: models.ActionRefreshFailed, Code: codeOf(said, up)}
		if begun, err = s.troubleWith(ctx, tx, p, of); err != nil {
			return store.Failed{}, begun, err
		}
		c.trouble = begun.Trouble != ""
	}
	if counts && !c.trouble && c.refused.Times >= sameRefusals {
		if c.witness, err = tx.AcceptedSince(ctx, l, c.refused.Since); err != nil {
			return store.Failed{}, begun, err
		}
	}
	t := c.judge(said, s.timing)
	f := store.Failed{Attempt: attempt, Error: codeOf(said, up), RetryIn: t.wait, ForSecret: t.forSecret, Ambiguous: t.ambiguous, Lost: t.lost,
		LeaseFor: t.leaseFor, StopServing: t.stopServing, Reason: t.reason, SecretVersion: l.Provider.SecretVersion}
	if replay && said == saysEnded { // it says nothing of the grant, and counts for no row
		f.Error = lostResponse
	}
	if t.reason != "" {
		f.Verdict = models.VerdictExpired
	}
	if (said == saysClient || said == saysRefused) && !c.trouble && !c.inPlace {
		f.Refused = &c.refused
	}
	return f, begun, nil
}

// codeOf names an answer by codes alone, for the row and for the audit log.
func codeOf(said answer, up *providers.Error) string {
	switch said {
	case saysEnded:
		return fmt.Sprintf("denied:%d:%s", up.Status, up.Code)
	case saysClient, saysRefused:
		return fmt.Sprintf("%s:%d:%s", said, up.Status, up.Code)
	case saysRejected:
		return "token_dead"
	case saysNothing:
		return string(saysNothing)
	case saysLost, saysNotNow:
	}
	return string(up.Kind)
}

// mayPass reports whether a refusal with this status may be over at the next try, so that
// it never counts as the same.
func mayPass(status string) bool {
	return slices.Contains([]string{"401", "408", "409", "423", "425", "429"}, status)
}

// clientNotAccepted reports whether the last attempt ended because the upstream did not
// accept the client for this token.
func clientNotAccepted(l *models.Linked) bool {
	return strings.HasPrefix(l.Credential.LastError, string(saysClient)+":")
}

// refusalsWith counts one more refusal.
func refusalsWith(c models.Credential, up *providers.Error, now time.Time) store.Refused {
	what := fmt.Sprintf("%d:%s", up.Status, up.Code)
	if mayPass(strconv.Itoa(up.Status)) {
		what = ""
	}
	r := store.Refused{What: what, Times: 1, Since: now, First: now}
	if c.RefusedSince != nil {
		r.First = *c.RefusedSince
	}
	if what != "" && what == c.Refusal && c.RefusalSince != nil {
		r.Times, r.Since = c.Refusals+1, *c.RefusalSince
	}
	return r
}
