package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/grantd/grantd/models"
)

// Failed is the definite or ambiguous end of an attempt that brought no tokens.
type Failed struct {
	Attempt       string
	Error         string        // a code, never upstream text
	RetryIn       time.Duration // before this nobody asks again; 0 means no gate
	ForSecret     bool          // a new client secret ends the gate
	Ambiguous     bool          // the upstream may have spent the refresh token, by this attempt or one before
	Lost          bool          // by this one
	LeaseFor      time.Duration // how long an ambiguous attempt may still be running
	StopServing   bool          // the access token is not handed out any more
	Verdict       models.Verdict
	Reason        string
	SecretVersion int64
	Refused       *Refused // nil where the attempt ended otherwise
}

// Refused is what is remembered of the refusals that ended nothing yet (R15).
type Refused struct {
	What  string // status and code, "" for those that do not count as the same
	Times int
	Since time.Time
	First time.Time // of all refusals since the last success
}

// SaveFailure writes how an attempt over generation g failed. A definite outcome
// ends the attempt; an ambiguous one keeps it, and its lease, on the row (R3). The lease of
// somebody who has taken it since, such as a revocation, stays as it is (R9). A
// verdict carries the generation and the secret it was reached under (R5).
func (s *Store) SaveFailure(ctx context.Context, credential string, g int64, f Failed) (bool, error) {
	row := map[string]any{"last_attempt": f.Attempt, "last_error": f.Error, "failures": gorm.Expr("failures + 1")}
	if f.RetryIn > 0 {
		row["next_attempt_at"], row["gate_version"] = s.in(f.RetryIn), 0
		if f.ForSecret {
			row["gate_version"] = f.SecretVersion
		}
	}
	if f.Ambiguous {
		s.endLease(row, f.Attempt, f.Attempt, s.in(f.LeaseFor))
	} else {
		s.endLease(row, f.Attempt, nil, nil)
		row["attempt_id"], row["lost_answers"] = nil, 0
	}
	if f.Lost {
		row["lost_answers"] = gorm.Expr("lost_answers + 1")
	}
	if f.StopServing {
		row["expires_at"] = s.now()
	}
	if f.Verdict != "" {
		judge(row, f.Verdict, f.Reason, g, f.SecretVersion)
	}
	if r := f.Refused; r != nil {
		row["refusal"], row["refusals"], row["refusal_since"], row["refused_since"] = r.What, r.Times, r.Since, r.First
	}
	saved, err := changed(s.credential(ctx, credential).Where("generation = ? AND attempt_id = ?", g, f.Attempt).Updates(row))
	if saved && f.Verdict != "" {
		s.expired(f.Reason)
	}
	return saved, err
}

// endLease adds to a row whose lease it is after an attempt, and until when. One that somebody
// else holds by now stays as it is.
func (s *Store) endLease(row map[string]any, attempt string, owner, until any) {
	for column, value := range map[string]any{"lease_owner": owner, "lease_until": until} {
		row[column] = gorm.Expr("CASE WHEN lease_owner <> ? AND lease_until > ? THEN "+column+" ELSE ? END", attempt, s.now(), value)
	}
}

// judge adds a verdict to a row, with what it was reached under (R5). That the tokens are another
// account's, which is of secret version 0, is not replaced by any other (R12).
func judge(row map[string]any, v models.Verdict, reason string, generation, secretVersion int64) {
	row["verdict"], row["verdict_reason"] = v, reason
	row["verdict_generation"], row["verdict_secret_version"] = generation, secretVersion
	if secretVersion == 0 {
		return
	}
	for _, column := range []string{"verdict", "verdict_reason", "verdict_generation", "verdict_secret_version"} {
		row[column] = gorm.Expr("CASE WHEN "+isForeign+" THEN "+column+" ELSE ? END", row[column])
	}
}

// isForeign says in SQL that a credential's tokens were found to be another account's.
const isForeign = "verdict = 'expired' AND verdict_generation = generation AND verdict_secret_version = 0"

// verdictHolds says in SQL that a credential c of provider p has a verdict that is not
// void: the tokens and the client secret are still those it was reached with (R5). One
// of secret version 0 does not depend on the secret (R12).
const verdictHolds = `(c.verdict IS NOT NULL AND c.verdict_generation = c.generation AND c.verdict_secret_version IN (p.secret_version, 0))`
