package broker

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// When answers about single grants say something about the provider as a whole: its
// client is refused, all are refused alike, or no success can be read (R5, R13, R15).
// Then nothing is marked, and one authorization asks every so often, until one is
// accepted.

// troubleWith returns the provider with what is wrong with it, as its last answers and
// this one show, and notes that. Without trouble it is a provider without id.
func (s *Service) troubleWith(ctx context.Context, tx *store.Store, p models.Provider, last store.Answered) (models.Provider, error) {
	row, err := tx.LastAnswers(ctx, p.ID, rowWithin)
	if err != nil {
		return models.Provider{}, err
	}
	row = append([]store.Answered{last}, row...)
	trouble, of, err := findTrouble(ctx, tx, p, row)
	if err != nil || trouble == "" {
		return models.Provider{}, err
	}
	probeIn := s.timing.ClientProbe
	if trouble == models.TroubleClient && len(people(of, byAuthorization)) == 1 {
		probeIn = 0 // one alone showed it: another one may ask at once
	}
	p.Trouble, p.TroubleCode, p.TroubleVersion, p.TroubleSince, p.ProbedBy = trouble, last.Code, p.SecretVersion, &of[len(of)-1].At, last.AuthorizationID
	begun, err := tx.BeginTrouble(ctx, p, probeIn)
	if err != nil || !begun {
		return models.Provider{}, err
	}
	if p.Trouble == models.TroubleClient {
		if err := tx.Tell(ctx, p.Event(models.EventClientRefused, "")); err != nil {
			return p, err
		}
	}
	return p, tx.Audit(ctx, ownEvent(p.OrgID, models.ActionTroubleBegun).provider(p.ID).code(string(trouble)).done())
}

// findTrouble looks at a row of answers, newest first, none of which was a success, and
// returns those that show trouble.
func findTrouble(ctx context.Context, tx *store.Store, p models.Provider, row []store.Answered) (models.Trouble, []store.Answered, error) {
	var refused, unread []store.Answered
	alike := map[string][]store.Answered{}
	for _, a := range row {
		code := strings.TrimPrefix(a.Code, exchangePrefix)
		kind, rest, _ := strings.Cut(code, ":")
		switch kind {
		case "denied", string(saysClient), string(saysRefused):
			refused = append(refused, a)
		case string(saysNothing):
			unread = append(unread, a)
		}
		if status, _, _ := strings.Cut(rest, ":"); kind == string(saysRefused) && a.AuthorizationID != "" && !mayPass(status) {
			alike[code] = append(alike[code], a)
		}
	}
	ofRefresh := func(a store.Answered) bool { return a.AuthorizationID != "" }
	if slices.ContainsFunc(refused, ofRefresh) { // exchanges alone show nothing
		if many, err := arePeople(ctx, tx, p, refused, manyRefused); many || err != nil {
			return models.TroubleClient, refused, err
		}
		if of, err := fewRefused(ctx, tx, p, refused); of != nil || err != nil {
			return models.TroubleClient, of, err
		}
	}
	for _, code := range slices.Sorted(maps.Keys(alike)) {
		if many, err := arePeople(ctx, tx, p, alike[code], manyAlike); many || err != nil {
			return models.TroubleRefused, alike[code], err
		}
	}
	if many, err := arePeople(ctx, tx, p, unread, manyAlike); many || err != nil {
		return models.TroubleUnreadable, unread, err
	}
	return "", nil, nil
}

func byUser(a store.Answered) string          { return a.UserID }
func byAuthorization(a store.Answered) string { return a.AuthorizationID }

// people are those whom the answers are about, by a name that is not "".
func people(row []store.Answered, by func(store.Answered) string) []string {
	seen := map[string]bool{}
	for _, a := range row {
		if name := by(a); name != "" {
			seen[name] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// arePeople reports whether a row is about as many different people. A person is a user.
// An application may run all its people as one user, so that authorizations count where
// nobody else could be asked: one user's own accounts never speak for others.
func arePeople(ctx context.Context, tx *store.Store, p models.Provider, row []store.Answered, many int) (bool, error) {
	users := people(row, byUser)
	if len(users) >= many {
		return true, nil
	}
	if len(people(row, byAuthorization)) < many {
		return false, nil
	}
	others, err := tx.AnyLivingBeside(ctx, p.ID, users)
	return !others && err == nil, err
}

// fewRefused returns the refusals of the client that are enough where there are fewer
// people than manyRefused: the same one three times within a quarter of an hour, of all the
// authorizations there are.
func fewRefused(ctx context.Context, tx *store.Store, p models.Provider, refused []store.Answered) ([]store.Answered, error) {
	newest := refused[0]
	code := strings.TrimPrefix(newest.Code, exchangePrefix)
	if !strings.HasPrefix(code, string(saysClient)+":") {
		return nil, nil
	}
	var same []store.Answered
	for _, a := range refused {
		if strings.TrimPrefix(a.Code, exchangePrefix) == code && newest.At.Sub(a.At) <= fewWithin {
			same = append(same, a)
		}
	}
	if len(same) < fewTimes {
		return nil, nil
	}
	n, err := tx.Living(ctx, p.ID, manyRefused)
	if err != nil || n > fewLiving && n > len(people(same, byAuthorization)) {
		return nil, err
	}
	return same, nil
}

// tellTrouble tells the admin, once for each trouble.
func (s *Service) tellTrouble(p models.Provider) {
	switch p.Trouble {
	case models.TroubleClient:
		s.log.Error("the provider refused the grants of several people in a row; its clientSecret may be wrong, or the client disabled. No further authorization is marked expired until a grant is accepted",
			"provider", p.ID, "code", p.TroubleCode)
	case models.TroubleRefused:
		s.log.Error("the provider refuses the refreshes of several people alike. Nothing is marked expired until one is accepted", "provider", p.ID, "code", p.TroubleCode)
	case models.TroubleUnreadable:
		s.log.Error("the provider's successful answers to refreshes cannot be read, and may spend refresh tokens. Refreshes wait until an answer can be read", "provider", p.ID)
	}
}

// admitProbe lets an authorization ask while its provider is in trouble, one every so
// often. What it costs those who are refused is the read that brought them here.
func (s *Service) admitProbe(ctx context.Context, l models.Linked) error {
	p := l.Provider
	if p.InTrouble() == "" {
		return nil
	}
	return s.takeProbe(ctx, p, l.Authorization.ID, l.Now)
}

// takeProbe is nil if it is time to ask while a provider is in trouble; then it is the
// caller that asks. authorization is "" for the exchange of a code.
func (s *Service) takeProbe(ctx context.Context, p models.Provider, authorization string, now time.Time) error {
	taken, err := s.store.TakeProbe(ctx, p.ID, authorization, s.timing.ClientProbe)
	if err != nil {
		return err
	}
	if !taken {
		return inTrouble(p, now)
	}
	return nil
}

// waitsForProbe is the answer while it is not time for another authorization to ask.
func waitsForProbe(l models.Linked) error {
	p := l.Provider
	if p.InTrouble() == "" || p.ProbeAt == nil || !l.Now.Before(*p.ProbeAt) || p.ProbedBy == models.ProbedByNobody {
		return nil
	}
	return inTrouble(p, l.Now)
}

// inTrouble is the answer to those who wait meanwhile.
func inTrouble(p models.Provider, now time.Time) error {
	e := clientRefused(nil)
	switch p.Trouble {
	case models.TroubleClient:
	case models.TroubleRefused:
		e.Detail = p.TroubleAnswer().Code
		e.Message = "The provider refuses to refresh the tokens of several people alike. An admin should look at the provider's settings there; it is asked again every few minutes, and nobody needs to authorize again."
	case models.TroubleUnreadable:
		e.Detail = "unreadable_response"
		e.Message = "The provider's answers cannot be read, so that no tokens are risked. It is asked again every few minutes."
	}
	e.RetryAfter = retrySoon
	if p.ProbeAt != nil {
		e.RetryAfter = max(retrySoon, p.ProbeAt.Sub(now))
	}
	return e
}

// accepted ends the trouble that a provider was in, since a grant was accepted and its
// answer could be read. The verdicts that were reached in the row that showed it are void,
// and each is asked once more.
func (s *Service) accepted(ctx context.Context, p models.Provider) {
	if p.Trouble == "" {
		return
	}
	ctx = context.WithoutCancel(ctx)
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		ended, err := tx.EndTrouble(ctx, p.ID, s.timing.ClientProbe)
		if err != nil || !ended {
			return err
		}
		if p.Trouble == models.TroubleClient {
			if err := tx.Tell(ctx, p.Event(models.EventProviderRecovered, "accepted")); err != nil {
				return err
			}
		}
		return tx.Audit(ctx, ownEvent(p.OrgID, models.ActionTroubleEnded).provider(p.ID).code(string(p.Trouble)).done())
	})
	if err != nil && !store.IsNotFound(err) {
		s.log.Error("recording that a provider accepts its client again failed; the next success will record it", "provider", p.ID, "error", err)
	}
}

// exchangePrefix marks what an exchange was answered, in the audit log.
const exchangePrefix = "exchange:"

// consentRefused notes that a person's code, or device code, was refused. It counts for
// that person like a refused refresh, but shows nothing by itself (R5).
func (s *Service) consentRefused(ctx context.Context, p models.Provider, c models.Caller, err error) {
	up := failure(err)
	said := classify(up, false)
	if said != saysEnded && said != saysClient && said != saysRefused {
		return
	}
	ctx = context.WithoutCancel(ctx)
	code := exchangePrefix + codeOf(said, up)
	var begun models.Provider
	saveErr := s.store.Tx(ctx, func(tx *store.Store) error {
		locked, err := tx.LockProvider(ctx, p.ID)
		if err != nil {
			return err
		}
		if locked.InTrouble() == "" {
			now, err := tx.Now(ctx)
			if err != nil {
				return err
			}
			if begun, err = s.troubleWith(ctx, tx, locked, store.Answered{At: now, UserID: c.UserID, Action: models.ActionFlowFailed, Code: code}); err != nil {
				return err
			}
		}
		return tx.Audit(ctx, event(c, models.ActionFlowFailed).provider(p.ID).code(code).done())
	})
	if saveErr != nil && !store.IsNotFound(saveErr) {
		s.log.Error("recording a refused consent failed", "provider", p.ID, "error", saveErr)
	}
	s.tellTrouble(begun)
}
